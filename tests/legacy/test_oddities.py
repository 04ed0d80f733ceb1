"""Every oddity of a file is found, said, and done about what the report says; nothing is dropped without a word."""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import func, select

from namaskah.account import deletion
from namaskah.auth import accounts
from namaskah.auth.models import User
from namaskah.db import db, transaction
from namaskah.legacy import findings as kinds
from namaskah.legacy.models import LegacyAccount, LegacyRecord
from namaskah.wallet import ledger
from tests import support

from .conftest import Run, account, findings, report
from .predecessor import THEN, Predecessor

Odd = Callable[[Predecessor], object]
PAYMENT = "namaskah_user_ada_1761990000"


def bought(old: Predecessor, **row: Any) -> None:
    given = {"id": "order", "user_id": "user_ada", "service_name": "WhatsApp", "phone_number": "2025550123"}
    old.put("verifications", **given | {"capability": "sms", "status": "completed", "cost": 1.0} | row)


def moved(old: Predecessor, **row: Any) -> None:
    given = {"id": "move", "user_id": "user_ada", "amount": 1.0, "type": "credit", "description": ""}
    old.put("transactions", **given | row)


def paid(old: Predecessor, **row: Any) -> None:
    given = {"id": "pay", "user_id": "user_ada", "reference": PAYMENT, "amount_usd": 2.0, "namaskah_amount": 1.0}
    old.put("payment_logs", **given | {"status": "completed", "credited": 1, "email": "ada@example.com"} | row)


def paid_and_moved(old: Predecessor, payment: dict[str, Any], *moves: dict[str, Any]) -> None:
    paid(old, **payment)
    for number, move in enumerate(moves):
        moved(old, **{"id": f"move{number}", "description": f"Paystack {PAYMENT}"} | move)


