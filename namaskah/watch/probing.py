"""Whether what we stand on answers, told within a second however badly it hangs."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as TooLate
from functools import cache
from pathlib import Path
from threading import Lock
from time import monotonic
from typing import Any

from alembic.script import ScriptDirectory
from flask import current_app
from redis.exceptions import RedisError
from sqlalchemy import create_engine, text
from sqlalchemy.engine import Engine
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import NullPool

from namaskah import postgres
from namaskah.db import db
from namaskah.extensions import redis

SECONDS = 1.0
# What was found holds for this long: whoever asks oftener is told the same.
FRESH_SECONDS = 1.0
MIGRATIONS = Path(__file__).parents[2] / "migrations"


class _Last:
    """The last look at the database of this process."""

    lock = Lock()
    pool: ThreadPoolExecutor | None = None
    running: Future[str | None] | None = None
    found: str | None = None
    at = -1e9


def schema() -> str | None:
    """The migration the database is at, "" for an empty one; None when it did not answer within a second.

    Asked over a connection of its own: those of the pool may all be busy, which is no reason to send people elsewhere.
    """
    with _Last.lock:
        if monotonic() - _Last.at < FRESH_SECONDS:
            return _Last.found
        if _Last.running is None or _Last.running.done():
            _Last.pool = _Last.pool or ThreadPoolExecutor(1, "probing")
            _Last.running = _Last.pool.submit(_ask, current_app.config["SQLALCHEMY_DATABASE_URI"])
        running = _Last.running
    try:
        found = running.result(SECONDS)
    except (TooLate, SQLAlchemyError):
        found = None
    with _Last.lock:
        _Last.found, _Last.at = found, monotonic()
    return found


def forget() -> None:
    """Look anew at the next question."""
    _Last.at = -1e9


def is_migrated(found: str) -> bool:
    """Whether our code runs on this schema: its own, or that of a later release, which keeps to it."""
    return found == head() or (found != "" and found not in _known())


def redis_answers() -> bool:
    """Whether Redis does, within 200 ms."""
    try:
        return bool(redis.client.ping())
    except (RedisError, OSError):
        return False


@cache
def head() -> str:
    """The newest migration of this release."""
    return str(_scripts().get_current_head())


@cache
def _known() -> frozenset[str]:
    return frozenset(script.revision for script in _scripts().walk_revisions())


@cache
def _scripts() -> ScriptDirectory:
    return ScriptDirectory(str(MIGRATIONS))


@cache
def _engine(url: str) -> Engine:
    # Without keep-alive a server that vanishes under a look holds it, and all that follow, for hours.
    options: dict[str, Any] = postgres.KEPT_ALIVE | {
        "connect_timeout": 1,
        "options": "-c statement_timeout=1000 -c lock_timeout=500",
    }
    return create_engine(url, poolclass=NullPool, connect_args=options, hide_parameters=True)


def _ask(url: str) -> str | None:
    with _engine(url).connect() as connection:
        if connection.scalar(text("SELECT to_regclass('alembic_version')")) is None:
            return ""
        return str(connection.scalar(text("SELECT version_num FROM alembic_version")) or "")


def pool_has_room() -> bool:
    """Whether this process could be served at once. What only watches must not queue with those who are served."""
    pool: Any = db.engine.pool
    return bool(pool.checkedout() < pool.size())


def quietly(read: Callable[[], Any], otherwise: Any) -> Any:
    """What `read` gives, or `otherwise` when the database does not serve it, or not at once."""
    try:
        return read() if pool_has_room() else otherwise
    except SQLAlchemyError:
        return otherwise
