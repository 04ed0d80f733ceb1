"""Which request, job or turn of a periodic verb is being worked on, and for whom: for logs, jobs, outbound calls,
reports of crashes and error pages.

An id comes from the proxy in front of us (X-Request-ID) or is made here, and goes along wherever the work does: what a
customer reads on an error page finds the worker's lines about the letter that their click caused.
"""

import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from flask import g, has_app_context
from sqlalchemy import inspect
from sqlalchemy.exc import NoInspectionAvailable

HEADER = "X-Request-ID"
# Long enough to be one of a kind, and nothing that a log, a header or a page would have to escape.
_GOOD = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{7,63}")

# None outside of any request, job or turn; empty inside one that nobody has needed the id of yet.
_id: ContextVar[str | None] = ContextVar("request_id", default=None)
_work: ContextVar[str] = ContextVar("work", default="")


def accepted(sent: str | None) -> str:
    """The id somebody sent if it is one, else a new one."""
    return sent if sent and _GOOD.fullmatch(sent) else secrets.token_hex(16)


def set_id(request_id: str | None) -> None:
    """What follows belongs to this request; None: to none."""
    _id.set(request_id)


def known_id() -> str:
    """The id of what is being worked on; empty when nobody has needed one yet."""
    return _id.get() or ""


def current_id() -> str:
    """The id of what is being worked on, made now if it has none; outside of all of it a new one each time."""
    known = _id.get()
    if known:
        return known
    made = accepted(None)
    if known is not None:
        _id.set(made)
    return made


def work() -> str:
    """What the worker is at: "job send_mail", "verb poll_due"; empty in a request."""
    return _work.get()


@contextmanager
def working(what: str, request_id: str = "") -> Iterator[None]:
    """Around one job or one turn; without an id it is given one when something asks for it."""
    tokens = _id.set(request_id), _work.set(what)
    try:
        yield
    finally:
        _id.reset(tokens[0])
        _work.reset(tokens[1])


def user_id() -> int | None:
    """Who is logged in, if anything has asked so far. Never asks the database: it may be what has just failed."""
    reader = g.get("_login_user") if has_app_context() else None
    try:
        identity = inspect(reader).identity if reader is not None else None
    except NoInspectionAvailable:  # a visitor
        return None
    return int(identity[0]) if identity else None
