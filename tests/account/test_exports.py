"""The file of everything we hold of a person: asked for, made, taken, and gone after a week."""

import csv
import io
import json
import zipfile
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import func, insert, select, text

from namaskah.account import export_sheets, exports
from namaskah.account.models import DataExport
from namaskah.auth import accounts, sessions
from namaskah.auth.models import User
from namaskah.db import db, transaction
from namaskah.wallet import refunds
from tests.account import life
from tests.account.conftest import Open
from tests.support import Installation, installation, make_receipt, wait_until

# Tables that name an account → the sheet they are in.
IN_THE_FILE = {
    "activations": "activations",
    "audit_events": "security",
    "auto_top_ups": "auto-top-up",
    "buyer_details": "buyer",
    "dispute_papers": "dispute-papers",
    "disputes": "disputes",
    "email_changes": "new-address",
    "favourites": "favourites",
    "gateway_refunds": "refunds",
    "invoices": "receipts",
    "ledger_accounts": "statement",
    "low_balance_letters": "low-balance",
    "legacy_accounts": "brought-over",
    "legacy_records": "earlier",
    "passkeys": "passkeys",
    "policy_acceptances": "rules",
    "promo_grants": "gifts",
    "saved_cards": "cards",
    "sessions": "devices",
    "top_ups": "top-ups",
    "voucher_redemptions": "gifts",
}
NOT_IN_THE_FILE = {
    "data_exports": "earlier files",
    "deleted_accounts": "of those who are gone",
    "factor_tries": "a count of the last minutes",
    "recovery_codes": "secrets, kept as prints",
    "totp_seeds": "secrets, kept encrypted",
}


def made(user: User) -> DataExport:
    asked = exports.ask(user)
    exports.make(asked.id)
    return fresh(asked)


def fresh(export: DataExport) -> DataExport:
    db.session.rollback()
    return db.session.get_one(DataExport, export.id, populate_existing=True)


def unpacked(content: bytes) -> dict[str, str]:
    with zipfile.ZipFile(io.BytesIO(content)) as packed:
        assert packed.testzip() is None
        return {name: packed.read(name).decode("utf-8-sig") for name in packed.namelist()}


def rows(files: dict[str, str], name: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(files[f"{name}.csv"])))


def test_every_table_that_names_an_account_is_in_the_file(app: Flask) -> None:
    naming = {table.name for table in db.metadata.sorted_tables if "user_id" in table.c}
    assert naming == IN_THE_FILE.keys() | NOT_IN_THE_FILE
    assert set(IN_THE_FILE.values()) <= {sheet.name for sheet in export_sheets.SHEETS}


def test_the_file_holds_everything_of_its_owner_and_nothing_of_others(
    app: Flask, enter: Open, alice: User, bob: User
) -> None:
    bought = life.live(alice)
    enter(alice, "Phone/1")
    enter(bob, "Tablet/1")
    life.top_up(bob, "NK-bobs", "failed")
    export = made(alice)
    assert (export.state, export.done, export.size) == ("ready", exports.PARTS, len(export.content or b""))
    files = unpacked(export.content or b"")
    assert files.keys() == {"README.txt", "account.json", *(f"{sheet.name}.csv" for sheet in export_sheets.SHEETS)}
    account = json.loads(files["account.json"])
    assert (account["email"], account["name"], account["sound"]) == ("alice@example.com", life.NAME, True)
    assert "password_hash" not in account
    assert [row["device"] for row in rows(files, "devices")] == ["Phone/1"]
    assert rows(files, "favourites") == [{"service_code": "whatsapp"}]
    assert [row["reference"] for row in rows(files, "top-ups")] == ["NK-life"]
    assert life.CARD in rows(files, "payments")[0]["body"]
    by_code, by_hand = rows(files, "gifts")
    assert (by_code["source"], by_code["amount"], by_hand["note"], by_hand["code_used_at"]) == (
        "voucher", "1.00", "a present", "",
    )  # fmt: skip
    assert by_code["note"] == f"…{by_code['code_ends_in']}" and by_code["code_used_at"]
    assert [row["kind"] for row in rows(files, "gift-statement")] == ["promo_granted", "promo_granted"]
    assert [row["id"] for row in rows(files, "activations")] == [str(bought.id)]
    assert rows(files, "messages")[0]["sender"] == life.SENDER
    assert "Logged in" in [row["what"] for row in rows(files, "security")]
    assert not any("bob" in content.lower() or "Tablet" in content for content in files.values())


