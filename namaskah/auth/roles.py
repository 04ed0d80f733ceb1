"""Who runs the place. Given and taken by whoever sits at the keyboard of the server, never by a page."""

from namaskah.auth import audit, sessions
from namaskah.auth.models import User
from namaskah.db import transaction


class NotFit(Exception):
    """The account cannot be an operator's; the message says why."""


def make_admin(user: User, actor: str, reason: str) -> None:
    """Open the operator's pages to an account. It is logged out everywhere, so that the next log-in asks for the second
    factor. Once more changes nothing. Raises NotFit for an account that is closed or has not confirmed its address."""
    if user.is_admin:
        return
    if user.email_verified_at is None:
        raise NotFit("the address is not confirmed yet: open the link of the letter first")
    if user.banned_at is not None:
        raise NotFit("the account is closed")
    _change(user, "admin", "admin_made", actor, reason)


def end_admin(user: User, actor: str, reason: str) -> None:
    """Close the operator's pages to an account, at once. Once more changes nothing."""
    if user.is_admin:
        _change(user, "customer", "admin_ended", actor, reason)


def _change(user: User, role: str, kind: str, actor: str, reason: str) -> None:
    with transaction():
        user.role = role
        sessions.end_all(user)
        audit.record(kind, user.id, actor, reason=reason)
