"""What a passkey has to sign: random, for one purpose, in one browser, for a few minutes, and once.

The challenge waits in the browser's signed cookie, so that asking for one writes nothing; that it was answered is
written down in the database, where a kept copy of the cookie changes nothing.
"""

import secrets
import time
from base64 import b64decode, b64encode
from datetime import timedelta
from hashlib import sha256

from flask import session
from sqlalchemy import delete, func, select
from sqlalchemy.dialects.postgresql import insert

from namaskah.auth.second_factor.models import SpentChallenge
from namaskah.db import db, require_transaction, transaction

SECONDS = 300
NOTE = "challenge"
# A challenge older than this is refused by its age, so its row has done its work.
KEPT = timedelta(seconds=2 * SECONDS)


def issue(purpose: str) -> bytes:
    """A new challenge for this browser, in the place of one that was not answered."""
    challenge = secrets.token_bytes(32)
    session[NOTE] = {"value": b64encode(challenge).decode(), "for": purpose, "at": int(time.time())}
    return challenge


def take(purpose: str) -> bytes | None:
    """The challenge this browser was given for `purpose`, or None when there is none or it is too old. The next answer
    needs another one."""
    note = session.pop(NOTE, None)
    if not isinstance(note, dict) or note["for"] != purpose or time.time() >= note["at"] + SECONDS:
        return None
    return b64decode(note["value"])


def spend(challenge: bytes) -> bool:
    """Note that it has been answered; False when it was before. Needs an open transaction."""
    require_transaction()
    _forget_old(100)
    statement = insert(SpentChallenge).values(challenge_hash=sha256(challenge).digest())
    spent = statement.on_conflict_do_nothing().returning(SpentChallenge.challenge_hash)
    return db.session.scalar(spent) is not None


def forget_old_due(limit: int = 500) -> int:
    """Forget so many challenges that are refused by their age alone; returns how many it were."""
    with transaction():
        return _forget_old(limit)


def _forget_old(limit: int) -> int:
    old = (
        select(SpentChallenge.challenge_hash)
        .where(SpentChallenge.spent_at < func.now() - KEPT)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    forgotten = delete(SpentChallenge).where(SpentChallenge.challenge_hash.in_(old))
    return len(db.session.scalars(forgotten.returning(SpentChallenge.challenge_hash)).all())
