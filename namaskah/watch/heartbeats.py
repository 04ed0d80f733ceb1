"""That workers run: each writes a row every few seconds, with how its periodic verbs get on."""

import os
import threading
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from flask import current_app
from sqlalchemy import delete, func, select
from sqlalchemy.dialects.postgresql import insert as pg_insert

from namaskah import release
from namaskah.db import db, transaction
from namaskah.watch.models import WorkerHeartbeat

EVERY_SECONDS = 10
# A heart that has not beaten for this long counts as stopped; its row goes after a while, when nobody looks for it.
ALIVE_SECONDS = 45
KEPT_SECONDS = 600
# A verb that asks a provider may take half a minute over it.
LATE_SECONDS = 120


class _Process:
    """What this process has done since it began."""

    lock = threading.Lock()
    started_at = datetime.now(UTC)
    name = f"{os.uname().nodename}:{os.getpid()}:{int(started_at.timestamp())}"[:160]
    turns: dict[str, dict[str, float]] = {}
    jobs: dict[str, dict[str, int]] = {}


@dataclass(frozen=True)
class Worker:
    """A row as it is now: ages in seconds. `lags`: how long ago each periodic verb last came back."""

    name: str
    version: str
    age: float
    lags: dict[str, float]
    turns: dict[str, dict[str, float]]
    jobs: dict[str, dict[str, int]]

    @property
    def is_alive(self) -> bool:
        return self.age < ALIVE_SECONDS

    @property
    def late(self) -> list[str]:
        """Periodic verbs that should have come back long ago."""
        return sorted(verb for verb, lag in self.lags.items() if lag > LATE_SECONDS + 2 * self.turns[verb]["every"])


def turned(verb: str, every: float, failed: bool = False) -> None:
    """A periodic verb of this process, called every so many seconds, has come back."""
    with _Process.lock:
        row = _Process.turns.setdefault(verb, {"every": every, "at": 0.0, "count": 0, "failed": 0})
        row["at"] = time.monotonic()
        row["failed" if failed else "count"] += 1


def worked(task: str, failed: bool = False) -> None:
    """A job of this process has ended, or has to be tried again."""
    with _Process.lock:
        _Process.jobs.setdefault(task, {"done": 0, "failed": 0})["failed" if failed else "done"] += 1


def beat() -> int:
    """Worker: say that this process is there."""
    row = {
        "name": _Process.name,
        "version": release.name(current_app.config)[:80],
        "started_at": _Process.started_at,
        "beat_at": func.now(),
        **_done(),
    }
    upsert = pg_insert(WorkerHeartbeat).values(row)
    with transaction():
        db.session.execute(upsert.on_conflict_do_update(index_elements=["name"], set_=row))
    return 0


def forget_gone_due() -> int:
    """Forget processes that have not been there for long; returns how many it were."""
    old = WorkerHeartbeat.beat_at < func.now() - func.make_interval(0, 0, 0, 0, 0, 0, KEPT_SECONDS)
    with transaction():
        return len(db.session.scalars(delete(WorkerHeartbeat).where(old).returning(WorkerHeartbeat.id)).all())


def leave() -> None:
    """This process ends in good order: nobody needs to miss it."""
    with transaction():
        db.session.execute(delete(WorkerHeartbeat).where(WorkerHeartbeat.name == _Process.name))


def workers() -> list[Worker]:
    """All that were there lately, those that beat last first."""
    age = func.extract("epoch", func.clock_timestamp() - WorkerHeartbeat.beat_at)
    rows = db.session.execute(select(WorkerHeartbeat, age).order_by(WorkerHeartbeat.beat_at.desc())).all()
    return [
        Worker(
            row.name,
            row.version,
            max(0.0, float(seconds)),
            {verb: round(turn["ago"] + max(0.0, float(seconds)), 1) for verb, turn in row.turns.items()},
            row.turns,
            row.jobs,
        )
        for row, seconds in rows
    ]


def _done() -> dict[str, Any]:
    now = time.monotonic()
    with _Process.lock:
        turns = {
            verb: {
                "every": row["every"],
                "count": row["count"],
                "failed": row["failed"],
                "ago": round(now - row["at"], 1),
            }
            for verb, row in _Process.turns.items()
        }
        return {"turns": turns, "jobs": {task: dict(counts) for task, counts in _Process.jobs.items()}}
