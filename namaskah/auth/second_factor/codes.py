"""A code somebody typed: of the app, or a recovery code. Every one that is wrong counts against the account."""

from datetime import timedelta

from flask_babel import lazy_gettext as _l
from sqlalchemy import func, select

from namaskah.auth import audit
from namaskah.auth.models import AuditEvent, User
from namaskah.auth.second_factor import factors, recovery_codes, totp, tries
from namaskah.db import db, transaction

# The owner hears of somebody trying codes, but not every five minutes.
TOLD_EVERY = timedelta(days=1)


def accept(user: User, typed: str, *, with_recovery: bool) -> str | None:
    """Which kind of code this is, "totp" or "recovery_code", when it is right; it works no second time.

    Raises TooManyTries. `with_recovery`: whether a recovery code will do.
    """
    taken = tries.take(user)
    kind = "recovery_code" if recovery_codes.is_like(typed) else "totp"
    if (kind == "totp" and totp.accept(user, typed)) or (
        kind == "recovery_code" and with_recovery and recovery_codes.use(user, typed)
    ):
        tries.give_back(taken)
        return kind
    _note_wrong(user)
    return None


def _note_wrong(user: User) -> None:
    with transaction():
        if not tries.are_used_up(user):
            audit.record("factor_failed", user.id)
            return
        if not _was_told(user):
            factors.tell(user, _l("Somebody who knows your password has typed five wrong codes. No one was let in."))
        audit.record("factor_blocked", user.id)


def _was_told(user: User) -> bool:
    recent = (AuditEvent.kind == "factor_blocked", AuditEvent.at > func.now() - TOLD_EVERY)
    return db.session.scalar(select(AuditEvent.id).where(AuditEvent.user_id == user.id, *recent).limit(1)) is not None
