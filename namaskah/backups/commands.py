"""`flask backup`: by hand what the worker does by itself, and what only a person does, restoring.

Only `create` needs the application's tables: the others work beside an empty server.
"""

import getpass
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from functools import wraps
from typing import Any, BinaryIO

import click
from flask import current_app
from flask.cli import AppGroup
from sqlalchemy.exc import OperationalError

from namaskah.backups import checking, drills, making, place, restoring, retention, sealing, sets, tombstones
from namaskah.backups.problems import BackupError
from namaskah.backups.sealing import Identity

backup = AppGroup("backup", help="Backups of the database, and bringing them back: docs/backups.md.")
IDENTITY = click.option(
    "--identity", type=click.File("rb"), help='File with the secret key, as age-keygen makes it; "-" reads the input.'
)


def _plainly(command: Callable[..., None]) -> Callable[..., None]:
    """What goes wrong is said in one line, without the way through our code, which may show more than that."""

    @wraps(command)
    def run(*args: Any, **kwargs: Any) -> None:
        try:
            command(*args, **kwargs)
        except (BackupError, OperationalError) as error:
            raise click.ClickException(making.sentence(error)) from None

    return run


@backup.command("create")
@_plainly
def create() -> None:
    """Make a backup now."""
    made = making.create(_operator(), _Shown())
    assert made is not None
    _clear_line()
    click.echo(f"{made.name}: {_bytes(made.size or 0)} in {made.details['seconds']:.1f} s")
    for warning in made.details["warnings"]:
        click.echo(f"  but: {warning}", err=True)


@backup.command("list")
@_plainly
def list_backups() -> None:
    """Print the backups there are, newest first, and why each is kept."""
    now = datetime.now(UTC)
    found = sets.listed(place.store())
    keep = retention.kept(each.at for each in found if each.is_whole)
    for each in found:
        state = keep.get(each.at, "not kept") if each.is_whole else "unfinished"
        click.echo(
            f"{each.name}  {_bytes(each.size):>10}  {(now - each.at).total_seconds() / 3600:7.1f} h old  {state}"
        )
    if not found:
        click.echo("There is no backup yet.")


@backup.command("verify")
@click.argument("name", required=False)
@IDENTITY
@_plainly
def verify(name: str | None, identity: BinaryIO | None) -> None:
    """Read a backup (the newest one, without NAME) and compare it with its checksums; with --identity, open it too."""
    store, started = place.store(), time.monotonic()
    keys = sealing.read_identity(identity) if identity else None
    manifest = checking.verify(store, name or sets.newest(store), keys, _Shown())
    _clear_line()
    how = "opened with this identity" if keys else "as it was written; whether a key opens it was not tried"
    click.echo(f"{manifest.name}: {_bytes(manifest.size)} read in {time.monotonic() - started:.1f} s, {how}")


@backup.command("restore")
@click.argument("name")
@click.option("--into", metavar="DATABASE", help="A new database on the server of DATABASE_URL.")
@IDENTITY
@_plainly
def restore(name: str, into: str | None, identity: BinaryIO | None) -> None:
    """Bring a backup back, into the empty database of DATABASE_URL or into a new one. NAME may be `newest`."""
    store, url = place.store(), current_app.config["DATABASE_URL"]
    source = restoring.Source(store, sets.newest(store) if name == "newest" else name, _keys(identity))
    if into:
        report = restoring.into_new(source, url, into, _operator(), _Shown())
    else:
        report = restoring.into_empty(source, url, _operator(), _Shown())
    _show(report)
    _show_next_steps(report, is_new=bool(into))
    sys.exit(1 if report.faults else 0)


