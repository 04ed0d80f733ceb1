"""What is told of our health: to whoever restarts processes, balances the load, or looks at it from outside."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from time import monotonic
from typing import Any

from flask import current_app
from sqlalchemy import text

from namaskah import draining, release, replica
from namaskah.db import db
from namaskah.watch import facts, heartbeats, measuring, probing

# A job that should have been done for this long: workers are missing, or too few.
QUEUE_LATE_SECONDS = 60
KEPT_SECONDS = 2.0
MEASURED_WITHIN_SECONDS = 300
UNKNOWN = "unknown"

# What other rooms know to be not well, by name, and no reason for customers to go: filled by create_app(). Each is
# asked within the transaction that reads the rest.
troubles: list[Callable[[], list[str]]] = []


class _Last:
    told: dict[str, Any] = {}
    at = -1e9


@dataclass(frozen=True)
class Readiness:
    """Whether requests may come; `why_not` names what is missing, `degraded` what is not well and no reason to go."""

    database: bool
    migrated: bool
    draining: bool
    degraded: list[str]
    replica: str

    @property
    def is_ready(self) -> bool:
        return self.database and self.migrated and not self.draining

    @property
    def why_not(self) -> list[str]:
        missing = {"database": self.database, "migrations": self.migrated, "draining": not self.draining}
        return [name for name, is_well in missing.items() if not is_well]


def readiness() -> Readiness:
    """Asks the databases and Redis alone: a provider or a mail server that is away must not empty the site."""
    found = probing.schema()
    other = probing.quietly(lambda: replica.look().state, UNKNOWN) if found is not None else UNKNOWN
    degraded = {"redis": not probing.redis_answers(), "replica": other not in (replica.NONE, replica.OK, UNKNOWN)}
    return Readiness(
        database=found is not None,
        migrated=found is None or probing.is_migrated(found),
        draining=draining.is_draining(),
        degraded=[name for name, is_so in degraded.items() if is_so],
        replica=other if replica.is_set() else replica.NONE,
    )


def told() -> dict[str, Any]:
    """What /health answers. `status`: ok; degraded, with what of it; down without a database or its migrations."""
    if monotonic() - _Last.at < KEPT_SECONDS:
        return _Last.told
    ready = readiness()
    inside = probing.quietly(_inside, {}) if ready.database and ready.migrated else {}
    workers = inside.get("workers", 0)
    degraded = [*ready.degraded, *inside.get("degraded", [])]
    if inside and not workers:
        degraded.append("worker")
    if inside.get("queue_age", 0) > QUEUE_LATE_SECONDS:
        degraded.append("queue")
    is_up = bool(inside)
    _Last.told = {
        "status": "down" if not is_up else "degraded" if degraded or ready.draining else "ok",
        "degraded": degraded,
        "database": "ok" if is_up else _what_is_wrong(ready),
        "replica": ready.replica,
        "redis": "down" if "redis" in ready.degraded else "ok",
        "worker": UNKNOWN if not inside else "ok" if workers else "down",
        "workers": workers,
        "queue_age_seconds": round(inside.get("queue_age", 0), 1) if inside else None,
        "draining": ready.draining,
        "version": release.VERSION,
        "commit": release.revision(current_app.config),
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    _Last.at = monotonic()
    return _Last.told


def _what_is_wrong(ready: Readiness) -> str:
    if not ready.database:
        return "down"
    return "busy" if ready.migrated else "not migrated"


def forget() -> None:
    """Look anew at the next question."""
    _Last.at = -1e9
    probing.forget()


def _inside() -> dict[str, Any]:
    db.session.execute(text("SET LOCAL statement_timeout = 2000"))
    measured = measuring.latest()
    parts: dict[str, str] = {}
    if measured is not None and (datetime.now(UTC) - measured.minute).total_seconds() < MEASURED_WITHIN_SECONDS:
        parts = measured.states or {}
    found = {
        "workers": sum(worker.is_alive for worker in heartbeats.workers()),
        "queue_age": facts.oldest_job(),
        "degraded": [
            *(part for part, state in parts.items() if state != "ok"),
            *(name for trouble in troubles for name in trouble()),
        ],
    }
    db.session.rollback()
    return found
