"""Reading from a replica (DATABASE_REPLICA_URL) what is heavy and moves no money; without one, from the primary.

A replica is used while it is one of our own primary (same cluster, same database), in recovery, and no further behind
than DATABASE_REPLICA_LAG_SECONDS. `as_of_now` wants more: everything that was committed when the question was asked, so
that nobody misses what they did a moment ago. Whatever is wrong with it, the primary answers instead.

How far behind it is, is told by the log: at which place the primary was when, and which place the replica has reached.
Clocks have no part in it, and a primary on which nothing happens is not mistaken for one that is not followed.
"""

import logging
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from time import monotonic
from typing import Any, TypeVar

from flask import current_app
from sqlalchemy import text
from sqlalchemy.engine import Engine
from sqlalchemy.exc import InterfaceError, OperationalError, ProgrammingError
from sqlalchemy.exc import TimeoutError as PoolExhausted
from sqlalchemy.orm import Session

from namaskah import metrics
from namaskah.db import ONLY_READING, db, end_reading, reading_only

NONE, OK, BEHIND, AWAY, OTHER = "none", "ok", "behind", "away", "other"
BIND = "replica"
FRESH_SECONDS = 2.0  # what was found holds for so long
AWAY_SECONDS = 10.0  # and so long where asking again may cost a second
CATCH_UP_SECONDS = 0.5
STEP_SECONDS = 0.02
TOO_SLOW = "57014"  # query_canceled: what took too long there would take as long here

# The place in the log that the server has reached, and which server and database it is.
_PLACE = text("""
    SELECT pg_is_in_recovery() AS is_replica,
           CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_lsn() END - '0/0' AS place,
           extract(epoch FROM now() - pg_last_xact_replay_timestamp()) AS quiet,
           (SELECT system_identifier FROM pg_control_system()) AS cluster,
           (SELECT oid FROM pg_database WHERE datname = current_database()) AS database
""")
_LOST = (OperationalError, InterfaceError, PoolExhausted)

T = TypeVar("T")
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Look:
    """What a replica was found to be: `ok`, `behind`, `away`, or `other` (no replica of our database); `none` where
    none is set. `lag` in seconds, None where nothing is known of it; `place` in the log, in bytes."""

    state: str
    lag: float | None = None
    place: int = 0


@dataclass
class _Memory:
    """Of one process: the last look and how long it holds, and where the primary was when."""

    look: Look = field(default_factory=lambda: Look(AWAY))
    until: float = -1e9
    places: deque[tuple[float, int]] = field(default_factory=lambda: deque(maxlen=64))


def is_set() -> bool:
    return bool(current_app.config["DATABASE_REPLICA_URL"])


def look() -> Look:
    """At most two seconds old, ten where it was away. Raises what the primary raises when it does not answer."""
    if not is_set():
        return Look(NONE)
    memory = _memory()
    if monotonic() >= memory.until:
        memory.until = monotonic() + FRESH_SECONDS  # others go on with what was known until this one is back
        _remember(_look(memory))
    return memory.look


def forget() -> None:
    """Look anew at the next question."""
    _memory().until = -1e9


@contextmanager
def reading(*, as_of_now: bool = False) -> Iterator[str]:
    """Inside, `db.session` reads from the replica or, where that is not to be had, from the primary; it gives "replica"
    or "primary". Nothing can be written. Objects read inside are no longer attached to a session afterwards.

    Raises RuntimeError inside transaction(), and OperationalError and its kin when the replica goes away in the middle:
    the next reading goes to the primary.
    """
    end_reading()
    if not _is_usable(as_of_now):
        metrics.REPLICA_READS.labels("primary").inc()
        with reading_only():
            yield "primary"
        return
    metrics.REPLICA_READS.labels("replica").inc()
    own = db.session()
    other: Any = Session(_engine(), expire_on_commit=False, info={ONLY_READING: True})
    db.session.registry.set(other)
    try:
        yield "replica"
    except _LOST as error:
        if not _is_too_slow(error):
            log.warning("the replica was lost while it was read: %s", type(error).__name__)
            _remember(Look(AWAY))
        raise
    finally:
        db.session.registry.set(own)
        other.close()


def read(verb: Callable[[], T], *, as_of_now: bool = False) -> T:
    """What `verb` gives, read as in reading(); once more, from the primary, when the replica is lost in the middle. So
    it must do nothing but read. Raises RuntimeError inside transaction()."""
    where = "primary"
    try:
        with reading(as_of_now=as_of_now) as where:
            return verb()
    except _LOST as error:
        if where == "primary" or _is_too_slow(error):
            raise
    with reading_only():
        return verb()


def _is_usable(as_of_now: bool) -> bool:
    if not is_set() or look().state != OK:
        return False
    return not as_of_now or _has_caught_up()


def _has_caught_up() -> bool:
    """Whether the replica reaches, within half a second, the place where the primary is now."""
    wanted = db.session.execute(_PLACE).one().place
    end_reading()
    until = monotonic() + CATCH_UP_SECONDS
    try:
        with _engine().connect() as connection:
            while (there := connection.execute(_PLACE).one().place or 0) < wanted and monotonic() < until:
                connection.rollback()
                time.sleep(STEP_SECONDS)
    except _LOST:
        _remember(Look(AWAY))
        return False
    return bool(there >= wanted)


def _look(memory: _Memory) -> Look:
    try:
        ours = db.session.execute(_PLACE).one()
    except ProgrammingError:
        db.session.rollback()
        log.error("our role may not ask which cluster it is in (pg_control_system): no replica is read from")
        return Look(OTHER)
    end_reading()
    now = monotonic()
    memory.places.append((now, ours.place))
    try:
        with _engine().connect() as connection:
            found = connection.execute(_PLACE).one()
    except (*_LOST, ProgrammingError) as error:
        log.warning("the replica does not answer: %s", type(error).__name__)
        return Look(AWAY)
    if not found.is_replica or (found.cluster, found.database) != (ours.cluster, ours.database):
        log.error("DATABASE_REPLICA_URL is no replica of our database: nothing is read from it")
        return Look(OTHER)
    there = int(found.place or 0)
    # Reached a place: not further behind than the time since the primary was there.
    since = min((now - at for at, place in memory.places if place <= there), default=None)
    known = [seconds for seconds in (since, found.quiet) if seconds is not None]
    lag = 0.0 if there >= ours.place else float(min(known)) if known else None
    is_near = lag is not None and lag <= current_app.config["DATABASE_REPLICA_LAG_SECONDS"]
    return Look(OK if is_near else BEHIND, lag, there)


def _remember(found: Look) -> None:
    memory = _memory()
    memory.look = found
    memory.until = monotonic() + (AWAY_SECONDS if found.state in (AWAY, OTHER) else FRESH_SECONDS)


def _memory() -> _Memory:
    made: _Memory = current_app.extensions.setdefault("replica", _Memory())
    return made


def _engine() -> Engine:
    return db.engines[BIND]


def _is_too_slow(error: Exception) -> bool:
    return getattr(getattr(error, "orig", None), "pgcode", None) == TOO_SLOW