@backup.command("drill")
@click.argument("name", required=False)
@IDENTITY
@_plainly
def drill(name: str | None, identity: BinaryIO | None) -> None:
    """Restore a backup (the newest one, without NAME) for practice, check all of it, and drop it again. The report is
    left in the store; the operator's page shows it."""
    store, started, keys = place.store(), datetime.now(UTC), _keys(identity)
    wanted = name or sets.newest(store)
    try:
        report = drills.drill(wanted, keys, _operator(), _Shown())
    except Exception as error:
        if isinstance(error, drills.Failed):
            _show(error.report)
        try:
            drills.leave_report(store, wanted, started, _operator(), error)
        except BackupError as trouble:
            click.echo(f"The report could not be left in the store: {trouble}", err=True)
        raise
    _show(report)
    drills.leave_report(store, wanted, started, _operator(), report)
    click.echo("The drill succeeded.")


@backup.command("deletions")
@_plainly
def print_deletions() -> None:
    """Print the accounts that were deleted, as the place of the backups knows them, for a database that came back in
    another way than by `restore`: flask backup deletions | flask account reapply-deletions -"""
    for gone in tombstones.read(place.store()):
        click.echo(f"{gone.user_id} {gone.deleted_at.isoformat() if gone.deleted_at else ''}")


def _keys(identity: BinaryIO | None) -> list[Identity]:
    keys = sealing.read_identity(identity) if identity else drills.own_identity()
    if keys is None:
        raise BackupError("it takes the secret key: --identity FILE, or BACKUP_DRILL_IDENTITY where drills are made")
    return keys


def _show(report: restoring.Report) -> None:
    _clear_line()
    click.echo(f"{report.name}: {_bytes(report.size)}, {report.rows} rows, back in {report.total_seconds:.1f} s")
    click.echo("  " + ", ".join(f"{step} {seconds:.1f} s" for step, seconds in report.seconds.items()))
    if report.migrated_from:
        click.echo(f"  It was at migration {report.migrated_from} and is at the newest now.")
    click.echo(f"  {report.deleted_again} accounts were deleted since it was made and are deleted again.")
    if not report.same_key:
        click.echo("  SECRET_KEY is not the one it was made with: authenticator apps and log-ins need that one.")
    for fault in report.faults:
        click.echo(f"  WRONG: {fault}")


def _show_next_steps(report: restoring.Report, *, is_new: bool) -> None:
    steps = ["Stop web and workers, so that nothing more is written to the old database."]
    if is_new:
        steps.append(f"Set DATABASE_URL to the same address with the database {report.database}, for web and workers.")
    steps += [
        "Start one worker, then run: flask ledger reconcile (payments since the backup are credited once, or listed).",
        "Start web. Look at /admin/ and make a backup: flask backup create.",
        "Keep the old database until the books agree: orders and log-ins since the backup are in it alone.",
    ]
    if report.faults:
        steps.insert(0, "Something is wrong with it, see above: decide whether an older backup is better.")
    for number, step in enumerate(steps, 1):
        click.echo(f"{number}. {step}")


class _Shown:
    """Progress on the error output: rewritten in place on a terminal, a line per step in a log."""

    def __init__(self) -> None:
        self._step, self._at = "", 0.0
        self._is_terminal = sys.stderr.isatty()

    def __call__(self, step: str, size: int) -> None:
        now = time.monotonic()
        kind = step.partition(",")[0]
        if self._is_terminal and now - self._at > 0.2:
            self._at = now
            click.echo(f"\r\033[K{step} ({_bytes(size)})", nl=False, err=True)
        elif not self._is_terminal and (kind != self._step or now - self._at > 10):
            self._at, self._step = now, kind
            click.echo(f"{step} ({_bytes(size)})", err=True)


def _clear_line() -> None:
    """Where progress was shown in place, results begin on a clean line."""
    if sys.stderr.isatty():
        click.echo("\r\033[K", nl=False, err=True)


def _bytes(size: int) -> str:
    amount = float(size)
    for unit in ("bytes", "KiB", "MiB"):
        if amount < 1024:
            return f"{amount:.0f} {unit}" if unit == "bytes" else f"{amount:.1f} {unit}"
        amount /= 1024
    return f"{amount:.1f} GiB"


def _operator() -> str:
    try:
        return f"operator:{getpass.getuser()}"[:100]
    except (OSError, KeyError):
        return "operator"
