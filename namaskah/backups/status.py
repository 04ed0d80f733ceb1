"""What the operator's page says about backups."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from namaskah.backups import alarms, place, runs
from namaskah.backups.models import BackupRun
from namaskah.db import database_time


@dataclass(frozen=True)
class Status:
    """`failed` and `drill_failed` are the last ones where nothing has succeeded since; `late` are keys of
    alarms.SENTENCES."""

    created: BackupRun | None
    under_way: BackupRun | None
    failed: BackupRun | None
    drilled: BackupRun | None
    drill_failed: BackupRun | None
    late: list[str]
    sentences: dict[str, Any]


def read(now: datetime) -> Status | None:
    """How it stands; None where there is no place for backups."""
    if not place.is_set_up():
        return None
    created, drilled = runs.last("create", ok=True), runs.last("drill", ok=True)
    return Status(
        created=created,
        under_way=runs.under_way("create"),
        failed=_newer(runs.last("create", ok=False), created),
        drilled=drilled,
        drill_failed=_newer(runs.last("drill", ok=False), drilled),
        late=alarms.late(now),
        sentences=alarms.SENTENCES,
    )


def troubles() -> list[str]:
    """What an outside monitor is told: "backup" or "restore_drill" while the last one failed, or one is overdue."""
    found = read(database_time())
    if found is None:
        return []
    is_wrong = {
        "backup": found.failed is not None or "create_late" in found.late,
        "restore_drill": found.drill_failed is not None or "drill_late" in found.late,
    }
    return [name for name, is_so in is_wrong.items() if is_so]


def _newer(failed: BackupRun | None, succeeded: BackupRun | None) -> BackupRun | None:
    if failed is None or failed.ended_at is None:
        return None
    is_over = succeeded is not None and succeeded.ended_at is not None and succeeded.ended_at > failed.ended_at
    return None if is_over else failed
