"""Running the jobs of housekeeping: the worker when one is due, an operator at any time.

A job is run by one worker at a time: whoever claims its row moves `due_at` past the longest run. One that is killed has
erased whole batches and no part of one; another takes the rest when the claim has run out.
"""

import logging
import time
from contextlib import suppress
from datetime import timedelta
from typing import Any

from sqlalchemy import ColumnElement, func, or_, select, update
from sqlalchemy.dialects.postgresql import insert as pg_insert
from sqlalchemy.exc import SQLAlchemyError

from namaskah import jobs
from namaskah.auth import audit
from namaskah.db import db, transaction
from namaskah.housekeeping import registry
from namaskah.housekeeping.models import HousekeepingJob

log = logging.getLogger(__name__)

# A run ends after this; what it left is due at once.
LONGEST_SECONDS = 20.0
# Nobody has heard of a run for so long: its worker was killed.
LEASE = timedelta(minutes=5)
AFTER_A_FAILURE = timedelta(minutes=5)


def tidy_due() -> int:
    """Worker: run the job that has been due longest; returns 1 when there was one."""
    _make_rows()
    due = select(HousekeepingJob.name).where(
        HousekeepingJob.name.in_(registry.names()), HousekeepingJob.due_at <= func.now()
    )
    oldest = due.order_by(HousekeepingJob.due_at).limit(1).with_for_update(skip_locked=True)
    name = _claim(HousekeepingJob.name == oldest.scalar_subquery())
    if name is None:
        return 0
    _run(registry.get(name))
    return 1


def run(job: str) -> int | None:
    """Run a job now, due or not; returns how many rows it erased, None when a worker is at it already. Also a job of
    the queue. Raises KeyError for a name that is none of the registry's, and whatever the job fails with."""
    found = registry.get(job)
    _make_rows()
    is_free = or_(
        HousekeepingJob.started_at.is_(None),
        HousekeepingJob.ended_at.is_not(None),
        HousekeepingJob.due_at <= func.now(),
    )
    return None if _claim(HousekeepingJob.name == job, is_free) is None else _run(found)


def ask(job: str, actor: str) -> None:
    """Have the worker run a job now, and write down who wanted it. Raises KeyError for a name that is none."""
    found = registry.get(job)
    with transaction():
        jobs.defer("tidy", job=found.name)
        audit.record("housekeeping_asked", None, actor, job=found.name)


def _run(job: registry.Job) -> int:
    """Batch after batch, until nothing is left or the time is over; a failure is noted and raised again."""
    started, erased = time.monotonic(), 0
    is_done = False
    try:
        while not is_done and time.monotonic() < started + LONGEST_SECONDS:
            count = job.batch()
            is_done = not count
            erased += count
            if count:
                _note(job.name, erased_last=erased, erased_total=HousekeepingJob.erased_total + count)
    except Exception as error:
        with suppress(SQLAlchemyError):  # the database is away: the claim runs out by itself
            db.session.rollback()
            told = type(error).__name__  # its words may quote anything
            _note(job.name, ended_at=func.now(), error=told[:200], due_at=func.now() + AFTER_A_FAILURE)
        raise
    next_at = func.now() + timedelta(seconds=job.every) if is_done else func.now()
    _note(job.name, ended_at=func.now(), succeeded_at=func.now(), error="", due_at=next_at)
    if erased:
        log.info("housekeeping: %s erased %d", job.name, erased)
    return erased


def _make_rows() -> None:
    """A row for every job of this release."""
    with transaction():
        rows = [{"name": name} for name in registry.names()]
        db.session.execute(pg_insert(HousekeepingJob).values(rows).on_conflict_do_nothing())


def _claim(*which: ColumnElement[bool]) -> str | None:
    with transaction():
        return db.session.scalar(
            update(HousekeepingJob)
            .where(*which)
            .values(started_at=func.now(), ended_at=None, erased_last=0, due_at=func.now() + LEASE)
            .returning(HousekeepingJob.name)
            .execution_options(synchronize_session=False)
        )


def _note(name: str, **values: Any) -> None:
    with transaction():
        db.session.execute(
            update(HousekeepingJob)
            .where(HousekeepingJob.name == name)
            .values(**values)
            .execution_options(synchronize_session=False)
        )
