"""The command, run as an operator runs it, and what it leaves in the database."""

import csv
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result
from flask import Flask
from sqlalchemy import select, text

from namaskah.db import db
from namaskah.legacy.models import LegacyAccount

from .predecessor import Predecessor

Run = Callable[..., Result]


@pytest.fixture
def old(tmp_path: Path) -> Predecessor:
    """An empty database of version 2.1."""
    return Predecessor(tmp_path / "sms.db")


@pytest.fixture
def run(app: Flask, old: Predecessor) -> Run:
    """`flask import-legacy`; a credit is 3,300 naira unless said otherwise."""

    def invoke(*more: str, file: Path | None = None, unit: str = "3300", ok: bool = True) -> Result:
        arguments = ["import-legacy", str(file or old.path), "--unit", unit, *more]
        done = app.test_cli_runner().invoke(args=arguments, catch_exceptions=False)
        db.session.rollback()
        assert (done.exit_code == 0) is ok, done.output
        return done

    return invoke


def findings(old: Predecessor) -> dict[str, list[dict[str, str]]]:
    """The report's rows by kind."""
    found: dict[str, list[dict[str, str]]] = {}
    with Path(f"{old.path}.report.csv").open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            found.setdefault(row["kind"], []).append(row)
    return found


def report(old: Predecessor) -> str:
    return Path(f"{old.path}.report.txt").read_text()


def account(legacy_id: str) -> LegacyAccount:
    """What is on record of it now."""
    db.session.rollback()
    wanted = select(LegacyAccount).where(LegacyAccount.legacy_id == legacy_id)
    return db.session.scalars(wanted.execution_options(populate_existing=True)).one()


def everything() -> dict[str, list[str]]:
    """All rows of the database, by table, so that nothing can have been written unseen."""
    db.session.rollback()
    tables = db.session.scalars(text("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")).all()
    wanted = set(tables) - {"offers", "offers_kept", "services", "countries"}
    found = {name: db.session.scalars(text(f"SELECT t::text FROM {name} t ORDER BY 1")).all() for name in wanted}
    db.session.rollback()
    return {name: list(rows) for name, rows in found.items()}
