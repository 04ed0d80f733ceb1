"""Letters to the operators when backups or drills do not succeed: one a day and reason, until they do."""

import logging
from datetime import UTC, datetime, timedelta
from typing import Any

from flask_babel import lazy_gettext as _l
from sqlalchemy import func, insert, select

from namaskah import mail
from namaskah.auth.models import User
from namaskah.backups import place, runs
from namaskah.backups.models import BackupRun
from namaskah.db import db, leave_database, transaction

log = logging.getLogger(__name__)

LATE_AFTER = timedelta(hours=26)
TOLD_EVERY = timedelta(hours=24)
ALONE = 7_003_213  # advisory lock: told once

SENTENCES: dict[str, Any] = {
    "create": _l("The backup of the database failed."),
    "create_late": _l("No backup of the database has succeeded for 26 hours."),
    "drill": _l("Restoring a backup for practice failed."),
    "drill_late": _l("No backup has been restored for practice for 26 hours."),
}


def late(now: datetime) -> list[str]:
    """What is overdue: "create_late", "drill_late". A first backup is awaited for 26 hours from the first try on, a
    first drill from the first backup on."""
    found = []
    created, drilled = runs.last("create", ok=True), runs.last("drill", ok=True)
    awaited_since = (created.ended_at if created else None) or _first_try()
    if awaited_since is not None and awaited_since < now - LATE_AFTER:
        found.append("create_late")
    drill_since = (drilled.ended_at if drilled else None) or runs.first_success()
    if drill_since is not None and drill_since < now - LATE_AFTER:
        found.append("drill_late")
    return found


def raise_due() -> int:
    """Worker: write to the operators about what is overdue; returns how many reasons were new."""
    if not place.is_set_up():
        return 0
    overdue = late(datetime.now(UTC))
    failed = runs.last("drill")
    leave_database()
    told = [tell(reason, "") for reason in overdue]
    if failed is not None and not failed.ok and failed.report is not None:
        told.append(tell("drill", failed.error))
    return sum(told)


def tell(reason: str, detail: str) -> bool:
    """Write to every operator, unless that was done in the last day for the same reason; whether it was done now.
    `detail` says in plain English what happened, and holds no secret."""
    log.error("backups: %s %s", reason, detail)
    with transaction():
        db.session.execute(select(func.pg_advisory_xact_lock(ALONE)))
        told = select(BackupRun.id).where(
            BackupRun.kind == "alarm", BackupRun.name == reason, BackupRun.ended_at > func.now() - TOLD_EVERY
        )
        if db.session.scalar(told.limit(1)) is not None:
            return False
        alarm = {"kind": "alarm", "name": reason, "requested_by": "worker", "ok": False, "error": detail[:2000]}
        db.session.execute(insert(BackupRun).values(**alarm, ended_at=func.now()))
        for operator in _operators():
            mail.backup_alarm(operator, SENTENCES[reason], detail[:600])
    return True


def _operators() -> list[User]:
    wanted = select(User).where(User.role == "admin", User.deleted_at.is_(None), User.banned_at.is_(None))
    return list(db.session.scalars(wanted.order_by(User.id)))


def _first_try() -> datetime | None:
    return db.session.scalars(select(func.min(BackupRun.started_at)).where(BackupRun.kind == "create")).one()
