"""Another address for an account: kept aside until its owner opens a link that was sent there.

The account must be logged in for it. A stranger to whom the letter went by a slip of the pen can do nothing with it.
"""

import secrets

from flask import request
from flask_babel import gettext as _
from sqlalchemy import ColumnElement, Select, delete, func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import IntegrityError

from namaskah import jobs, mail
from namaskah.auth import accounts, audit, devices, links, sessions
from namaskah.auth.accounts import InvalidLink
from namaskah.auth.models import EmailChange, User
from namaskah.db import db, transaction, violated

HOURS = 24
_PURPOSE = "change-email"


def ask(user: User, email: str) -> None:
    """Keep `email` (from accounts.parse_email) aside for this account, in the place of one asked for before; a link
    goes there, a notice to the present address. Whether the address has an account is not told."""
    key = secrets.token_hex(16)
    kept = {"email": email, "key": key, "sent_at": func.now()}
    with transaction():
        db.session.execute(
            insert(EmailChange)
            .values(user_id=user.id, **kept)
            .on_conflict_do_update(index_elements=["user_id"], set_=kept)
        )
        jobs.defer("send_email_change", user_id=user.id, key=key)
        mail.email_change_asked(user, devices.name(), request.remote_addr or "")
        audit.record("email_change_asked", user.id)


def find(user: User) -> EmailChange | None:
    """The change that waits to be confirmed."""
    return db.session.scalar(_waiting(user.id).execution_options(populate_existing=True))


def send_link(user_id: int, key: str) -> None:
    """The worker's part of ask(): the letter with the link; if the address has an account by now, a letter to its
    owner instead."""
    user = db.session.get(User, user_id)
    change = db.session.scalar(_waiting(user_id).where(EmailChange.key == key))
    if user is None or change is None or not user.is_active:
        return
    owner = accounts.find_by_email(change.email)
    if owner and owner.id != user.id:
        with transaction():
            mail.address_in_use(owner)
    else:
        link = links.to(f"account/email/{token_of(change)}")
        mail.confirm_new_address(user, change.email, link, HOURS)


def resend(user: User) -> None:
    """Send the letter again; the link in it works for HOURS from now."""
    with transaction():
        key = db.session.scalar(
            update(EmailChange)
            .where(EmailChange.user_id == user.id, _is_fresh())
            .values(sent_at=func.now())
            .returning(EmailChange.key)
        )
        if key is not None:
            jobs.defer("send_email_change", user_id=user.id, key=key)


def cancel(user: User) -> None:
    """Leave the address as it is; the link is dead."""
    gone = delete(EmailChange).where(EmailChange.user_id == user.id).returning(EmailChange.user_id)
    with transaction():
        if db.session.scalar(gone) is not None:
            audit.record("email_change_cancelled", user.id)


def token_of(change: EmailChange) -> str:
    """What proves, within HOURS, that somebody reads the mail of the new address."""
    return links.sign(_PURPOSE, change.user_id, change.key)


def get_by_token(user: User, token: str) -> EmailChange:
    """The change this link is for. Looking uses nothing up. Raises InvalidLink, also for another account's."""
    content = links.read(_PURPOSE, token, HOURS * 3600)
    change = find(user) if content and content[0] == user.id else None
    if not content or change is None or change.key != content[1]:
        raise _spent()
    return change


def confirm(user: User, token: str) -> None:
    """Make the new address this account's. Its other sessions end, this one gets a new token, and the old address is
    told. Raises InvalidLink, also when somebody else has an account with the address by now."""
    change = get_by_token(user, token)
    taken = delete(EmailChange).where(EmailChange.user_id == user.id, EmailChange.key == change.key, _is_fresh())
    try:
        with transaction():
            # The account first, as everywhere: a password changed at the same moment waits, or has dropped the change.
            db.session.execute(select(User.id).where(User.id == user.id).with_for_update())
            email = db.session.scalar(taken.returning(EmailChange.email))
            if email is None:
                raise _spent()
            mail.email_changed(user, devices.name(), request.remote_addr or "")
            db.session.execute(update(User).where(User.id == user.id).values(email=email, email_verified_at=func.now()))
            sessions.end_all(user, but=user.session)
            audit.record("email_changed", user.id)
    except IntegrityError as error:
        # The index decides.
        if violated(error) != "uq_users_email_lower":
            raise
        cancel(user)
        raise InvalidLink(_("There is an account with this address by now. Yours keeps the one it has.")) from error
    db.session.refresh(user)
    sessions.rotate(user)


def drop_old_due(limit: int = 500) -> int:
    """Forget so many addresses that nobody has confirmed in time; returns how many it were."""
    old = select(EmailChange.user_id).where(~_is_fresh()).limit(limit).with_for_update(skip_locked=True)
    with transaction():
        dropped = delete(EmailChange).where(EmailChange.user_id.in_(old)).returning(EmailChange.user_id)
        return len(db.session.scalars(dropped).all())


def _spent() -> InvalidLink:
    """Of a second press too: so it does not say that nothing was changed."""
    return InvalidLink(_("It was used already, it is too old, or another change was asked for since."))


def _waiting(user_id: int) -> Select[EmailChange]:
    return select(EmailChange).where(EmailChange.user_id == user_id, _is_fresh())


def _is_fresh() -> ColumnElement[bool]:
    return EmailChange.sent_at > func.now() - func.make_interval(0, 0, 0, 0, HOURS)
