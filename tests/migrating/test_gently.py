"""Migrations beside customers: how they wait for locks, what they leave when they break off, how they go on."""

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psycopg2
import pytest
from alembic.migration import MigrationContext
from alembic.operations import Operations
from alembic.script import ScriptDirectory
from flask import Flask
from flask_migrate import upgrade
from sqlalchemy import create_engine, text
from sqlalchemy.exc import DBAPIError, IntegrityError, OperationalError

from bench import big_ledger, growing
from dev import migrations as lint
from migrations import gently
from namaskah.auth.models import User
from namaskah.db import db
from tests.numbers import shop
from tests.support import make_user

LONGEST_WAIT = 1.0  # seconds that any customer may wait


@pytest.fixture
def scripts(app: Flask, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The project's migrations and the sample. Afterwards the database is as it was."""
    for limit in ("MAX_OPEN_ACTIVATIONS", "DAILY_BUY_LIMIT"):
        monkeypatch.setitem(app.config, limit, 10_000)
    db.session.remove()
    yield str(growing.write(tmp_path))
    db.session.rollback()
    with db.engine.connect() as connection:
        connection.execute(text("ALTER TABLE activations DROP COLUMN IF EXISTS price_class CASCADE"))
        connection.execute(text("UPDATE alembic_version SET version_num = :it"), {"it": _head()})
        connection.commit()


def _head() -> str:
    return str(ScriptDirectory(str(growing.MIGRATIONS)).get_current_head())


def ask(question: str, **values: Any) -> Any:
    with db.engine.connect() as connection:
        return connection.execute(text(question), values).scalar()


def grown(app: Flask, count: int) -> None:
    """So many activations of people, and whatever belongs to them: the books agree."""
    person = make_user("grown@example.com")
    big_ledger.fill(app, count, 50, person.id, [("whatsapp", "NG"), ("telegram", "NG")])


class Held:
    """A transaction of somebody else's that has read `activations` and not ended: nobody may change the table."""

    def __init__(self, app: Flask) -> None:
        self.connection = psycopg2.connect(app.config["DATABASE_URL"].replace("+psycopg2", ""))
        self.connection.cursor().execute("SELECT FROM activations LIMIT 1")

    def end(self) -> None:
        self.connection.close()


@pytest.fixture
def held(scripts: str, app: Flask) -> Iterator[Held]:
    made = Held(app)
    yield made
    made.end()


def in_background(app: Flask, scripts: str) -> threading.Thread:
    def work() -> None:
        with app.app_context():
            upgrade(scripts, revision="x1")

    thread = threading.Thread(target=work)
    thread.start()
    return thread


def test_a_migration_that_gets_no_lock_lets_the_customers_by_and_tries_again(
    app: Flask, held: Held, scripts: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(app.config, "MAX_OPEN_ACTIVATIONS", 10_000)  # on a fast machine they are many
    monkeypatch.setitem(app.config, "DAILY_BUY_LIMIT", 10_000)
    buyer = make_user("buyer@example.com", money=10_000 * 100_000)
    thread = in_background(app, scripts)
    waits = []
    try:
        until = time.monotonic() + 2.0
        while time.monotonic() < until:
            started = time.monotonic()
            assert shop.buy(buyer).state == "waiting"
            waits.append(time.monotonic() - started)
            assert ask("SELECT count(*) FROM information_schema.columns WHERE column_name = 'price_class'") == 0
            db.session.rollback()
    finally:
        held.end()
    thread.join(20)
    assert ask("SELECT version_num FROM alembic_version") == "x1"
    assert max(waits) < LONGEST_WAIT, waits
    assert len([line for line in caplog.messages if "trying again" in line]) >= 2
    assert max(waits) > 0.3, "they did queue behind it, for a moment"


def test_one_that_gets_no_lock_at_all_ends_with_nothing_done(
    app: Flask, held: Held, scripts: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gently, "TRIES", 2)
    monkeypatch.setattr(gently, "LOCK_MILLISECONDS", 100)
    with pytest.raises(OperationalError, match="55P03"):
        upgrade(scripts, revision="x1")
    assert ask("SELECT version_num FROM alembic_version") == _head()
    assert ask("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'") == 0


def test_any_other_error_is_not_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []

    def work() -> None:
        calls.append(1)
        raise IntegrityError("x", {}, psycopg2.errors.UniqueViolation())

    with pytest.raises(DBAPIError):
        gently.patiently(work)
    assert calls == [1]


def test_two_hosts_that_migrate_at_once_do_it_once(app: Flask, scripts: str) -> None:
    url = app.config["DATABASE_URL"]
    engine = create_engine(url)
    with engine.connect() as other:
        gently.begin(other)
        thread = in_background(app, scripts)
        time.sleep(0.3)
        assert ask("SELECT version_num FROM alembic_version") == _head()
        # The one that waits stands in no transaction, for which an index that is built would wait in turn.
        assert ask("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
                   " AND application_name = 'namaskah' AND state = 'idle in transaction'") == 0  # fmt: skip
        other.invalidate()
    engine.dispose()
    thread.join(20)
    assert ask("SELECT version_num FROM alembic_version") == "x1"


def test_the_whole_pattern_runs_while_purchases_go_on(app: Flask, scripts: str) -> None:
    grown(app, 10_000)
    person, stop = make_user("busy@example.com", money=10**10).id, threading.Event()
    waits: list[float] = []
    db.session.remove()

    def buy() -> None:
        with app.app_context():
            while not stop.wait(0.02):
                started = time.monotonic()
                assert shop.buy(db.session.get_one(User, person)).state == "waiting"
                waits.append(time.monotonic() - started)
                db.session.rollback()

    with ThreadPoolExecutor(2) as people:
        buying = [people.submit(buy) for _person in range(2)]
        try:
            upgrade(scripts)
        finally:
            stop.set()
        for each in buying:
            each.result()
    assert ask("SELECT version_num FROM alembic_version") == growing.NAMES[-1]
    assert len(waits) > 10 and max(waits) < LONGEST_WAIT, sorted(waits)[-3:]
    assert ask("SELECT count(*) FROM activations WHERE price_class IS NULL AND key LIKE 'big-%'") == 0
    assert ask("SELECT indisvalid FROM pg_index WHERE indexrelid = 'ix_activations_price_class_id'::regclass")
    assert ask("SELECT convalidated FROM pg_constraint WHERE conname = 'ck_activations_price_class'")


def test_a_broken_index_is_built_anew_and_a_whole_one_is_kept(app: Flask, scripts: str) -> None:
    """CREATE INDEX CONCURRENTLY that breaks off leaves an index that is written to and never read."""
    upgrade(scripts, revision="x2")
    grown(app, 50)
    with db.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("UPDATE activations SET price_class = 1"))
        with pytest.raises(IntegrityError):
            connection.execute(
                text("CREATE UNIQUE INDEX CONCURRENTLY ix_activations_price_class_id ON activations (price_class)")
            )
    valid = "SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass('ix_activations_price_class_id')"
    assert ask(valid) is False
    upgrade(scripts, revision="x3")
    assert ask(valid) is True
    number = "SELECT 'ix_activations_price_class_id'::regclass::oid::bigint"
    built = ask(number)
    with run_as_migration():
        gently.create_index("ix_activations_price_class_id", "activations", ["price_class", "id"])
    assert ask(number) == built


def test_a_backfill_that_broke_off_goes_on_with_what_is_left(app: Flask, scripts: str) -> None:
    upgrade(scripts, revision="x1")
    grown(app, 2_500)
    done = "SELECT count(*) FROM activations WHERE price_class IS NOT NULL"
    first = ask("SELECT min(id) FROM activations")
    with db.engine.connect() as connection:
        connection.execute(text("UPDATE activations SET price_class = -7 WHERE id < :it"), {"it": first + 500})
        connection.commit()
    with run_as_migration():
        gently.backfill("activations", "price_class = price_minor / 1000", "price_class IS NULL")
    assert ask(done) == 2_500
    assert ask("SELECT count(*) FROM activations WHERE price_class = -7") == 500, "what was there stays"
    assert ask("SELECT current_setting('statement_timeout')") == "15s", "its limits are nobody else's"


def test_a_rule_not_obeyed_by_old_rows_is_not_proved_and_new_rows_obey_it(app: Flask, scripts: str) -> None:
    upgrade(scripts, revision="x4")
    grown(app, 50)
    with db.engine.connect() as connection, pytest.raises(IntegrityError, match="ck_activations_price_class"):
        connection.execute(text("UPDATE activations SET price_class = -1"))


def test_the_pattern_passes_the_lint(tmp_path: Path) -> None:
    found = ScriptDirectory(str(growing.write(tmp_path)))
    for name in growing.NAMES:
        script = found.get_revision(name)
        assert lint.lint(f"{name}.py", lint.sql_of(script)), name


class run_as_migration:  # noqa: N801 — reads as a verb
    """What a migration may do, done here."""

    def __enter__(self) -> SimpleNamespace:
        self._connection = db.engine.connect()
        gently.begin(self._connection)
        context = MigrationContext.configure(self._connection)
        self._transaction = context.begin_transaction(_per_migration=True)
        self._transaction.__enter__()
        self._operations = Operations.context(context)
        self._operations.__enter__()
        return SimpleNamespace()

    def __exit__(self, *error: Any) -> None:
        self._operations.__exit__(*error)
        self._transaction.__exit__(*error)
        self._connection.invalidate()
        self._connection.close()