# What is wrong with Ada's account → the kind of finding.
SET_ASIDE: dict[str, tuple[str, Odd]] = {
    "below zero": ("negative_balance", lambda old: old.sql("UPDATE users SET credits = -3.5")),
    "no balance": ("no_amount", lambda old: old.sql("UPDATE users SET credits = NULL")),
    "words for a balance": ("no_amount", lambda old: old.sql("UPDATE users SET credits = 'lots'")),
    "an endless balance": ("no_amount", lambda old: old.sql("UPDATE users SET credits = 9e999")),
    "an absurd balance": ("no_amount", lambda old: old.sql("UPDATE users SET credits = 2e9")),
    "an admin": ("was_admin", lambda old: old.sql("UPDATE users SET is_admin = 1")),
    "an order below zero": ("negative_order", lambda old: bought(old, cost=-1.0)),
    "a call of less than nothing": ("negative_order", lambda old: bought(old, call_duration=-60.0)),
    "a rental backwards": (
        "negative_order",
        lambda old: old.put("number_rentals", id="r", user_id="user_ada", duration_hours=-100.0, cost=2.0),
    ),
    "refunds without end": (
        "more_refunds",
        lambda old: [moved(old, id=f"r{n}", description="Refund for cancelled order") for n in range(2)],
    ),
    "a payment twice": ("paid_twice", lambda old: paid_and_moved(old, {}, {}, {})),
    "another's payment": ("others_payment", lambda old: paid_and_moved(old, {"user_id": "user_bola"}, {})),
    "a payment not on record": ("unpaid_credit", lambda old: moved(old, description=f"Paystack {PAYMENT}")),
    "a payment never made": ("unpaid_credit", lambda old: paid_and_moved(old, {"status": "initialized"}, {})),
    "more than on record": ("credit_differs", lambda old: paid_and_moved(old, {}, {"amount": 50.0})),
    "naira for dollars": (
        "credit_differs",
        lambda old: paid_and_moved(old, {"amount_usd": 5.0, "namaskah_amount": 3695.6}, {"amount": 3695.6}),
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", SET_ASIDE)
def test_doubtful_money_waits_and_its_account_comes(run: Run, old: Predecessor, case: str) -> None:
    kind, spoil = SET_ASIDE[case]
    old.user("ada", 5.0)
    spoil(old)
    run("--commit")
    row = account("user_ada")
    assert (row.state, row.reasons, row.opened_minor) == ("set_aside", kind, 0)
    user = db.session.get_one(User, row.user_id)
    assert (user.email, user.role, ledger.balance(user.id).available_minor) == ("ada@example.com", "customer", 0)
    found = findings(old)[kind]
    assert {(each["account"], each["email"], each["sets_aside"]) for each in found} == {
        ("user_ada", "ada@example.com", "yes")
    }
    assert f"{kind.upper()} (" in report(old)


@pytest.mark.parametrize("case", SET_ASIDE)
def test_a_decision_brings_it_over_once_if_there_is_anything_to_bring(
    run: Run, old: Predecessor, tmp_path: Path, case: str
) -> None:
    kind, spoil = SET_ASIDE[case]
    old.user("ada", 5.0)
    spoil(old)
    run("--commit")
    decided = tmp_path / "decided"
    decided.write_text("# looked at by us\n\nuser_ada  # hers\n")
    for _again in range(2):
        run("--commit", "--decisions", str(decided))
    row = account("user_ada")
    expected = 0 if kind in {"negative_balance", "no_amount"} else 1_650_000
    assert (row.opened_minor, row.state) == (expected, "opened" if expected else "set_aside")
    assert ledger.balance(row.user_id or 0).available_minor == expected
    assert all(("as decided" in each["detail"]) == bool(expected) for each in findings(old)[kind])


NOTES: dict[str, tuple[str, Odd]] = {
    "a sum that does not come out": ("unexplained", lambda old: moved(old, amount=-0.5, type="debit")),
    "three decimals in a balance": ("rounded", lambda old: old.sql("UPDATE users SET credits = 5.001")),
    "three decimals in a cost": ("rounded", lambda old: bought(old, cost=0.755)),
    "words for a cost": ("odd_amount", lambda old: bought(old, cost="free")),
    "a debit that adds": ("odd_sign", lambda old: moved(old, type="debit")),
    "no time": ("odd_time", lambda old: bought(old, created_at="yesterday")),
    "a number for a time": ("odd_time", lambda old: bought(old, created_at=1761990000)),
    "a time to come": ("odd_time", lambda old: old.sql("UPDATE users SET created_at = '2999-01-01 00:00:00'")),
    "nobody's order": ("orphan", lambda old: bought(old, user_id="user_gone")),
    "nobody's movement": ("orphan", lambda old: moved(old, user_id=None)),
    "a waiting order": ("pending_order", lambda old: bought(old, status="pending", cost=1.25)),
    "a number in use": (
        "active_rental",
        lambda old: old.put("number_rentals", id="r", user_id="user_ada", status="active", phone_number="12025550123"),
    ),
    "a payment forgotten": ("paid_not_credited", lambda old: paid(old, credited=0)),
    "free ones left": ("free_verifications", lambda old: old.sql("UPDATE users SET free_verifications = 1")),
    "a running plan": (
        "active_plan",
        lambda old: old.put("subscriptions", id="s", user_id="user_ada", plan="turbo", status="active", price=75.0),
    ),
    "an open question": (
        "open_ticket",
        lambda old: old.put("support_tickets", id="t", user_id="user_ada", message="Help", status="open"),
    ),
    "a service nobody knows": ("unknown_service", lambda old: bought(old, service_name="Zzyzx 3000")),
    "a number of nowhere": ("unknown_country", lambda old: bought(old, phone_number="99")),
}  # fmt: skip


@pytest.mark.parametrize("case", NOTES)
def test_what_is_odd_is_told_and_the_money_comes(run: Run, old: Predecessor, case: str) -> None:
    kind, spoil = NOTES[case]
    old.user("ada", 5.0)
    spoil(old)
    run("--commit")
    assert account("user_ada").opened_minor == 1_650_000
    [found] = findings(old)[kind]
    assert found["sets_aside"] == "no"
    assert f"{kind.upper()} (1)" in report(old)


def test_a_clean_file_has_nothing_to_tell(run: Run, old: Predecessor) -> None:
    old.user("ada", 4.0)
    bought(old)
    moved(old, amount=-1.0, type="debit")
    old.sql("UPDATE users SET credits = 4.0")
    paid_and_moved(old, {}, {})
    run("--commit")
    assert findings(old) == {}


def test_only_what_the_log_proves_paid_counts_in_2_0_where_there_is_none(run: Run, tmp_path: Path) -> None:
    old = Predecessor(tmp_path / "sms.db", "2.0")
    old.user("ada", 1.0, explained=False)
    moved(old, description=f"Paystack {PAYMENT}")
    run("--commit")
    assert findings(old) == {}


def test_an_id_with_digits_of_its_own_is_told_from_the_payments(run: Run, old: Predecessor) -> None:
    old.user("1697000000", 1.0, explained=False)
    given = {"user_id": "user_1697000000", "reference": "namaskah_user_1697000000_1697000100"}
    paid(old, **given)
    moved(old, user_id=given["user_id"], description=given["reference"])
    run("--commit")
    assert findings(old) == {}


@pytest.mark.parametrize("email", [None, "", "admin", "a@b", "two@example.com, three@example.com"])
def test_without_an_address_no_account_is_made_until_one_is_given(
    run: Run, old: Predecessor, tmp_path: Path, email: str | None
) -> None:
    old.user("ada", 5.0, email=email)
    bought(old)
    run("--commit")
    assert db.session.scalar(select(func.count(User.id))) == 0
    assert findings(old)["no_address"][0]["row"] == "user_ada"
    decided = tmp_path / "decided"
    decided.write_text("user_ada")
    run("--commit", "--decisions", str(decided))
    assert account("user_ada").state == "set_aside"
    decided.write_text("user_ada Ada@Example.com")
    run("--commit", "--decisions", str(decided))
    row = account("user_ada")
    assert (db.session.get_one(User, row.user_id).email, row.opened_minor) == ("Ada@example.com", 1_650_000)
    assert db.session.scalar(select(func.count(LegacyRecord.id)).where(LegacyRecord.user_id == row.user_id)) == 3


def test_of_one_address_in_many_spellings_the_oldest_account_has_it(run: Run, old: Predecessor, tmp_path: Path) -> None:
    old.user("young", 1.0, email="ADA@example.com", created_at="2025-11-03 00:00:00")
    old.user("ada", 5.0, created_at="2025-11-02 00:00:00")
    old.user("timeless", 2.0, email="Ada@Example.com ", created_at=None)
    run("--commit")
    rows = [account(f"user_{name}") for name in ("ada", "young", "timeless")]
    assert [(row.state, row.opened_minor) for row in rows] == [
        ("opened", 1_650_000), ("set_aside", 0), ("set_aside", 0),
    ]  # fmt: skip
    assert len({row.user_id for row in rows}) == 1
    assert [each["row"] for each in findings(old)["same_address"]] == ["user_young", "user_timeless"]
    decided = tmp_path / "decided"
    decided.write_text("user_young\n")
    run("--commit", "--decisions", str(decided))
    assert ledger.balance(rows[0].user_id or 0).available_minor == 1_980_000


def test_a_younger_account_may_get_an_address_of_its_own(run: Run, old: Predecessor, tmp_path: Path) -> None:
    old.user("ada", 5.0, created_at="2025-11-02 00:00:00")
    old.user("young", 1.0, email="ADA@example.com", created_at="2025-11-03 00:00:00")
    decided = tmp_path / "decided"
    decided.write_text("user_young young@example.com\n")
    for _again in range(2):
        run("--commit", "--decisions", str(decided))
    row = account("user_young")
    assert (db.session.get_one(User, row.user_id).email, row.opened_minor) == ("young@example.com", 330_000)
    assert account("user_ada").user_id != row.user_id


@pytest.mark.parametrize(
    ("here", "kind"),
    [
        ({}, ""),
        ({"verified": False}, "address_not_confirmed"),
        ({"banned": True}, "account_closed"),
    ],
)
def test_an_account_that_was_here_is_joined_if_its_owner_reads_the_mail(
    run: Run, old: Predecessor, here: dict[str, bool], kind: str
) -> None:
    user = support.make_user("Ada@example.com", verified=here.get("verified", True), role="customer")
    if here.get("banned"):
        accounts.ban(user, "test", "a test")
    old.user("ada", 5.0)
    run("--commit")
    row = account("user_ada")
    is_theirs = kind != "address_not_confirmed"
    expected = (user.id if is_theirs else None, kind, 0 if kind else 1_650_000)
    assert (row.user_id, row.reasons, row.opened_minor) == expected
    db.session.refresh(user)
    assert user.password_hash == "!"
    assert ("joined" in findings(old)) == is_theirs


def test_a_stranger_with_somebodys_address_gets_nothing_of_theirs(run: Run, old: Predecessor, tmp_path: Path) -> None:
    user = support.make_user("ada@example.com", verified=False)
    old.user("ada", 5.0)
    bought(old)
    for _again in range(2):
        run("--commit")
    assert db.session.scalar(select(func.count(LegacyRecord.id))) == 0
    assert ledger.balance(user.id).available_minor == 0
    with transaction():
        user.email_verified_at = func.now()
    decided = tmp_path / "decided"
    decided.write_text("user_ada\n")
    run("--commit", "--decisions", str(decided))
    assert (account("user_ada").user_id, ledger.balance(user.id).available_minor) == (user.id, 1_650_000)
    assert db.session.scalar(select(func.count(LegacyRecord.id)).where(LegacyRecord.user_id == user.id)) == 3


def test_who_has_left_since_is_not_brought_back(run: Run, old: Predecessor, tmp_path: Path) -> None:
    old.user("ada", 5.0)
    old.user("twin", 1.0, email="ADA@example.com", created_at="2025-11-09 00:00:00")
    bought(old)
    run("--commit")
    user = db.session.get_one(User, account("user_ada").user_id)
    deletion.delete(user, 1_650_000)
    decided = tmp_path / "decided"
    decided.write_text("user_twin\n")
    run("--commit", "--decisions", str(decided))
    assert (account("user_twin").state, account("user_ada").opened_minor) == ("set_aside", 1_650_000)
    assert db.session.scalar(select(func.count(LegacyRecord.id))) == 0
    assert db.session.scalar(select(func.count(User.id))) == 1
    assert {each["row"] for each in findings(old)["deleted_since"]} == {"user_ada", "user_twin"}


def test_another_database_with_the_same_ids_is_seen(run: Run, old: Predecessor, tmp_path: Path) -> None:
    old.user("ada", 5.0)
    run("--commit")
    other = Predecessor(tmp_path / "other.db")
    other.user("ada", 9.0, email="someone.else@example.com")
    run("--commit", file=other.path)
    assert "other_address" in findings(other)
    assert account("user_ada").opened_minor == 1_650_000
    assert db.session.scalar(select(func.count(User.id))) == 1


def test_an_id_twice_and_rows_without_one(run: Run, tmp_path: Path) -> None:
    old = Predecessor(tmp_path / "sms.db")
    old.sql("DROP TABLE users")
    old.sql("CREATE TABLE users (id TEXT, email TEXT, credits FLOAT)")
    old.sql("INSERT INTO users VALUES ('one', 'one@example.com', 1.0), ('one', 'two@example.com', 2.0)")
    old.sql("INSERT INTO users VALUES (NULL, 'three@example.com', 3.0)")
    old.sql("DROP TABLE transactions")
    old.sql("CREATE TABLE transactions (id TEXT, user_id TEXT, amount FLOAT)")
    old.sql("INSERT INTO transactions VALUES ('t', 'one', 1.0), ('t', 'one', 1.0)")
    run("--commit")
    assert account("one").reasons == "same_id"
    assert account("row:3").opened_minor == 990_000
    assert len(findings(old)["same_id"]) == 2
    assert [each["row"] for each in findings(old)["same_row"]] == ["t"]


def test_text_that_postgresql_has_no_place_for(run: Run, old: Predecessor) -> None:
    old.user("ada", 5.0)
    bought(old, service_name="What\0s", phone_number=b"\xff\xfe2025550123")
    old.put(
        "support_tickets", id="x" * 300, user_id="user_ada", message=sqlite3.Binary(b"\xed\xa0\x80"), status="closed"
    )
    run("--commit")
    records = db.session.scalars(select(LegacyRecord).order_by(LegacyRecord.id)).all()
    assert [record.source for record in records] == ["users", "transactions", "verifications", "support_tickets"]
    assert records[2].content["service_name"] == "What\N{REPLACEMENT CHARACTER}s"
    assert records[3].legacy_id.startswith("sha256:")


def test_records_keep_what_there_was_and_no_secret(run: Run, old: Predecessor) -> None:
    old.user("ada", 5.0, reset_token="canary", verification_token="canary", free_verifications=1.0)
    bought(old, status="pending", verification_code="canary", transcription="canary", audio_url="canary")
    bought(old, id="o2", service_name="telegram", completed_at=THEN)
    old.put("api_keys", id="k", user_id="user_ada", key="canary")
    old.put("activity_logs", id="l", user_id="user_ada", ip_address="canary")
    old.put("webhooks", id="w", user_id="user_ada", url="https://example.com/hook", is_active=1)
    old.sql("CREATE TABLE mystery (x)")
    old.sql("INSERT INTO mystery VALUES (1), (2)")
    run("--commit")
    kept = {row.legacy_id: row for row in db.session.scalars(select(LegacyRecord))}
    assert kept["order"].content == {
        "service_name": "WhatsApp", "service": "whatsapp", "country": "US", "phone_number": "2025550123",
        "capability": "sms", "status": "expired", "cost": "1.0", "created_at": THEN,
        "provider": "textverified", "provider_order_id": "order",
    }  # fmt: skip
    assert (kept["o2"].content["service"], kept["o2"].at.isoformat()) == (
        "telegram",
        "2025-11-01T10:20:30.123456+00:00",
    )
    assert kept["w"].content["url"] == "https://example.com/hook"
    everywhere = repr([row.content for row in kept.values()]) + report(old)
    assert "canary" not in everywhere and "$2b$" not in everywhere
    lines = [line.strip() for line in report(old).splitlines()]
    assert "2         0  mystery: not known to this program, left in the file" in lines
    assert any(line.startswith("1         0  api_keys: the predecessor never accepted one") for line in lines)
    assert any(line.startswith("1         0  activity_logs: pages seen") for line in lines)


def test_what_came_later_is_read_too(run: Run, tmp_path: Path) -> None:
    old = Predecessor(tmp_path / "sms.db", "4")
    old.user("ada", 5.0, explained=False)
    moved(old, amount=3.0)
    old.put("balance_transactions", id="b", user_id="user_ada", amount="5.00", type="credit")
    bought(old, country="nigeria", provider="5sim")
    run("--commit")
    assert findings(old) == {}
    order = db.session.scalars(select(LegacyRecord).where(LegacyRecord.source == "verifications")).one()
    assert (order.content["country"], order.content["provider"]) == ("NG", "5sim")


def test_units_that_are_not_the_usual_ones_must_be_meant(run: Run, app: Flask, old: Predecessor) -> None:
    old.user("ada", 5.0)
    moved(old, amount=0.0, created_at="2025-10-01 00:00:00")
    app.config["FX_RATES"], before = {"USD": 1650}, app.config["FX_RATES"]
    try:
        output = run("--commit", unit="1 USD", ok=False).output
        assert "In version 2.1 a credit was 2 USD, and --unit says 1 USD." in output
        assert "1 movements are from before 16 October 2025" in output
        assert db.session.scalar(select(func.count(LegacyAccount.id))) == 0
        run("--commit", "--meant", unit="1 USD")
    finally:
        app.config["FX_RATES"] = before
    assert account("user_ada").opened_minor == 825_000


@pytest.mark.parametrize("unit", ["", "0", "USD", "-1", "1e9", "2 XYZ", "USD 2 USD", "99999999"])
def test_what_is_no_unit_is_refused(run: Run, old: Predecessor, unit: str) -> None:
    old.user("ada", 5.0)
    assert "Error: " in run("--commit", unit=unit, ok=False).output
    assert db.session.scalar(select(func.count(LegacyAccount.id))) == 0


def make(path: Path, *statements: str) -> None:
    with closing(sqlite3.connect(path)) as file, file:
        for statement in statements:
            file.execute(statement)


def test_files_that_are_not_the_predecessors_are_refused(run: Run, old: Predecessor, tmp_path: Path) -> None:
    path = tmp_path / "strange.db"
    path.write_bytes(b"PGDMP, no SQLite at all" * 100)
    assert "is no SQLite database" in run("--commit", file=path, ok=False).output
    path.unlink()
    make(path, "CREATE TABLE posts (id)")
    assert "has no table of users" in run("--commit", file=path, ok=False).output
    make(path, "CREATE TABLE users (id, email)")
    assert "its users have no credits" in run("--commit", file=path, ok=False).output
    for number in range(200):
        old.user(f"p{number}", 1.0)
    whole = old.path.read_bytes()
    old.path.write_bytes(whole[: len(whole) // 2])
    assert "damaged" in run("--commit", ok=False).output
    old.path.write_bytes(whole[:8192] + b"\xff" * 4096 + whole[12288:])
    assert "damaged" in run("--commit", ok=False).output


def test_decisions_are_all_of_the_list_or_nothing(run: Run, old: Predecessor, tmp_path: Path) -> None:
    old.user("ada", 5.0)
    decided = tmp_path / "decided"
    decided.write_text("user_ada\nuser_x not an address\n")
    assert "line 2 of --decisions" in run("--commit", "--decisions", str(decided), ok=False).output
    assert db.session.scalar(select(func.count(LegacyAccount.id))) == 0
    decided.write_text("user_gone\n")
    run("--decisions", str(decided))
    assert [each["row"] for each in findings(old)["not_in_file"]] == ["user_gone"]


def test_the_report_goes_where_it_is_wanted_and_spreadsheets_take_nothing_for_a_formula(
    run: Run, old: Predecessor, tmp_path: Path
) -> None:
    old.user("ada", 5.0, email="=HYPERLINK(1)@x")
    run("--report", str(tmp_path / "there"))
    assert "SHA-256 " in (tmp_path / "there.txt").read_text()
    assert "'=HYPERLINK" in (tmp_path / "there.csv").read_text()
    assert not Path(f"{old.path}.report.txt").exists()


def test_long_lists_are_cut_in_the_text_and_whole_in_the_table(run: Run, old: Predecessor) -> None:
    for number in range(25):
        old.user(f"p{number}", 5.0, is_admin=1)
    run()
    assert "… and 5 more" in report(old)
    assert len(findings(old)["was_admin"]) == 25


def test_the_file_is_not_written_to(run: Run, old: Predecessor) -> None:
    old.user("ada", 5.0)
    before = old.path.read_bytes()
    run("--commit")
    assert old.path.read_bytes() == before


def test_another_wallet_currency_is_refused(run: Run, app: Flask, old: Predecessor) -> None:
    old.user("ada", 5.0)
    support.make_user("here@example.com", money=100)
    app.config["WALLET_CURRENCY"], before = "USD", app.config["WALLET_CURRENCY"]
    try:
        assert "WALLET_CURRENCY" in run("--commit", ok=False).output
    finally:
        app.config["WALLET_CURRENCY"] = before
    assert db.session.scalar(select(func.count(LegacyAccount.id))) == 0


def test_money_beside_its_account_is_found_by_the_books(app: Flask, run: Run, old: Predecessor) -> None:
    old.user("ada", 5.0)
    run("--commit")
    row = account("user_ada")
    with transaction():
        row.opened_minor -= 1
    assert [number for number, _row in support.broken_invariants()] == ["L1"]
    with transaction():
        row.opened_minor += 1


def test_every_kind_of_finding_is_shown_by_a_test() -> None:
    shown = {kind for kind, _odd in (*SET_ASIDE.values(), *NOTES.values())}
    elsewhere = {
        "no_address", "same_address", "same_id", "address_not_confirmed", "account_closed", "same_row",
        "changed_since", "joined", "deleted_since", "other_address", "not_in_file",
    }  # fmt: skip
    assert shown | elsewhere == kinds.KINDS.keys()
