"""What is told of housekeeping: on the operator's page, by the command, to Prometheus."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from math import ceil

from sqlalchemy import select

from namaskah.db import database_time, db
from namaskah.housekeeping import registry
from namaskah.housekeeping.models import HousekeepingJob

# Without a success for so long something is wrong: even the rarest job runs every hour.
LATE_AFTER = timedelta(hours=26)

Figure = tuple[tuple[str, ...], float]


@dataclass(frozen=True)
class Standing:
    """A job and how it stands. `state`: never, running, cut_off (its worker is gone), failed, late, or well."""

    job: registry.Job
    row: HousekeepingJob | None
    state: str
    seconds: int | None  # of the last run that ended, rounded up


def standings() -> list[Standing]:
    """Every job of the registry, in its order."""
    now = database_time()
    rows = _rows()
    return [
        Standing(job, rows.get(job.name), _state(rows.get(job.name), now), _seconds(rows.get(job.name)))
        for job in registry.JOBS
    ]


def troubled() -> int:
    """How many jobs failed last time, were cut off, or have not succeeded for long."""
    return sum(standing.state in ("failed", "cut_off", "late") for standing in standings())


def succeeded() -> list[Figure]:
    """When each job last succeeded, in seconds of the epoch; 0 for one that never did."""
    rows = _rows()
    return [((name,), _epoch(rows[name].succeeded_at if name in rows else None)) for name in registry.names()]


def erased() -> list[Figure]:
    """How many rows each job has erased in all."""
    rows = _rows()
    return [((name,), rows[name].erased_total if name in rows else 0) for name in registry.names()]


def _rows() -> dict[str, HousekeepingJob]:
    found = db.session.scalars(select(HousekeepingJob).execution_options(populate_existing=True))
    return {row.name: row for row in found}


def _state(row: HousekeepingJob | None, now: datetime) -> str:
    if row is None or row.started_at is None:
        return "never"
    if row.ended_at is None:
        return "running" if row.due_at > now else "cut_off"
    if row.error:
        return "failed"
    return "well" if row.succeeded_at is not None and row.succeeded_at > now - LATE_AFTER else "late"


def _seconds(row: HousekeepingJob | None) -> int | None:
    if row is None or row.started_at is None or row.ended_at is None:
        return None
    return max(1, ceil((row.ended_at - row.started_at).total_seconds()))


def _epoch(at: datetime | None) -> float:
    return at.timestamp() if at else 0.0
