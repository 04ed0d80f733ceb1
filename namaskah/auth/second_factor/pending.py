"""Who has given the right password and not the second factor yet. It is a note in the browser's signed cookie, not a
log-in: it opens nothing but the page that asks for the factor."""

import time
from hashlib import sha256

from flask import session, url_for

from namaskah.auth import sessions
from namaskah.auth.models import User
from namaskah.auth.second_factor import factors
from namaskah.db import db

SECONDS = 600
NOTE = "pending"


def log_in_or_ask(user: User, method: str, target: str) -> str:
    """Log in, or, where the account has a second factor, note who is half way in. Returns where to send the browser:
    to `target`, or to the page that asks for the factor. For every way in that proves no second factor."""
    if not factors.are_set_up(user):
        sessions.log_in(user, method)
        return target
    sessions.clear_cookie()
    session[NOTE] = {"user": user.id, "at": int(time.time()), "password": _mark(user)}
    return url_for("second_factor.log_in", next=target)


def find_user() -> User | None:
    """Who is half way in with this browser; None when nobody is, or it took too long, or the password was changed or
    the account closed meanwhile."""
    note = session.get(NOTE)
    if not isinstance(note, dict) or time.time() >= note["at"] + SECONDS:
        return None
    user = db.session.get(User, note["user"])
    if user is None or not user.is_active or note["password"] != _mark(user) or not factors.are_set_up(user):
        return None
    return user


def is_noted() -> bool:
    """Whether somebody was half way in, be it too long ago."""
    return NOTE in session


def forget() -> None:
    session.pop(NOTE, None)


def _mark(user: User) -> str:
    """Changes with the password, and tells nothing about it: its salt is in no cookie."""
    return sha256(user.password_hash.encode()).hexdigest()[:32]