def test_numbers_stay_numbers_and_no_text_becomes_a_formula(app: Flask, alice: User) -> None:
    bought = life.live(alice)
    files = unpacked(made(alice).content or b"")
    held, _money = rows(files, "statement")
    assert Decimal(held["amount"]) == -Decimal(bought.price_minor) / 100
    assert Decimal(held["balance_after"]) == Decimal(1_000_000 - bought.price_minor) / 100
    [number] = rows(files, "activations")
    assert Decimal(number["price"]) * 100 == bought.price_minor
    assert number["phone"] == f"'{bought.phone}"
    assert rows(files, "messages")[0]["body"] == f"'{life.SMS}"


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r"])
def test_a_cell_that_begins_like_a_formula_is_made_text(start: str) -> None:
    assert export_sheets.cell(f"{start}1+1") == f"'{start}1+1"
    assert export_sheets.cell(f"x{start}") == f"x{start}"


def test_values_that_are_no_text_are_left_alone() -> None:
    assert [export_sheets.cell(value) for value in (-5, Decimal("-1.5"), None)] == [-5, Decimal("-1.5"), None]


def test_sentences_are_in_the_owners_language_wherever_the_file_is_made(app: Flask, alice: User) -> None:
    with transaction():
        alice.language = "ar"
    life.live(alice)
    files = unpacked(made(alice).content or b"")
    assert any("؀" <= letter <= "ۿ" for letter in rows(files, "statement")[0]["what"])


def test_a_long_statement_is_whole(app: Flask, alice: User, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export_sheets, "AT_ONCE", 2)
    for _number in range(3):
        life.shop.buy(alice)
    assert len(rows(unpacked(made(alice).content or b""), "statement")) == 4


def test_the_page_leads_from_asking_to_the_file(enter: Open, alice: User) -> None:
    browser = enter(alice)
    assert "Make the file" in browser.get("/account/export").text
    assert browser.submit("/account/export").location == "/account/export"
    waiting = browser.get("/account/export").text
    assert "Your file is being made." in waiting
    assert '<noscript><meta http-equiv="refresh" content="5"></noscript>' in waiting
    assert "hx-get" in waiting
    [export] = db.session.scalars(select(DataExport)).all()
    exports.make(export.id)
    ready = browser.get("/account/export").text
    assert "Your file is ready." in ready
    assert "refresh" not in ready
    answer = browser.get(f"/account/export/{export.id}/file")
    assert (answer.status_code, answer.content_type) == (200, "application/zip")
    assert answer.headers["Content-Disposition"].startswith('attachment; filename="namaskah-2')
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert "account.json" in unpacked(answer.data)
    history = browser.get("/account/security").text
    assert "was downloaded" in history
    assert "was asked for" in history


def test_only_its_owner_gets_a_file(enter: Open, alice: User, bob: User) -> None:
    export, stranger = made(alice), enter(bob)
    for unknown in (export.id, 10**9, 10**30):
        assert stranger.get(f"/account/export/{unknown}/file").status_code == 404
    assert "ready" not in stranger.get("/account/export").text


def test_asking_and_taking_want_a_fresh_proof_of_who_one_is(enter: Open, alice: User) -> None:
    export, browser = made(alice), enter(alice)
    life.columns_later("sessions", "confirmed_at", sessions.CONFIRMED_FOR)
    assert browser.get(f"/account/export/{export.id}/file").location.startswith("/confirm?next=/account/export/")
    assert browser.submit("/account/export").location.startswith("/confirm")
    assert browser.get("/account/export").status_code == 200


def test_one_is_made_at_a_time_and_three_a_day(enter: Open, alice: User) -> None:
    browser = enter(alice)
    assert exports.ask(alice).id == exports.ask(alice).id
    for _number in range(3):
        exports.make(exports.ask(alice).id)
    assert db.session.scalar(select(func.count()).select_from(DataExport)) == 3
    answer = browser.submit("/account/export")
    assert (answer.status_code, "three files today" in answer.text) == (429, True)
    assert "Download it" in answer.text
    life.columns_later("data_exports", "created_at", timedelta(days=1, seconds=1))
    assert browser.submit("/account/export").status_code == 303


def test_who_got_no_file_is_not_told_to_take_the_last_one(enter: Open, alice: User) -> None:
    with transaction():
        failed = {"user_id": alice.id, "state": "failed", "failure": "fault", "ended_at": datetime.now(UTC)}
        db.session.execute(insert(DataExport), [failed] * exports.TRIES_A_DAY)
    answer = enter(alice).submit("/account/export")
    assert (answer.status_code, "has failed too often today" in answer.text) == (429, True)
    assert "three files today" not in answer.text


