"""A new password for an account, by knowing the old one or by a link in a letter.

Either way the hash is replaced only while it is the one that was looked at: of many at once, one does it. All other
sessions end, and an address that waits to be confirmed is forgotten. A second factor stays what it is.
"""

import hmac
from hashlib import sha256
from typing import Any

from flask import request
from flask_babel import gettext as _
from sqlalchemy import delete, func, update

from namaskah import jobs, mail
from namaskah.auth import accounts, audit, devices, links, passwords, sessions
from namaskah.auth.accounts import InvalidLink
from namaskah.auth.models import EmailChange, Session, User
from namaskah.db import db, leave_database, transaction

RESET_MINUTES = 60
_PURPOSE = "reset-password"


def change_password(user: User, current: str, new: str) -> bool:
    """Replace the password of whoever is logged in; False when `current` is not it.

    This session stays, with a new token. Raises sessions.PasswordChanged when somebody else was faster.
    """
    stored, here = user.password_hash, user.session
    if not accounts.is_password_of(user, current):
        return False
    password_hash = passwords.hashed(new)
    with transaction():
        if not _replace(user, stored, password_hash, but=here):
            raise sessions.PasswordChanged(_("Your password has been changed just now. Log in with the new one."))
        audit.record("password_changed", user.id)
    sessions.confirm(user)
    return True


def ask_for_reset(email: str) -> None:
    """Somebody cannot get in any more. Whether the address has an account is for the worker to find out: the caller
    must not see it, nor measure it. `email` comes from accounts.parse_email."""
    with transaction():
        jobs.defer("send_reset_link", email=email)


def send_reset_link(email: str) -> None:
    """The worker's part of ask_for_reset(): a letter to the owner of an open account, nothing to anybody else."""
    user = accounts.find_by_email(email)
    if user is None or not user.is_active:
        return
    mail.reset_password(user, links.to(f"reset-password/{reset_token(user)}"), RESET_MINUTES)
    with transaction():
        audit.record("reset_asked", user.id)


def reset_token(user: User) -> str:
    """What lets somebody who reads this account's mail choose its password, once, within RESET_MINUTES."""
    return links.sign(_PURPOSE, user.id, _seal(user))


def get_by_token(token: str) -> User:
    """Whose password this link is for. Looking uses nothing up. Raises InvalidLink."""
    content = links.read(_PURPOSE, token, RESET_MINUTES * 60)
    user = db.session.get(User, content[0]) if content else None
    if not content or user is None or not user.is_active or not hmac.compare_digest(_seal(user), content[1]):
        raise InvalidLink(_("This link does not work any more. Ask for a new letter."))
    return user


def reset_password(token: str, new: str) -> User:
    """Give the account this password and log it out everywhere. Raises InvalidLink.

    Whoever opened the link reads the mail of the address, so an address that was not confirmed is from now on.
    """
    user = get_by_token(token)
    stored, email, is_verified = user.password_hash, user.email, user.is_verified
    leave_database()
    password_hash = passwords.hashed(new)
    with transaction():
        if not _replace(user, stored, password_hash, reads_mail_of=email):
            raise InvalidLink(_("This link does not work any more. Ask for a new letter."))
        audit.record("password_reset", user.id, confirmed_address=not is_verified)
    return user


def _replace(user: User, stored: str, new: str, *, but: Session | None = None, reads_mail_of: str = "") -> bool:
    """Put the hash `new` in the place of `stored`, if that is still there. `reads_mail_of` is an address somebody has
    just proved to be theirs: it must still be the account's, and is confirmed."""
    unchanged = [User.id == user.id, User.password_hash == stored, User.banned_at.is_(None)]
    values: dict[str, Any] = {"password_hash": new}
    if reads_mail_of:
        unchanged.append(User.email == reads_mail_of)
        values["email_verified_at"] = func.coalesce(User.email_verified_at, func.now())
    done = update(User).where(*unchanged).values(values).returning(User.id)
    if db.session.scalar(done.execution_options(synchronize_session=False)) is None:
        return False
    db.session.refresh(user)
    db.session.execute(delete(EmailChange).where(EmailChange.user_id == user.id))
    sessions.end_all(user, but=but)
    mail.password_changed(user, devices.name(), request.remote_addr or "")
    return True


def _seal(user: User) -> str:
    """Changes with the password and with the address: the links made before are dead."""
    return sha256(f"{user.password_hash}\n{user.email}".encode()).hexdigest()
