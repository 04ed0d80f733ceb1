"""Codes of an authenticator app (RFC 6238: SHA-1, six digits, 30 seconds), each good once."""

import hmac
import io
import re
import time

import segno
from pyotp import TOTP, random_base32
from sqlalchemy import func, select, update
from sqlalchemy.dialects.postgresql import insert

from namaskah.auth import encryption
from namaskah.auth.models import User
from namaskah.auth.second_factor import factors
from namaskah.auth.second_factor.models import TotpSeed
from namaskah.db import db, transaction

ISSUER = "Namaskah"
STEP_SECONDS = 30
# How many steps a phone's clock may be off, either way.
STEPS_OFF = 1


def new_seed() -> str:
    """160 random bits, in base32 as apps take them."""
    return random_base32()


def address_of(seed: str, user: User) -> str:
    """The otpauth: address an app reads out of the QR code."""
    return TOTP(seed).provisioning_uri(name=user.email, issuer_name=ISSUER)


def picture_of(seed: str, user: User) -> bytes:
    """The QR code as an SVG image: black on white in every theme, or cameras do not find it."""
    drawn = io.BytesIO()
    code = segno.make_qr(address_of(seed, user), error="m")
    code.save(drawn, kind="svg", border=4, dark="#000", light="#fff", omitsize=True)  # the page says how large
    return drawn.getvalue()


def set_up(user: User, seed: str, code: str) -> bool:
    """Make `seed` the account's, in the place of the one it had, when `code` shows that the app has it; else False.

    The code is used up by that.
    """
    step = _step_of(seed, code, after=0)
    if step is None:
        return False
    kept = {"seed": encryption.encrypt(seed.encode(), _context(user.id)), "last_step": step, "created_at": func.now()}
    with transaction():
        factors.lock(user)
        statement = insert(TotpSeed).values(user_id=user.id, **kept)
        db.session.execute(statement.on_conflict_do_update(index_elements=["user_id"], set_=kept))
        factors.note_added(user, "totp", end_others=True)
    return True


def accept(user: User, code: str) -> bool:
    """Whether the code is the app's, of now or one step beside it, and later than any that was accepted."""
    kept = db.session.execute(
        select(TotpSeed.seed, TotpSeed.last_step).where(TotpSeed.user_id == user.id)
    ).one_or_none()
    if kept is None:
        return False
    step = _step_of(encryption.decrypt(kept.seed, _context(user.id)).decode(), code, after=kept.last_step)
    if step is None:
        return False
    with transaction():  # of many at once with the same code, one moves the step
        moved = db.session.scalar(
            update(TotpSeed)
            .where(TotpSeed.user_id == user.id, TotpSeed.seed == kept.seed, TotpSeed.last_step < step)
            .values(last_step=step)
            .returning(TotpSeed.user_id)
        )
    return moved is not None


def reencrypt() -> int:
    """Bring every seed under the newest key; returns how many were under an older one. Repeatable."""
    moved = 0
    is_old = func.substr(TotpSeed.seed, 1, encryption.NAME_BYTES) != encryption.newest_name()
    for user_id, sealed in db.session.execute(select(TotpSeed.user_id, TotpSeed.seed).where(is_old)).all():
        seed = encryption.decrypt(sealed, _context(user_id))
        with transaction():
            changed = db.session.scalar(
                update(TotpSeed)
                .where(TotpSeed.user_id == user_id, TotpSeed.seed == sealed)
                .values(seed=encryption.encrypt(seed, _context(user_id)))
                .returning(TotpSeed.user_id)
            )
        moved += changed is not None
    return moved


def _step_of(seed: str, code: str, after: int) -> int | None:
    """The step whose code this is, if it is near enough to now and later than `after`."""
    typed = re.sub(r"\s", "", code)
    now = int(time.time()) // STEP_SECONDS
    steps = range(max(now - STEPS_OFF, after + 1), now + STEPS_OFF + 1)
    right = [step for step in steps if hmac.compare_digest(TOTP(seed).generate_otp(step).encode(), typed.encode())]
    return max(right, default=None)


def _context(user_id: int) -> str:
    return f"totp:{user_id}"
