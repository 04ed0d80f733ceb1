"""ops/partitions/: each file is run on a database in use, and everything is as right and as strict afterwards."""

import subprocess
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest
from flask import Flask
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError, SQLAlchemyError

from dev.binaries import find_postgres
from namaskah import create_app
from namaskah.auth.models import User
from namaskah.db import db, transaction, violated
from namaskah.numbers import activations, pricelists, registry
from namaskah.numbers.models import Activation
from namaskah.providers.base import Sms
from namaskah.sandbox import Sandbox
from namaskah.wallet import house, ledger, statement
from tests import support
from tests.support import ROOT, Control, broken_invariants

# Of a table, however its parts are called: what PostgreSQL demands of a row, does with it, and finds it by.
CHECKS = (
    "SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conrelid = CAST(:name AS regclass) AND contype = 'c'"
)
TRIGGERS = """
    SELECT p.proname || ' ' || t.tgtype FROM pg_trigger t JOIN pg_proc p ON p.oid = t.tgfoid
     WHERE t.tgrelid = CAST(:name AS regclass) AND NOT t.tgisinternal
"""
INDEXES = "SELECT substring(indexdef FROM 'USING .*') FROM pg_indexes WHERE tablename = :name"
DEMANDS = {"checks": CHECKS, "triggers": TRIGGERS, "indexes": INDEXES}
TABLES = ("messages", "ledger_entries")
whole: dict[tuple[str, str], set[str]] = {}  # before it was cut


def demands(table: str, what: str) -> set[str]:
    return set(db.session.scalars(text(DEMANDS[what]), {"name": table}))


@pytest.fixture(scope="module")
def parted(settings: dict[str, str], worker_number: int, sandbox: Sandbox) -> Iterator[Flask]:
    """A database of its own with something in it, both files run in the middle of its life."""
    Control(sandbox).reset()
    url = support.clone_template(settings["DATABASE_URL"], f"namaskah_parted_{worker_number}")
    made = create_app(support.load_settings(settings | {"DATABASE_URL": url}))
    with made.app_context():
        pricelists.load()
        for name in registry.names():
            assert pricelists.sync(name)
        whole.update({(table, what): demands(table, what) for table in TABLES for what in DEMANDS})
        buy_and_receive(support.make_user("before@example.com", money=1_000_000))
        for file, table, column in (
            ("messages", "activations", "id"),
            ("ledger_entries", "ledger_entries", "id"),
        ):
            newest = db.session.scalar(text(f"SELECT max({column}) FROM {table}")) or 0
            db.session.rollback()
            run(ROOT / f"ops/partitions/{file}.sql", url, newest + 3, newest + 6)
        yield made
        db.session.remove()
        db.engine.dispose()


def run(file: Path, url: str, first: int, after: int) -> None:
    command = [
        find_postgres() / "psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", "-v", f"first={first}", "-v", f"next={after}",
        "-f", file, url.replace("+psycopg2", ""),
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def buy_and_receive(user: User) -> Activation:
    bought = activations.buy(user, "whatsapp", "NG", "any", 10**9, key=uuid4().hex)
    assert activations.receive(bought.id, [Sms(text="Your code is 482-913")]) == 1
    assert activations.receive(bought.id, [Sms(text="Your code is 482-913")]) == 0  # one copy of it
    return bought


def pieces(table: str) -> dict[str, int]:
    """Rows of each."""
    found = text(f"SELECT tableoid::regclass::text, count(*) FROM {table} GROUP BY 1")
    return dict(tuple(row) for row in db.session.execute(found))


def test_life_goes_on_across_the_border(parted: Flask) -> None:
    user = support.make_user("after@example.com", money=1_000_000)
    for _purchase in range(6):
        buy_and_receive(user)
    assert set(pieces("messages")) == {"messages_before", "messages_second", "messages_rest"}
    assert set(pieces("ledger_entries")) == {
        "ledger_entries_before", "ledger_entries_second", "ledger_entries_rest",
    }  # fmt: skip
    db.session.rollback()
    house.take_snapshots_due()
    lines = statement.statement(user.id, limit=50).rows
    assert len(lines) >= 7
    assert ledger.balance(user.id).held_minor == 0
    assert broken_invariants() == []


@pytest.mark.parametrize("what", DEMANDS)
@pytest.mark.parametrize("table", TABLES)
def test_every_piece_demands_what_the_whole_did(parted: Flask, table: str, what: str) -> None:
    for piece in (f"{table}_before", f"{table}_second", f"{table}_rest"):
        assert whole[table, what] - demands(piece, what) == set(), piece
    db.session.rollback()


FORGED = """
    WITH made AS (INSERT INTO ledger_transactions (kind, idempotency_key, reference)
                  VALUES ('adjust', 'forged', 'forged') RETURNING id)
    INSERT INTO ledger_entries (transaction_id, account_id, amount)
    SELECT made.id, a.id, 700 FROM made, ledger_accounts a WHERE a.kind = 'revenue' LIMIT 1
"""


@pytest.mark.parametrize(
    ("statements", "constraint"),
    [
        (FORGED, "ledger_transaction_sums_to_zero"),
        ("UPDATE ledger_entries SET amount = amount + 1", "ledger_append_only"),
        ("DELETE FROM ledger_entries_before", "ledger_append_only"),
        ("TRUNCATE ledger_entries", "ledger_append_only"),
        ("TRUNCATE ledger_entries_before", "ledger_append_only"),
        ("TRUNCATE ledger_entries_second", "ledger_append_only"),
        ("TRUNCATE ledger_entries_rest", "ledger_append_only"),
        ("INSERT INTO ledger_transactions (kind, idempotency_key, reference) VALUES ('adjust', 'empty', 'x')",
         "ledger_transaction_has_entries"),
        ("INSERT INTO messages (activation_id, fingerprint, body) SELECT activation_id, fingerprint, '' FROM messages",
         "messages_before"),
        ("UPDATE messages SET erased_at = now() WHERE activation_id = (SELECT max(activation_id) FROM messages)",
         "ck_messages_erased"),
    ],
)  # fmt: skip
def test_postgresql_refuses_what_it_refused(parted: Flask, statements: str, constraint: str) -> None:
    buy_and_receive(support.make_user(f"{uuid4().hex}@example.com", money=1_000_000))
    with pytest.raises(SQLAlchemyError) as refused, transaction():
        db.session.execute(text(statements))
    assert isinstance(refused.value, IntegrityError)
    assert constraint in (violated(refused.value) or "")
    assert broken_invariants() == []
