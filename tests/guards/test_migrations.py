"""The migrations build exactly what the models describe, in one line of descent, and can be taken back one by one."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from flask import Flask
from flask_migrate import downgrade, upgrade

from namaskah import create_app
from namaskah.db import db
from tests import support

MIGRATIONS = Path(__file__).parents[2] / "migrations"
SCRIPTS = ScriptDirectory(str(MIGRATIONS))
REVISIONS = [script.revision for script in reversed(list(SCRIPTS.walk_revisions()))]

# What the database itself must refuse or keep: trigger → its tables.
LEDGER_TRIGGERS = {
    "ledger_post_entry": {"ledger_entries"},
    "ledger_check_zero": {"ledger_entries", "ledger_transactions"},
    "ledger_append_only": {"ledger_entries", "ledger_transactions"},
    "ledger_no_truncate": {"ledger_entries", "ledger_transactions", "ledger_accounts"},
    "ledger_no_delete": {"ledger_accounts"},
    "ledger_guard_account": {"ledger_accounts"},
    "ledger_one_currency": {"ledger_accounts"},
}
INVOICE_TRIGGERS = {
    "invoice_number": {"invoices"},
    "invoice_immutable": {"invoices"},
    "invoice_no_truncate": {"invoices", "invoice_years"},
    "invoice_guard_year": {"invoice_years"},
    "invoice_no_delete": {"invoice_years"},
    "invoice_receipt_due": {"top_ups"},
}
RATE_TRIGGERS = {"exchange_rates_immutable": {"exchange_rates"}, "exchange_rates_no_truncate": {"exchange_rates"}}
PROMO_TRIGGERS = {
    "promo_check_left": {"promo_grants"},
    "promo_no_delete": {"promo_grants"},
    "promo_append_only": {"promo_parts", "voucher_redemptions"},
    "promo_no_truncate": {"promo_grants", "promo_parts", "voucher_redemptions"},
}
REFUND_TRIGGERS = {
    "gateway_refund_within_paid": {"gateway_refunds"},
    "gateway_refund_within_paid_late": {"gateway_refunds"},
    "gateway_refund_guard": {"gateway_refunds"},
}
MESSAGE_TRIGGERS = {"message_stays_erased": {"messages"}}
OUR_TRIGGERS = LEDGER_TRIGGERS | INVOICE_TRIGGERS | RATE_TRIGGERS | PROMO_TRIGGERS | REFUND_TRIGGERS | MESSAGE_TRIGGERS


@pytest.fixture
def scratch(worker_number: int, settings: dict[str, str]) -> Iterator[Flask]:
    """An application on a migrated database of its own, without rows."""
    url = support.clone_template(os.environ["TEST_DATABASE_URL"], f"namaskah_scratch_{worker_number}")
    app = create_app(support.load_settings(settings | {"DATABASE_URL": url}))
    with app.app_context():
        yield app
        db.session.remove()
        db.engine.dispose()


def differences(metadata: sa.MetaData) -> list[str]:
    """What `flask db migrate` would still have to do; the queue's tables are not ours."""

    def ours(_item: object, name: str | None, kind: str, _reflected: bool, _other: object) -> bool:
        return not (kind == "table" and str(name).startswith("procrastinate_"))

    with db.engine.connect() as connection:
        options = {"include_object": ours, "compare_type": True, "compare_server_default": True}
        return [str(step) for step in compare_metadata(MigrationContext.configure(connection, opts=options), metadata)]


def checks_in_database() -> set[tuple[str, str]]:
    """Table and name of every CHECK: alembic does not compare these."""
    query = """SELECT conrelid::regclass::text, conname FROM pg_constraint
                WHERE contype = 'c' AND conrelid <> 0 AND conrelid::regclass::text NOT LIKE 'procrastinate%'"""
    with db.engine.connect() as connection:
        return {(str(table), str(name)) for table, name in connection.execute(sa.text(query))}


def checks_of(metadata: sa.MetaData) -> set[tuple[str, str]]:
    return {
        (
            table.name,
            str(table.metadata.naming_convention["ck"]) % {"table_name": table.name, "constraint_name": check.name},
        )
        if not str(check.name).startswith("ck_")
        else (table.name, str(check.name))
        for table in metadata.sorted_tables
        for check in table.constraints
        if isinstance(check, sa.CheckConstraint)
    }


def our_triggers() -> dict[str, set[str]]:
    query = "SELECT tgname, tgrelid::regclass::text FROM pg_trigger WHERE NOT tgisinternal AND tgenabled = 'O'"
    found: dict[str, set[str]] = {}
    with db.engine.connect() as connection:
        for name, table in connection.execute(sa.text(query)):
            if name.startswith(("ledger_", "invoice_", "exchange_rates_", "promo_", "gateway_refund_", "message_")):
                found.setdefault(name, set()).add(table)
    return found


def tables() -> set[str]:
    return set(sa.inspect(db.engine).get_table_names()) - {"alembic_version"}


def heads_and_roots(scripts: ScriptDirectory) -> tuple[int, int]:
    return len(scripts.get_heads()), len(scripts.get_bases())


def test_the_models_and_the_migrations_say_the_same(scratch: Flask) -> None:
    assert differences(db.metadata) == []
    assert checks_of(db.metadata) == checks_in_database()


def test_a_column_or_check_without_a_migration_is_seen(scratch: Flask) -> None:
    changed = sa.MetaData(naming_convention=db.metadata.naming_convention)
    for table in db.metadata.sorted_tables:
        table.to_metadata(changed)
    changed.tables["users"].append_column(sa.Column("nickname", sa.Text()))
    changed.tables["users"].append_constraint(sa.CheckConstraint("id > 0", name="positive"))
    assert len(differences(changed)) == 1
    assert checks_of(changed) - checks_in_database() == {("users", "ck_users_positive")}


def test_ledger_and_receipts_are_guarded_by_their_triggers(scratch: Flask) -> None:
    assert our_triggers() == OUR_TRIGGERS


def test_a_trigger_that_is_switched_off_is_seen(scratch: Flask) -> None:
    with db.engine.begin() as connection:
        connection.execute(sa.text("ALTER TABLE ledger_entries DISABLE TRIGGER ledger_append_only"))
    assert our_triggers() != OUR_TRIGGERS


def test_each_migration_can_be_taken_back_and_done_again(scratch: Flask) -> None:
    full = tables()
    for revision in reversed(REVISIONS):
        before = SCRIPTS.get_revision(revision).down_revision
        downgrade(str(MIGRATIONS), revision=str(before or "base"))
        upgrade(str(MIGRATIONS), revision=revision)
        downgrade(str(MIGRATIONS), revision=str(before or "base"))
    assert tables() == set()
    upgrade(str(MIGRATIONS))
    assert tables() == full
    assert differences(db.metadata) == []
    assert our_triggers() == OUR_TRIGGERS


def test_there_is_one_line_of_migrations() -> None:
    assert heads_and_roots(SCRIPTS) == (1, 1)


def test_a_fork_is_seen(tmp_path: Path) -> None:
    (tmp_path / "versions").mkdir()
    for name, before in (("a", None), ("b", "a"), ("c", "a")):
        (tmp_path / f"versions/{name}.py").write_text(f"revision = {name!r}\ndown_revision = {before!r}\n")
    assert heads_and_roots(ScriptDirectory(str(tmp_path))) == (2, 1)
