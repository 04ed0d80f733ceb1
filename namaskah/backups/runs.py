"""What was done and how it went, in the table backup_runs."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import func, select, update
from sqlalchemy.dialects.postgresql import insert

from namaskah.backups.models import BackupRun
from namaskah.db import db, leave_database, transaction

LOST = "its process ended in the middle of it"


@dataclass(frozen=True)
class Age:
    """Seconds since the last backup that succeeded, and since the last drill that did; None: never."""

    backup: float | None
    drill: float | None


def age() -> Age:
    """How old the newest backup is, and how long ago one was restored for practice. For health and metrics: one
    cheap query."""
    since = func.extract("epoch", func.now() - func.max(BackupRun.ended_at))
    found = select(BackupRun.kind, since).where(BackupRun.ok.is_(True), BackupRun.kind.in_(("create", "drill")))
    ages = {kind: float(seconds) for kind, seconds in db.session.execute(found.group_by(BackupRun.kind))}
    return Age(ages.get("create"), ages.get("drill"))


def backup_age() -> float | None:
    """For metrics: seconds since the last backup that succeeded; None: never."""
    return age().backup


def drill_age() -> float | None:
    """The same for drills."""
    return age().drill


def start(kind: str, by: str, name: str) -> int:
    """Write down that it begins; returns the row's number. Whoever calls holds the lock of this kind, so one that is
    still open lost its process."""
    with transaction():
        db.session.execute(
            update(BackupRun)
            .where(BackupRun.kind == kind, BackupRun.ended_at.is_(None))
            .values(ok=False, ended_at=func.clock_timestamp(), error=LOST)
        )
        begun = insert(BackupRun).values(kind=kind, name=name, requested_by=by).returning(BackupRun.id)
        return db.session.scalars(begun).one()


def note(run_id: int, step: str, size: int) -> None:
    """How far it is."""
    with transaction():
        db.session.execute(update(BackupRun).where(BackupRun.id == run_id).values(step=step[:200], size=size))


def end(run_id: int, *, error: str = "", size: int | None = None, **details: Any) -> BackupRun:
    """Write down how it ended; without an error, well."""
    done = {"ok": not error, "error": error[:2000], "step": "", "details": details, "ended_at": func.clock_timestamp()}
    with transaction():
        changed = update(BackupRun).where(BackupRun.id == run_id).values(size=size, **done).returning(BackupRun)
        return db.session.scalars(changed, execution_options={"populate_existing": True}).one()


def take_report(report: str, fields: dict[str, Any]) -> bool:
    """Write down a drill that was made elsewhere, once; whether it was new."""
    with transaction():
        row = {"kind": "drill", "report": report, **fields}
        taken = insert(BackupRun).values(**row).on_conflict_do_nothing(index_elements=["report"])
        return db.session.scalars(taken.returning(BackupRun.id)).first() is not None


def knows_report(report: str) -> bool:
    """Whether this drill is written down already."""
    known = db.session.scalar(select(BackupRun.id).where(BackupRun.report == report))
    leave_database()
    return known is not None


def last(kind: str, ok: bool | None = None) -> BackupRun | None:
    """The one of this kind that ended last, of those that went well or did not if asked for."""
    wanted = select(BackupRun).where(BackupRun.kind == kind, BackupRun.ended_at.is_not(None))
    if ok is not None:
        wanted = wanted.where(BackupRun.ok.is_(ok))
    return db.session.scalars(wanted.order_by(BackupRun.ended_at.desc(), BackupRun.id.desc()).limit(1)).first()


def under_way(kind: str) -> BackupRun | None:
    """The one of this kind that has begun and not ended."""
    return db.session.scalars(select(BackupRun).where(BackupRun.kind == kind, BackupRun.ended_at.is_(None))).first()


def first_success() -> datetime | None:
    """When the first backup succeeded."""
    first = select(func.min(BackupRun.ended_at)).where(BackupRun.kind == "create", BackupRun.ok.is_(True))
    return db.session.scalars(first).one()
