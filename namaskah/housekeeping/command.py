"""`flask housekeeping`: what is erased by itself, and having one of it done now."""

import sys

import click
from flask.cli import AppGroup

from namaskah.auth import audit
from namaskah.auth.operators import name as operator_name
from namaskah.db import transaction
from namaskah.housekeeping import reading, registry, running

housekeeping = AppGroup("housekeeping", help="What is erased by itself after its time: docs/operations.md.")


@housekeeping.command("list")
def list_jobs() -> None:
    """Print every job: how it stands, when it ran last, and how many rows it erased then and in all. Exit code 1 when
    one is in trouble."""
    for each in reading.standings():
        row = each.row
        at = f"{row.ended_at:%Y-%m-%d %H:%M:%S}" if row and row.ended_at else "–"
        counts = f"{row.erased_last} / {row.erased_total}" if row else "0 / 0"
        error = f"  {row.error}" if row and row.error else ""
        click.echo(f"{each.job.name:<22}{each.state:<9}{at:<21}{counts:<16}{each.job.kept()}{error}")
    sys.exit(1 if reading.troubled() else 0)


@housekeeping.command("run")
@click.argument("name", type=click.Choice(registry.names()))
def run_job(name: str) -> None:
    """Run one job now, until nothing is left."""
    with transaction():
        audit.record("housekeeping_asked", None, operator_name(), job=name)
    erased = 0
    while True:
        count = running.run(name)
        if count is None:
            raise click.ClickException("A worker is at it just now.")
        erased += count
        if not count:
            break
    click.echo(f"{name}: {erased} erased")
