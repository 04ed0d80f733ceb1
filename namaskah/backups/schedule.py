"""When backups and drills are made by themselves, by the worker."""

import logging
import os
import platform
from datetime import datetime, timedelta

from flask import current_app
from sqlalchemy import func, select

from namaskah.backups import alarms, databases, drills, making, place, runs, sets
from namaskah.backups.making import sentence
from namaskah.backups.problems import PieceMissing, UnderWay
from namaskah.db import db, leave_database

log = logging.getLogger(__name__)

DRILLING = 7_003_212  # advisory lock in our own database: one worker drills
TRY_AGAIN = {"create": timedelta(minutes=30), "drill": timedelta(hours=1)}


def create_due() -> int:
    """Worker: make the backup of the day when its hour has come and there is none yet; returns 1 when it did. One that
    failed is tried again half an hour later."""
    if not place.is_set_up() or not _wanted():
        return 0
    try:
        made = making.create(_worker(), wanted=_wanted)
    except UnderWay:
        return 0
    except Exception as error:
        log.exception("the backup failed")
        alarms.tell("create", sentence(error))
        return 0
    if made is None:
        return 0
    log.info("backup %s made, %s bytes in %s s", made.name, made.size, made.details["seconds"])
    return 1


def drill_due() -> int:
    """Worker of a host that has a key: restore the newest backup for practice once; returns 1 when it did."""
    if not place.is_set_up() or not current_app.config["BACKUP_DRILL_IDENTITY"]:
        return 0
    last_success = runs.last("drill", ok=True)
    is_soon = _failed_lately("drill")
    leave_database()
    if is_soon:
        return 0
    try:
        name = sets.newest(place.store())
    except PieceMissing:
        return 0
    if last_success is not None and last_success.name == name:
        return 0
    with databases.connection(current_app.config["DATABASE_URL"]) as opened:
        if not opened.scalar(select(func.pg_try_advisory_lock(DRILLING))):
            return 0
        return _drill(name)


def _drill(name: str) -> int:
    run_id = runs.start("drill", _worker(), name)
    try:
        keys = drills.own_identity() or []
        report = drills.drill(name, keys, _worker(), lambda _step, _size: None)
    except Exception as error:
        log.exception("the drill of backup %s failed", name)
        runs.end(run_id, error=sentence(error))
        alarms.tell("drill", sentence(error))
        return 0
    runs.end(run_id, size=report.size, seconds=report.seconds, rows=report.rows, deleted_again=report.deleted_again)
    log.info("backup %s was restored for practice in %s s", name, report.total_seconds)
    return 1


def last_hour(now: datetime, hour: int) -> datetime:
    """When the backup of the day was last due: the newest such hour that has come."""
    today = now.replace(hour=hour, minute=0, second=0, microsecond=0)
    return today if today <= now else today - timedelta(days=1)


def _wanted() -> bool:
    """Whether the backup of the day is missing."""
    now = db.session.scalars(select(func.timezone("UTC", func.now()))).one()
    done, is_soon = runs.last("create", ok=True), _failed_lately("create")
    leave_database()
    due = last_hour(now, current_app.config["BACKUP_HOUR"])
    return not is_soon and (done is None or done.started_at.replace(tzinfo=None) < due)


def _failed_lately(kind: str) -> bool:
    now: datetime = db.session.scalars(select(func.now())).one()
    failed = runs.last(kind)
    return failed is not None and not failed.ok and now - (failed.ended_at or now) < TRY_AGAIN[kind]


def _worker() -> str:
    return f"worker:{platform.node()}:{os.getpid()}"[:100]
