"""Which language, time zone and theme a page is made in."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from flask import has_request_context, request, session
from flask_babel import refresh
from flask_login import current_user

from namaskah.auth.models import User

# Code and its own name, in the order they are offered. A language stands here when its translation is complete.
LANGUAGES = (("en", "English"), ("ar", "العربية"))
CODES = tuple(code for code, _name in LANGUAGES)
DEFAULT = "en"
THEMES = ("", "day", "night")

# Whom something is rendered for when it is not whoever sent the request: a mail, a push to a page.
_reader: ContextVar[User | None] = ContextVar("reader", default=None)


def choose_locale() -> str:
    """The reader's language, else the browser session's, else the best the browser asks for, else English."""
    reader = _whoever_reads()
    if reader:
        return reader.language if reader.language in CODES else DEFAULT
    if not has_request_context():
        return DEFAULT
    if session.get("language") in CODES:
        return str(session["language"])
    return _asked_for() or DEFAULT


def choose_timezone() -> str | None:
    """The reader's time zone; None means the default."""
    reader = _whoever_reads()
    return reader.timezone if reader else None


def choose_theme() -> str:
    """`day`, `night`, or nothing for what the device says."""
    reader = _whoever_reads()
    if reader:
        return reader.theme
    return str(session.get("theme", "")) if has_request_context() else ""


@contextmanager
def reading_as(user: User) -> Iterator[None]:
    """Render for this user, whoever caused it: in their language, with times in their zone."""
    token = _reader.set(user)
    refresh()
    try:
        yield
    finally:
        _reader.reset(token)
        refresh()


def _asked_for() -> str | None:
    """The first language the browser asks for that we have; somebody who reads ar-EG reads ar."""
    codes = {code.lower(): code for code in CODES}
    for tag, quality in request.accept_languages:
        wanted = tag.lower().replace("-", "_")
        code = codes.get(wanted) or codes.get(wanted.partition("_")[0])
        if code and quality > 0:
            return code
    return None


def _whoever_reads() -> User | None:
    reader = _reader.get()
    if reader is None and has_request_context() and current_user.is_authenticated:
        return current_user._get_current_object()
    return reader
