"""Recovery codes: ten on paper for when phone and keys are lost. Each works once; a new set ends the old one."""

import base64
import re
import secrets

from argon2 import extract_parameters
from argon2.low_level import Type, hash_secret
from flask_babel import lazy_gettext as _l
from sqlalchemy import delete, func, insert, select

from namaskah.auth import audit, passwords
from namaskah.auth.models import User
from namaskah.auth.second_factor import factors
from namaskah.auth.second_factor.models import RecoveryCode
from namaskah.db import db, leave_database, transaction

COUNT = 10
BYTES = 10  # 80 bits: 16 letters and digits
SALT_BYTES = 16
# OWASP's floor for argon2id is plenty for 80 random bits. Each hash carries its own: a change here ends no code.
COST = {"time_cost": 2, "memory_cost": 19_456, "parallelism": 1, "hash_len": 32}


def renew(user: User) -> list[str]:
    """A new set, in the place of any old one; the only time it is to be had."""
    made = [base64.b32encode(secrets.token_bytes(BYTES)).decode() for _number in range(COUNT)]
    leave_database()
    salt = secrets.token_bytes(SALT_BYTES)
    hashes = [_hashed(code, salt, COST) for code in made]
    with transaction():
        factors.lock(user)
        db.session.execute(delete(RecoveryCode).where(RecoveryCode.user_id == user.id))
        db.session.execute(insert(RecoveryCode), [{"user_id": user.id, "code_hash": kept} for kept in hashes])
        factors.tell(user, _l("New recovery codes were made for your account. Older ones do not work any more."))
        audit.record("recovery_codes_made", user.id)
    return ["-".join(re.findall("....", code)) for code in made]


def is_like(typed: str) -> bool:
    """Whether this has the length of a recovery code, however it is spaced."""
    return len(_plain(typed)) == 16


def use(user: User, typed: str) -> bool:
    """Whether this is one of the account's codes; it is gone then."""
    kept = db.session.scalar(select(RecoveryCode.code_hash).where(RecoveryCode.user_id == user.id).limit(1))
    if kept is None:
        return False
    leave_database()
    wanted = _hashed_like(kept, _plain(typed))
    with transaction():
        found = delete(RecoveryCode).where(RecoveryCode.user_id == user.id, RecoveryCode.code_hash == wanted)
        if db.session.scalar(found.returning(RecoveryCode.id)) is None:
            return False
        left = db.session.scalar(select(func.count(RecoveryCode.id)).where(RecoveryCode.user_id == user.id))
        factors.tell(user, _l("A recovery code was used to log in to your account."))
        audit.record("recovery_code_used", user.id, left=left)
    return True


def _plain(typed: str) -> str:
    """As the codes are made: without spaces and dashes. The letters that look like 0, 1 and 8 are meant."""
    return re.sub(r"[\s\-–]", "", typed).upper().translate(str.maketrans("018", "OIB"))


def _hashed_like(stored: str, code: str) -> str:
    """The hash of `code` with salt and parameters of another one of its set."""
    salt = stored.split("$")[-2]
    known = extract_parameters(stored)
    cost = {name: getattr(known, name) for name in COST}
    return _hashed(code, base64.b64decode(salt + "=" * (-len(salt) % 4)), cost)


def _hashed(code: str, salt: bytes, cost: dict[str, int]) -> str:
    return passwords.beside_the_loop(lambda: hash_secret(code.encode(), salt, type=Type.ID, **cost).decode())
