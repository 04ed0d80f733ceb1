"""Who is logged in where. A browser holds a random token, PostgreSQL its row; ending the row ends the session.

Sessions end by themselves when they are idle or old; for an admin much sooner.
"""

import secrets
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any

from flask import Response, after_this_request, g, has_request_context, request, session
from flask_babel import gettext as _
from flask_login import current_user, login_user, logout_user
from sqlalchemy import delete, func, select, update

from namaskah import live, mail
from namaskah.auth import audit, devices
from namaskah.auth.models import Session, User
from namaskah.db import db, require_transaction, transaction
from namaskah.errors import UserError

# Idle, and at most, by role. An admin's browser left open is worth more to a thief.
LIMITS = {
    "customer": (timedelta(days=14), timedelta(days=30)),
    "admin": (timedelta(minutes=30), timedelta(hours=12)),
}
# How long a proof of who somebody is counts for changes that could take the account away.
CONFIRMED_FOR = timedelta(minutes=5)
# Seen again is written down this often; more would be a write for every page.
SEEN_EVERY = timedelta(minutes=1)
# What outlives logging in and out: it belongs to the browser, not to a person.
KEPT_IN_COOKIE = ("language", "theme")


class PasswordChanged(UserError):
    """The password was changed between checking it and opening the session."""

    status = 409


@dataclass(frozen=True)
class Opened:
    """A new session, and the only time its token is known outside the browser."""

    session: Session
    token: str


def open_session(user: User, *, second_factor: bool = False) -> Opened:
    """A session of this user's for the browser that sends the request. Needs an open transaction."""
    require_transaction()
    token = secrets.token_urlsafe(32)
    row = Session(user_id=user.id, token_hash=_hash(token), second_factor=second_factor)
    if has_request_context():
        row.address, row.device = (request.remote_addr or "")[:45], devices.name()
    db.session.add(row)
    db.session.flush()
    return Opened(row, token)


def find_user(token: str) -> User | None:
    """Whose cookie holds this token, with `session` set; None when the session has ended or its account is banned.

    An open page's socket came with its session's token of then, which may have been exchanged since: it goes by the id.
    """
    of_socket = request.environ.get(live.SESSION) if has_request_context() else None
    which = Session.token_hash == _hash(token) if of_socket is None else Session.id == of_socket
    found = db.session.execute(select(Session, User).join(User, User.id == Session.user_id).where(which)).one_or_none()
    if found is None:
        return None
    row, user = found
    if not user.is_active or _is_over(row, user):
        return None
    user.session, user.session_token = row, token
    return user


def log_in(user: User, method: str, *, second_factor: bool = False) -> None:
    """Begin a session in this browser, with nothing left in it of whoever used it before. `method` says how they
    proved who they are: password, totp, recovery_code, passkey. Raises PasswordChanged."""
    with transaction():
        # Whoever changes the password ends all sessions: one that was about to be opened with the old one must not come
        # after that. The lock has one of the two wait for the other.
        stored = select(User.password_hash).where(User.id == user.id).with_for_update(read=True)
        if db.session.scalar(stored) != user.password_hash:
            raise PasswordChanged(_("Your password has been changed just now. Log in with the new one."))
        if not devices.is_known(user) and audit.has_happened("login", user.id):
            mail.new_device(user, devices.name(), request.remote_addr or "")
        opened = open_session(user, second_factor=second_factor)
        audit.record("login", user.id, method=method)
    clear_cookie()
    user.session, user.session_token = opened.session, opened.token
    login_user(user)
    session.permanent = True
    devices.remember(user)


def log_out() -> None:
    """End this browser's session."""
    if current_user.is_authenticated:
        user, row = current_user, current_user.session
        with transaction():
            db.session.execute(delete(Session).where(Session.id == row.id))
            audit.record("logout", user.id)
        live.publish(user.id, "session")
    # Other tabs are led to the log-in form at this moment: with one token for all, whichever page answers last, the
    # form still counts.
    clear_cookie(but="csrf_token")
    logout_user()
    after_this_request(_empty_browser)


