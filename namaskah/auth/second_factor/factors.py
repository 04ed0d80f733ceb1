"""Which factors an account has, and the ends of them. Whatever changes here is told by mail and written down."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from flask import current_app, has_request_context, request
from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l
from sqlalchemy import delete, exists, func, or_, select

from namaskah import mail
from namaskah.auth import audit, devices, sessions
from namaskah.auth.models import User
from namaskah.auth.second_factor.models import FactorTry, Passkey, RecoveryCode, TotpSeed
from namaskah.db import db, require_transaction, transaction
from namaskah.errors import UserError

ADDED = {
    "totp": _l("An authenticator app was added to your account."),
    "passkey": _l("A passkey was added to your account."),
}
REMOVED = {
    "totp": _l("The authenticator app was removed from your account."),
    "passkey": _l("A passkey was removed from your account."),
}


class LastFactor(UserError):
    """An admin's only factor is not to be removed."""

    status = 409


@dataclass(frozen=True)
class Factors:
    """What one account has."""

    totp_since: datetime | None
    passkeys: list[Passkey]
    codes_left: int

    @property
    def are_set_up(self) -> bool:
        """Recovery codes alone are no factor: they only stand in for one."""
        return self.totp_since is not None or bool(self.passkeys)


def of(user: User) -> Factors:
    """The factors of this account, its passkeys in the order they were added."""
    return Factors(
        totp_since=db.session.scalar(select(TotpSeed.created_at).where(TotpSeed.user_id == user.id)),
        passkeys=list(db.session.scalars(select(Passkey).where(Passkey.user_id == user.id).order_by(Passkey.id))),
        codes_left=db.session.scalar(select(func.count(RecoveryCode.id)).where(RecoveryCode.user_id == user.id)) or 0,
    )


def are_set_up(user: User) -> bool:
    """Whether the password alone does not open this account."""
    totp = exists().where(TotpSeed.user_id == user.id)
    passkey = exists().where(Passkey.user_id == user.id)
    return bool(db.session.scalar(select(or_(totp, passkey))))


def lock(user: User) -> None:
    """One change of an account's factors at a time. Needs an open transaction."""
    require_transaction()
    db.session.execute(select(User.id).where(User.id == user.id).with_for_update(key_share=True))


def note_added(user: User, factor: str, *, end_others: bool) -> None:
    """Tell the owner of a new factor, and log all other browsers out where they came in by something weaker or older.

    The last step of an open transaction.
    """
    if end_others:
        sessions.end_all(user, but=user.session)
    tell(user, ADDED[factor])
    audit.record("factor_added", user.id, factor=factor)


def remove_totp(user: User) -> bool:
    """Take the authenticator app away; False when there is none. Raises LastFactor."""
    return _remove(user, "totp", delete(TotpSeed).where(TotpSeed.user_id == user.id).returning(TotpSeed.user_id))


def remove_passkey(user: User, passkey_id: int) -> bool:
    """Take one passkey away; False when this account has no such. Raises LastFactor."""
    wanted = (Passkey.id == passkey_id, Passkey.user_id == user.id)
    return _remove(user, "passkey", delete(Passkey).where(*wanted).returning(Passkey.id))


def reset(user: User, actor: str, reason: str) -> None:
    """For somebody who has lost everything: no factor, no codes, logged out everywhere. The password stays.

    `actor` is who decided it, `reason` how we know that it is the owner who asked.
    """
    with transaction():
        lock(user)
        for model in (TotpSeed, Passkey):
            db.session.execute(delete(model).where(model.user_id == user.id))
        _forget_codes(user)
        sessions.end_all(user)
        tell(user, _l("We removed the second factor from your account, because we were asked to."))
        audit.record("factors_reset", user.id, actor, reason=reason)


def tell(user: User, what: Any) -> None:
    """A letter to the owner: `what` happened (a lazily translated sentence), and from where. Needs an open
    transaction."""
    here = (devices.name(), request.remote_addr or "") if has_request_context() else ("", "")
    mail.factor_notice(user, what, *here)


def _remove(user: User, factor: str, statement: Any) -> bool:
    with transaction():
        lock(user)
        if db.session.scalar(statement) is None:
            return False
        if not are_set_up(user):
            if user.is_admin and current_app.config["ADMIN_SECOND_FACTOR"]:
                raise LastFactor(_("Admins need a second factor. Add another one first, then remove this one."))
            _forget_codes(user)
        sessions.end_all(user, but=user.session)
        tell(user, REMOVED[factor])
        audit.record("factor_removed", user.id, factor=factor)
    return True


def _forget_codes(user: User) -> None:
    """Without a factor there is nothing for them to stand in for."""
    for model in (RecoveryCode, FactorTry):
        db.session.execute(delete(model).where(model.user_id == user.id))
