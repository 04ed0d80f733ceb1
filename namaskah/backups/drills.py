"""Restoring the newest backup for practice, into a database that is dropped afterwards.

Where the key must not be, on the host that serves customers, no drill runs: it runs on another one, and leaves its
report in the store, from where the worker takes it (docs/backups.md).
"""

import io
import json
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from flask import current_app
from sqlalchemy import Connection, func, select

from namaskah.backups import databases, place, restoring, runs, sealing, sets
from namaskah.backups.making import Progress, sentence
from namaskah.backups.problems import BackupError, UnderWay
from namaskah.backups.sealing import Identity
from namaskah.backups.stores import Store

ALONE = 7_003_211  # advisory lock on the server drills restore into
REPORTS = "drills"
REPORTS_KEPT = timedelta(days=60)


class Failed(BackupError):
    """What came back is not right. `report` says what it is like all the same."""

    def __init__(self, report: restoring.Report) -> None:
        super().__init__("; ".join(report.faults)[:2000])
        self.report = report


def drill(name: str, keys: list[Identity], by: str, progress: Progress) -> restoring.Report:
    """Restore this backup into a new database, check all of it, drop it. Raises Failed, and other BackupErrors when it
    did not even come back."""
    url = server_url()
    with databases.maintenance(url) as server, _alone(server):
        for left in databases.left_by_drills(server):
            databases.drop(server, left)
        database = databases.drill_name()
        try:
            report = restoring.into_new(restoring.Source(place.store(), name, keys), url, database, by, progress)
        finally:
            databases.drop(server, database)
    if report.faults:
        raise Failed(report)
    return report


def server_url() -> str:
    """Where drills restore: a server of their own where the settings name one."""
    url: str = current_app.config["BACKUP_DRILL_DATABASE_URL"] or current_app.config["DATABASE_URL"]
    return url


def own_identity() -> list[Identity] | None:
    """The secret keys that the operator lets this host have for drills; None where he does not. Raises BackupError."""
    path = current_app.config["BACKUP_DRILL_IDENTITY"]
    if not path:
        return None
    try:
        with Path(path).open("rb") as file:
            return sealing.read_identity(file)
    except OSError as error:
        raise BackupError(f"BACKUP_DRILL_IDENTITY cannot be read: {error.strerror}") from None


def leave_report(
    store: Store, backup: str, started: datetime, by: str, outcome: restoring.Report | BaseException
) -> None:
    """Leave in the store how a drill of this backup went, for the worker of the installation the backups are of."""
    report = outcome.report if isinstance(outcome, Failed) else outcome
    fields: dict[str, Any] = {"started_at": started.isoformat(), "ended_at": datetime.now(UTC).isoformat(), "by": by}
    if isinstance(report, restoring.Report):
        fields |= asdict(report) | {"error": "; ".join(report.faults)}
    else:
        fields |= {"name": backup, "size": None, "error": sentence(report)}
    name = f"{REPORTS}/{started.astimezone(UTC):%Y%m%dT%H%M%SZ}-{secrets.token_hex(2)}.json"
    store.put(name, io.BytesIO(json.dumps(fields, indent=1).encode() + b"\n"))


def take_reports_due() -> int:
    """Worker: write down the drills that were made elsewhere; returns how many were new. Removes old reports."""
    if not place.is_set_up():
        return 0
    store = place.store()
    taken = 0
    for item in list(store.items(REPORTS)):
        at = sets.time_of(Path(item.path).stem)
        if at is None:
            continue
        if at < datetime.now(UTC) - REPORTS_KEPT:
            store.remove(item.path)
        elif not runs.knows_report(item.path):
            taken += runs.take_report(item.path, _fields(store, item.path))
    return taken


def _fields(store: Store, path: str) -> dict[str, Any]:
    with store.open(path) as file:
        written = file.read(1_000_000)
    try:
        said: dict[str, Any] = json.loads(written)
        error = str(said["error"])[:2000]
        return {
            "name": str(said["name"])[:64],
            "requested_by": str(said["by"])[:100],
            "started_at": datetime.fromisoformat(said["started_at"]),
            "ended_at": min(datetime.fromisoformat(said["ended_at"]), datetime.now(UTC)),
            "ok": not error,
            "error": error,
            "size": said["size"],
            "details": {"seconds": said.get("seconds", {}), "faults": said.get("faults", [])[:20]},
        }
    except (ValueError, TypeError, KeyError):
        nothing = {"name": "", "requested_by": "somebody", "ok": False, "error": f"{path} is no report of a drill"}
        return nothing | {"ended_at": func.now()}


@contextmanager
def _alone(server: Connection) -> Iterator[None]:
    """Advisory locks belong to a database: all drills of a server take theirs in the same one."""
    if not server.scalar(select(func.pg_try_advisory_lock(ALONE))):
        raise UnderWay("another drill is under way on this server: wait for it")
    try:
        yield
    finally:
        server.execute(select(func.pg_advisory_unlock(ALONE)))