def confirm(user: User, *, second_factor: bool = False) -> None:
    """The person of this session has just proved again who they are; its token is exchanged for a new one."""
    rotate(user, confirmed_at=func.now(), **({"second_factor": True} if second_factor else {}))


def rotate(user: User, **changed: Any) -> None:
    """Exchange the token of this session for a new one: what it may do has changed, and a copy of the old one shall be
    worth nothing."""
    assert user.session is not None
    token = secrets.token_urlsafe(32)
    with transaction():
        db.session.execute(
            update(Session).where(Session.id == user.session.id).values(changed | {"token_hash": _hash(token)})
        )
    user.session_token = token
    login_user(user)


def is_confirmed(row: Session) -> bool:
    """Whether the person of this session proved who they are within CONFIRMED_FOR."""
    return row.confirmed_at > datetime.now(UTC) - CONFIRMED_FOR


def of_user(user: User) -> list[Session]:
    """Where this user is logged in, last seen first."""
    rows = db.session.scalars(select(Session).where(Session.user_id == user.id).order_by(Session.seen_at.desc()))
    return [row for row in rows if not _is_over(row, user)]


def end(user: User, session_id: int) -> bool:
    """Log one of this user's browsers out; False when there is no such session of theirs."""
    with transaction():
        ended = db.session.scalar(
            delete(Session).where(Session.id == session_id, Session.user_id == user.id).returning(Session.id)
        )
        if ended is not None:
            audit.record("session_ended", user.id)
    live.publish(user.id, "session")
    return ended is not None


def end_others(user: User) -> int:
    """Log this user out everywhere but here; returns how many sessions that ended."""
    with transaction():
        ended = end_all(user, but=user.session)
        audit.record("sessions_ended", user.id, count=ended)
    return ended


def end_all(user: User, but: Session | None = None) -> int:
    """End this user's sessions, open pages included, except `but`. Needs an open transaction."""
    require_transaction()
    kept = but.id if but else 0
    ended = db.session.scalars(
        delete(Session).where(Session.user_id == user.id, Session.id != kept).returning(Session.id)
    ).all()
    live.publish_on_commit(user.id, "session")
    return len(ended)


def end_old_due(limit: int = 500) -> int:
    """Remove so many rows of sessions that are over; returns how many it were."""
    idle, oldest = LIMITS["customer"]
    over = (
        select(Session.id)
        .where((Session.seen_at < func.now() - idle) | (Session.created_at < func.now() - oldest))
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    with transaction():
        return len(db.session.scalars(delete(Session).where(Session.id.in_(over)).returning(Session.id)).all())


def note_seen(response: Response) -> Response:
    """After each request: write down, once a minute, that the session is in use."""
    user = current_user._get_current_object() if "_login_user" in g else None
    row = getattr(user, "session", None)
    if row is not None and row.seen_at < datetime.now(UTC) - SEEN_EVERY:
        db.session.rollback()
        with transaction():
            db.session.execute(
                update(Session)
                .where(Session.id == row.id)
                .values(seen_at=func.now(), address=(request.remote_addr or "")[:45])
            )
    return response


def clear_cookie(but: str = "") -> None:
    """Empty the browser's own part of a session, but for what belongs to the browser and the entry `but`."""
    kept = {name: session[name] for name in (*KEPT_IN_COOKIE, but) if name in session}
    session.clear()
    session.update(kept)


def _empty_browser(response: Response) -> Response:
    """Have the browser forget the pages it keeps. Not its cookies: that it is a known one outlives the log-out."""
    response.headers["Clear-Site-Data"] = '"cache", "storage"'
    return response


def _is_over(row: Session, user: User) -> bool:
    now = datetime.now(UTC)
    idle, oldest = LIMITS[user.role]
    return row.seen_at < now - idle or row.created_at < now - oldest


def _hash(token: str) -> bytes:
    return sha256(token.encode("utf-8", "replace")).digest()
