"""Making a backup: one snapshot of the database, dumped, compressed, encrypted and sent to the store as it comes.

Nothing of it touches a disk of this host. One at a time, in all of the installation; a process that dies in it leaves
files without a manifest, which are no backup and are removed a day later.
"""

import io
import json
import logging
import time
from collections.abc import Callable
from datetime import timedelta

from flask import current_app
from sqlalchemy import Connection, func, select, text

from namaskah.backups import databases, facts, place, programs, retention, runs, sealing, sets, tombstones
from namaskah.backups.models import BackupRun
from namaskah.backups.problems import BackupError, Damaged, UnderWay
from namaskah.backups.stores import Store
from namaskah.db import leave_database

log = logging.getLogger(__name__)

ALONE = 7_003_210  # advisory lock
UNFINISHED_KEPT = timedelta(days=1)

# What it is doing, and the bytes written so far; called often.
Progress = Callable[[str, int], None]


def create(by: str, progress: Progress | None = None, wanted: Callable[[], bool] = lambda: True) -> BackupRun | None:
    """Make a backup now; None when it is not `wanted` any more, asked with the lock in hand.

    Raises UnderWay when another one is, NotSetUp, and whatever went wrong, which the run's row says as well.
    """
    store = place.store()
    leave_database()
    with databases.connection(current_app.config["DATABASE_URL"], "REPEATABLE READ") as opened:
        if not opened.scalar(select(func.pg_try_advisory_xact_lock(ALONE))):
            raise UnderWay("another backup is being made: wait for it")
        if not wanted():
            return None
        name = sets.new_name(opened.scalars(select(func.clock_timestamp())).one())
        run_id = runs.start("create", by, name)
        try:
            made = _make(store, opened, name, _noting(run_id, progress))
        except BaseException as error:
            _forget(store, name)
            runs.end(run_id, error=sentence(error))
            raise
    warnings = _tidy(store)
    return runs.end(run_id, size=made.size, seconds=made.seconds, warnings=warnings)


def sentence(error: BaseException) -> str:
    """What an error says to the operator: its own words where they are ours, else its kind alone, for it may quote."""
    if isinstance(error, BackupError):
        return str(error)
    if isinstance(error, KeyboardInterrupt):
        return "stopped by hand"
    original = getattr(error, "orig", None)
    first_line = str(original).strip().splitlines()[:1] if original is not None else []
    return ": ".join([type(error).__name__, *first_line])[:300]


def _make(store: Store, opened: Connection, name: str, progress: Progress) -> sets.Manifest:
    started = time.monotonic()
    opened.execute(text("SET TRANSACTION READ ONLY"))
    snapshot = opened.scalars(text("SELECT pg_export_snapshot()")).one()
    server = databases.version(opened)
    program = programs.find("pg_dump", server)
    progress("counting rows", 0)
    found = facts.read(opened)
    inside = found.as_json() | {"key_print": facts.key_print(current_app.config["SECRET_KEY"])}
    recipients = current_app.config["BACKUP_RECIPIENTS"]
    pieces = {}
    with sealing.sealed(io.BytesIO(json.dumps(inside).encode()), recipients) as source:
        pieces[sets.FACTS] = _put(store, sets.path(name, sets.FACTS), source)
    pieces[sets.DUMP] = _dump(store, opened, name, snapshot, progress)
    manifest = sets.Manifest(
        name=name,
        made_at=str(opened.scalars(text("SELECT now()")).one().isoformat()),
        seconds=round(time.monotonic() - started, 3),
        revision=found.revision,
        server=server,
        pg_dump=programs.major(program) or server,
        recipients=list(recipients),
        pieces=pieces,
    )
    progress("writing the manifest", manifest.size)
    sets.write_manifest(store, manifest)
    return manifest


def _dump(store: Store, opened: Connection, name: str, snapshot: str, progress: Progress) -> sets.Piece:
    sizes = facts.sizes(opened)
    total = sum(sizes.values()) or 1
    begun: list[str] = []

    def step() -> str:
        done = sum(sizes.get(each, 0) for each in begun[:-1])
        return f"dumping {begun[-1]}, {100 * done // total} %" if begun else "dumping"

    url, server = current_app.config["DATABASE_URL"], databases.version(opened)
    recipients = current_app.config["BACKUP_RECIPIENTS"]
    with programs.dump(url, server, snapshot, begun.append) as plain, sealing.sealed(plain, recipients) as source:
        return _put(store, sets.path(name, sets.DUMP), sealing.Watched(source, lambda size: progress(step(), size)))


def _put(store: Store, path: str, source: sealing.Measured) -> sets.Piece:
    """Keep one piece and see that all of it is there."""
    store.put(path, source)
    there = store.size(path)
    if there != source.size:
        raise Damaged(f"{path} has {there} bytes in {store.label} instead of {source.size}")
    return sets.Piece(source.size, source.sha256)


def _noting(run_id: int, progress: Progress | None) -> Progress:
    """Writes down now and then how far it is, for the operator's page, and tells whoever waits for it."""
    last = [-10.0]

    def tell(step: str, size: int) -> None:
        if progress:
            progress(step, size)
        if time.monotonic() - last[0] >= 5:
            last[0] = time.monotonic()
            runs.note(run_id, step, size)

    return tell


def _forget(store: Store, name: str) -> None:
    """Remove what a failed backup has left; when that fails too, the next one does it."""
    try:
        for piece in (sets.MANIFEST, sets.DUMP, sets.FACTS):
            store.remove(sets.path(name, piece))
    except BackupError as error:
        log.warning("what is left of %s could not be removed: %s", name, error)


def _tidy(store: Store) -> list[str]:
    """Remove backups that need not be kept, and pieces that never became one. The new backup is good without it."""
    try:
        found = sets.listed(store)
        keep = retention.kept(each.at for each in found if each.is_whole)
        newest = found[0].at
        for each in found:
            is_old = each.at not in keep if each.is_whole else each.at < newest - UNFINISHED_KEPT
            if is_old:
                sets.remove(store, each)
                log.info("backup %s removed: newer ones take its place", each.name)
        tombstones.gather(store)
    except BackupError as error:
        log.error("old backups could not be removed: %s", error)
        return [str(error)]
    return []