def test_a_failed_one_says_so_and_may_be_asked_for_again(
    enter: Open, alice: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    browser, asked = enter(alice), exports.ask(alice)
    with monkeypatch.context() as now:
        now.setattr(export_sheets, "_account", lambda user: {}["gone"])
        exports.make(asked.id)
    assert (fresh(asked).state, asked.failure) == ("failed", "fault")
    page = browser.get("/account/export").text
    assert "That was a fault of ours." in page
    assert browser.submit("/account/export").status_code == 303
    again = exports.ask(alice)
    exports.make(again.id)
    assert fresh(again).state == "ready"


def test_a_file_that_would_be_too_large_is_refused_in_words(
    enter: Open, alice: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export_sheets, "LARGEST", 200)
    assert (made(alice).failure, "a person sends it to you" in enter(alice).get("/account/export").text) == (
        "too_large",
        True,
    )


def test_a_file_is_there_for_a_week(enter: Open, alice: User) -> None:
    browser, export = enter(alice), made(alice)
    life.columns_later("data_exports", "created_at ended_at", exports.KEPT - timedelta(minutes=1))
    assert exports.remove_old_due() == 0
    assert browser.get(f"/account/export/{export.id}/file").status_code == 200
    life.columns_later("data_exports", "created_at ended_at", timedelta(minutes=2))
    assert browser.get(f"/account/export/{export.id}/file").status_code == 404
    assert exports.remove_old_due() == 1
    assert "Make the file" in browser.get("/account/export").text


def test_making_that_was_lost_is_given_up_after_an_hour(alice: User) -> None:
    lost = exports.ask(alice)
    life.columns_later("data_exports", "created_at", exports.LONGEST - timedelta(minutes=1))
    assert exports.remove_old_due() == 0
    life.columns_later("data_exports", "created_at", timedelta(minutes=2))
    assert exports.remove_old_due() == 1
    assert fresh(lost).state == "failed"
    exports.make(lost.id)
    assert fresh(lost).state == "failed", "what was given up does not come back"


def test_done_twice_it_is_one_file(alice: User, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = exports.ask(alice)
    pack = export_sheets.pack

    def slow(user: User, progress: Any) -> bytes:
        monkeypatch.setattr(export_sheets, "pack", pack)
        exports.make(asked.id)  # the other worker is done before us
        return b"second"

    monkeypatch.setattr(export_sheets, "pack", slow)
    exports.make(asked.id)
    assert "account.json" in unpacked(fresh(asked).content or b"")


def test_a_closed_account_takes_no_file(enter: Open, alice: User) -> None:
    browser, export = enter(alice), made(alice)
    accounts.ban(alice, "operator", "spam")
    assert browser.get(f"/account/export/{export.id}/file").location.startswith("/login")


@pytest.fixture
def place(app: Flask, settings: dict[str, str], tmp_path: Path) -> Iterator[Installation]:
    with installation(settings | {"LOG_LEVEL": "INFO"}, tmp_path) as site:
        yield site


def test_what_a_killed_worker_was_making_the_next_one_makes(place: Installation, app: Flask, alice: User) -> None:
    asked = exports.ask(alice)
    with db.engine.connect() as holding:  # the worker cannot write down its progress, and waits
        holding.execute(text("SELECT 1 FROM data_exports FOR UPDATE"))
        first = place.start_worker()
        doing = text("SELECT count(*) FROM procrastinate_jobs WHERE task_name = 'make_export' AND status = 'doing'")
        wait_until(lambda: (db.session.rollback(), db.session.scalar(doing))[1] == 1, 30, "the job's start")
        place.kill(first)
    with transaction():  # its heart stopped a while ago
        db.session.execute(text("UPDATE procrastinate_workers SET last_heartbeat = now() - interval '1 hour'"))
    assert fresh(asked).state == "making"
    place.start_worker()
    wait_until(lambda: fresh(asked).state == "ready", 60, "the file")
    assert db.session.scalar(select(func.count()).select_from(DataExport)) == 1


def test_what_went_back_is_in_the_file(app: Flask, alice: User) -> None:
    top_up = make_receipt(alice).top_up
    refunds.start(top_up.reference, 123_450, reason="paid twice", key="key-of-a-form", who="user:1")
    [row] = rows(unpacked(made(alice).content or b""), "refunds")
    told = (row["top_up"], row["amount"], row["state"], row["reason"])
    assert told == (top_up.reference, "1234.50", "asked", "paid twice")
