"""Bringing a backup back: into an empty database, compared with what was in the one backed up, and fit to be served.

A drill does exactly the same and throws it away, so what is practised every night is what an emergency needs.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from flask import current_app
from sqlalchemy import text, update

from namaskah.account import deletion
from namaskah.auth import audit
from namaskah.backups import checking, databases, elsewhere, facts, programs, runs, sealing, sets, tombstones
from namaskah.backups.making import Progress
from namaskah.backups.models import BackupRun
from namaskah.backups.problems import BackupError, TargetInUse
from namaskah.backups.sealing import Identity
from namaskah.backups.stores import Store
from namaskah.db import db, transaction
from namaskah.numbers import message_retention
from namaskah.reconciliation import books


@dataclass
class Report:
    """How a restore went. `seconds` by step; `faults` are what is wrong with what came back, none when all is well."""

    name: str
    database: str
    size: int
    rows: int = 0
    migrated_from: str = ""
    deleted_again: int = 0
    same_key: bool = True
    seconds: dict[str, float] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)

    @property
    def total_seconds(self) -> float:
        return round(sum(self.seconds.values()), 3)

    @contextmanager
    def timed(self, step: str) -> Iterator[None]:
        started = time.monotonic()
        try:
            yield
        finally:
            self.seconds[step] = round(time.monotonic() - started, 3)


@dataclass(frozen=True)
class Source:
    """Which backup to bring back, and with which secret keys."""

    store: Store
    name: str
    keys: list[Identity]


def into_new(source: Source, url: str, database: str, by: str, progress: Progress) -> Report:
    """Restore into a new database on the server of `url`. When that fails, the database is removed again; what is
    wrong with one that came back whole stands in the report. Raises BackupError."""
    with databases.maintenance(url) as server:
        databases.create(server, database)
        try:
            return _bring_back(source, databases.named(url, database), by, progress)
        except BaseException:
            databases.drop(server, database)
            raise


def into_empty(source: Source, url: str, by: str, progress: Progress) -> Report:
    """Restore into the database of `url`, which must be there and empty. All bytes are checked first: what has been
    committed there cannot be taken away again. Raises TargetInUse and other BackupErrors."""
    if there := databases.tables(url):
        raise TargetInUse(
            f"the database {databases.name_of(url)} has {there} tables and is left alone: restore into a new one with "
            "--into NAME"
        )
    checking.verify(source.store, source.name, source.keys, progress)
    return _bring_back(source, url, by, progress)


def _bring_back(source: Source, url: str, by: str, progress: Progress) -> Report:
    manifest = sets.read_manifest(source.store, source.name)
    made, key_print = checking.read_facts(source.store, manifest, source.keys)
    elsewhere.require_known(made.revision)
    report = Report(source.name, databases.name_of(url), manifest.size, rows=sum(made.rows.values()))
    report.same_key = key_print == facts.key_print(current_app.config["SECRET_KEY"])
    with report.timed("restore"):
        _fill(source, manifest, url, progress)
    progress("comparing", 0)
    with report.timed("compare"), databases.connection(url) as opened:
        report.faults += facts.differences(made, facts.read(opened))
    with elsewhere.at(url):
        if made.revision != elsewhere.head():
            report.migrated_from = made.revision
            progress("migrating", 0)
            with report.timed("migrate"):
                elsewhere.upgrade()
        _check(source, report, by, progress)
        runs.end(runs.start("restore", by, source.name), size=manifest.size, faults=report.faults)
    with databases.connection(url) as opened:
        progress("gathering statistics", 0)
        with report.timed("analyze"):
            opened.execute(text("ANALYZE"))
    return report


def _fill(source: Source, manifest: sets.Manifest, url: str, progress: Progress) -> None:
    with databases.connection(url) as opened:
        server = databases.version(opened)
    if server < manifest.server:
        raise BackupError(f"the backup is of PostgreSQL {manifest.server}, and this server is only {server}")
    dump = manifest.pieces[sets.DUMP]
    with (
        checking.opened(source.store, manifest, sets.DUMP) as sealed,
        programs.restore(url, max(server, manifest.pg_dump)) as program,
    ):
        told = sealing.Watched(sealed, lambda size: progress(f"restoring, {100 * size // (dump.size or 1)} %", size))
        checking.unseal(told, program, source.keys, sets.DUMP)
        program.finish()


def _check(source: Source, report: Report, by: str, progress: Progress) -> None:
    """Everything that must hold before anybody is served, in the database of elsewhere.at()."""
    progress("checking the audit log", 0)
    with report.timed("audit"):
        report.faults += [f"audit event {each.id}: {each.reason}" for each in audit.breaks()[:20]]
        db.session.rollback()
    _close_own_run(source.name)
    progress("deleting accounts again", 0)
    with report.timed("deletions"):
        report.deleted_again = len(deletion.reapply(tombstones.read(source.store), by))
    progress("erasing what messages say", 0)
    with report.timed("messages"):
        while message_retention.erase_due():
            pass
    progress("checking the books", 0)
    with report.timed("books"):
        for fault in books.find_faults():
            report.faults.append(f"{fault['number']} does not hold: {fault['sentence']} ({fault['count']} rows)")
        db.session.rollback()


def _close_own_run(name: str) -> None:
    """The row of this very backup, where its snapshot was taken after it: it did succeed."""
    own = update(BackupRun).where(BackupRun.name == name, BackupRun.ended_at.is_(None))
    with transaction():
        db.session.execute(own.values(ok=True, ended_at=BackupRun.started_at))
