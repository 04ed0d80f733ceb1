"""Receipts and credit notes: one for each cause, numbered without a gap, and never changed."""

import secrets
import threading
from collections.abc import Callable
from datetime import UTC, date, datetime
from itertools import pairwise
from typing import Any

import pytest
from flask import Flask
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import func, select, text
from sqlalchemy.exc import DBAPIError, IntegrityError

from namaskah.auth.models import User
from namaskah.db import db, transaction, violated
from namaskah.papers.printer import printed
from namaskah.wallet import invoice_papers, invoices, ledger, topups
from namaskah.wallet.models import Invoice, ReceiptDue, TopUp
from tests.support import make_receipt, make_user
from tests.together import at_once

from .counter import Counter

AMOUNT = 250_000
BUYER = {"name": "Ada Obi", "company": "शर्मा एंड संस", "address": "1 Marina\nLagos", "tax_id": "TIN 12-34"}


@pytest.fixture
def broken_on_purpose() -> set[str]:
    """Notes are issued here for money that has not moved."""
    return {"R4"}


@pytest.fixture
def taxed(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    """An installation whose payments contain 7.5 % of tax."""
    seller = {"SELLER_NAME": "Acme Ltd", "SELLER_ADDRESS": "2 Broad Street\nLagos", "SELLER_TAX_ID": "TIN 98-76"}
    for name, value in (seller | {"TAX_RATE": 750, "TAX_NAME": "VAT"}).items():
        monkeypatch.setitem(app.config, name, value)


def paid(user: User, counter: Counter) -> TopUp:
    """Paid at the gateway, not settled by us."""
    opened = topups.open_top_up(user, AMOUNT, secrets.token_hex(16))
    counter.pay(opened.reference)
    return opened


def issued() -> list[Invoice]:
    db.session.rollback()
    return list(db.session.scalars(select(Invoice).order_by(Invoice.year, Invoice.number)))


def numbers() -> list[int]:
    return [invoice.number for invoice in issued()]


def today(day: date, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is noon of this day, in UTC."""
    monkeypatch.setattr(invoices, "_now", lambda: datetime(day.year, day.month, day.day, 12, tzinfo=UTC))


def credit(receipt: Invoice, reference: str, amount_minor: int, issue: Any = invoices.credit_note) -> Invoice:
    with transaction():
        top_up = db.session.scalars(select(TopUp).filter_by(id=receipt.top_up_id).with_for_update()).one()
        issued: Invoice = issue(top_up, reference, amount_minor)
        return issued


# ── A receipt for each payment ───────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.usefixtures("taxed")
def test_a_credit_brings_its_receipt_with_all_that_was_known_then(payer: User, counter: Counter) -> None:
    invoices.set_buyer_details(payer, **BUYER)
    top_up = topups.settle(paid(payer, counter).reference)
    [receipt] = issued()
    assert receipt.full_number == f"NK-{receipt.issued_on.year}-000001"
    assert (receipt.kind, receipt.user_id, receipt.top_up_id, receipt.receipt_id) == (
        "receipt",
        payer.id,
        top_up.id,
        None,
    )
    assert (receipt.total_minor, receipt.tax_minor, receipt.currency) == (AMOUNT, 17_442, "NGN")
    assert (receipt.tax_rate, receipt.tax_name, receipt.language) == (750, "VAT", "en")
    assert receipt.buyer == BUYER
    assert receipt.seller == {
        "name": "Acme Ltd",
        "address": "2 Broad Street\nLagos",
        "tax_id": "TIN 98-76",
        "email": "help@namaskah.test",
    }
    assert receipt.issued_on == receipt.paid_on == receipt.issued_at.date()
    letter = db.session.scalars(text("SELECT args FROM procrastinate_jobs WHERE task_name = 'send_mail'")).one()
    link = f"http://localhost/wallet/invoices/{receipt.full_number}"
    assert f'href="{link}"' in letter["html"] and link in letter["text"]


def test_a_payment_that_is_not_credited_has_no_receipt(payer: User, counter: Counter) -> None:
    opened = topups.open_top_up(payer, AMOUNT, secrets.token_hex(16))
    counter.pay(opened.reference, 1)
    found = topups.settle(opened.reference)
    assert (found.state, issued()) == ("mismatch", [])
    with pytest.raises(ValueError, match="is not paid"), transaction():
        invoices.issue_receipt(found)


def test_however_many_settle_at_once_there_is_one_receipt(app: Flask, payer: User, counter: Counter) -> None:
    opened = paid(payer, counter)
    at_once(app, *[lambda: topups.settle(opened.reference).state] * 8)
    assert numbers() == [1]


def test_eight_payments_at_once_are_numbered_from_one_to_eight(
    app: Flask, new_user: Callable[[], User], counter: Counter
) -> None:
    shared = new_user()
    opened = [paid(user, counter).reference for user in (*[shared] * 4, *[new_user() for _ in range(4)])]
    results = at_once(app, *[lambda reference=reference: topups.settle(reference).state for reference in opened])
    assert results == ["paid"] * 8
    assert numbers() == [*range(1, 9)]
    assert ledger.balance(shared.id).available_minor == 4 * AMOUNT


def test_what_is_rolled_back_leaves_no_gap(
    app: Flask, payer: User, counter: Counter, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every second one fails after its number was given, while the others wait for theirs."""
    letter, turn = topups.mail.top_up_paid, threading.Lock()
    given: list[str] = []

    def failing(user: User, amount_minor: int, balance_minor: int, receipt: str) -> None:
        with turn:
            given.append(receipt)
            is_bad = len(given) % 2 == 1
        if is_bad:
            raise OSError("the disk is full")
        letter(user, amount_minor, balance_minor, receipt)

    monkeypatch.setattr(topups.mail, "top_up_paid", failing)
    opened = [paid(payer, counter).reference for _ in range(8)]
    results = at_once(app, *[lambda reference=reference: topups.settle(reference).state for reference in opened])
    assert sorted(map(str, results)) == ["paid"] * 4 + ["the disk is full"] * 4
    assert len(given) == 8 > len(set(given))
    assert numbers() == [1, 2, 3, 4]
    assert ledger.balance(payer.id).available_minor == 4 * AMOUNT


def test_a_year_begins_with_one_and_dates_run_with_the_numbers(
    app: Flask, payer: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    for day in (date(2026, 12, 30), date(2026, 12, 31), date(2026, 12, 29), date(2027, 1, 1), date(2026, 12, 31)):
        today(day, monkeypatch)
        make_receipt(payer)
    assert [(found.full_number, f"{found.issued_on:%d.%m.}") for found in issued()] == [
        ("NK-2026-000001", "30.12."),
        ("NK-2026-000002", "31.12."),
        ("NK-2026-000003", "31.12."),  # a clock that went back
        ("NK-2026-000004", "31.12."),
        ("NK-2027-000001", "01.01."),
    ]


def test_the_day_is_the_sellers(app: Flask, payer: User, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(invoices, "_now", lambda: datetime(2026, 12, 31, 23, 30, tzinfo=UTC))
    lagos = make_receipt(payer)
    monkeypatch.setitem(app.config, "SELLER_TIMEZONE", "America/New_York")
    assert (lagos.full_number, make_receipt(payer).full_number) == ("NK-2027-000001", "NK-2026-000001")


def test_what_older_code_credited_gets_its_receipt_later_once_and_without_a_letter(
    app: Flask, payer: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as before_receipts:
        before_receipts.setattr("tests.support.invoices.issue_receipt", lambda top_up: None)
        for _ in range(3):
            make_receipt(payer, settled_at=datetime(2025, 5, 5, 12, tzinfo=UTC))
    assert db.session.scalar(select(func.count()).select_from(ReceiptDue)) == 3
    results = at_once(app, *[lambda: invoices.issue_missing_due(2)] * 3)
    assert not [result for result in results if isinstance(result, Exception)]
    assert invoices.issue_missing_due() + invoices.issue_missing_due() in (0, 1)
    assert numbers() == [1, 2, 3]
    assert {found.paid_on for found in issued()} == {date(2025, 5, 5)}
    assert {found.issued_on.year for found in issued()} == {datetime.now(UTC).year}
    assert db.session.scalar(select(func.count()).select_from(ReceiptDue)) == 0
    assert db.session.scalar(text("SELECT count(*) FROM procrastinate_jobs WHERE task_name = 'send_mail'")) == 0


# ── Never changed ────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE invoices SET total_minor = 1",
        "UPDATE invoices SET buyer = '{}'",
        "DELETE FROM invoices",
        "TRUNCATE invoices",
        "UPDATE invoice_years SET last = last + 1",
        "DELETE FROM invoice_years",
        "TRUNCATE invoice_years",
        "INSERT INTO invoice_years VALUES (2031, 5, '2031-01-01')",
    ],
)
def test_the_database_refuses_to_change_what_was_issued(app: Flask, payer: User, statement: str) -> None:
    before = make_receipt(payer)
    with pytest.raises(DBAPIError, match=r"invoice_immutable|foreign key"), transaction():
        db.session.execute(text(statement))
    assert issued() == [before]


@pytest.mark.usefixtures("taxed")
def test_nothing_that_changes_later_changes_a_receipt(app: Flask, payer: User, monkeypatch: pytest.MonkeyPatch) -> None:
    invoices.set_buyer_details(payer, **BUYER)
    receipt = make_receipt(payer)
    before = printed(invoice_papers.paper(receipt))
    for name, value in {"SELLER_NAME": "Other", "TAX_RATE": 2000, "TAX_NAME": "GST"}.items():
        monkeypatch.setitem(app.config, name, value)
    invoices.set_buyer_details(payer, name="Eve", company="", address="", tax_id="")
    with transaction():
        payer.language = "ar"
    db.session.expire_all()
    assert printed(invoice_papers.paper(receipt)) == before
    later = make_receipt(payer)
    assert (later.seller["name"], later.buyer["name"], later.tax_rate, later.language) == ("Other", "Eve", 2000, "ar")


def test_a_second_receipt_is_refused_by_the_database(app: Flask, payer: User) -> None:
    receipt = make_receipt(payer)
    with pytest.raises(IntegrityError) as refused, transaction():
        invoices._insert(receipt.top_up, **_values_of(receipt))
    assert violated(refused.value) == "uq_invoices_receipt"
    assert numbers() == [1]


def _values_of(receipt: Invoice, **more: Any) -> dict[str, Any]:
    names = ("kind", "total_minor", "tax_minor", "tax_rate", "tax_name", "paid_on")
    return {name: getattr(receipt, name) for name in names} | more


# ── Credit notes ─────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.usefixtures("taxed")
def test_a_credit_note_takes_back_a_part_under_the_next_number(
    app: Flask, payer: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    receipt = make_receipt(payer, AMOUNT)
    monkeypatch.setitem(app.config, "TAX_RATE", 2000)
    note = credit(receipt, "refund:1", 100_000)
    assert (note.kind, note.number, note.receipt_id, note.top_up_id) == (
        "credit_note",
        2,
        receipt.id,
        receipt.top_up_id,
    )
    assert (note.total_minor, note.tax_minor, note.tax_rate) == (100_000, 6_977, 750)
    assert credit(receipt, "refund:1", 100_000).id == note.id
    assert numbers() == [1, 2]
    assert [found.kind for found in invoices.documents_of(receipt.top_up)] == ["receipt", "credit_note"]


def test_no_more_is_credited_than_was_paid(app: Flask, payer: User) -> None:
    receipt = make_receipt(payer, AMOUNT)
    credit(receipt, "refund:1", AMOUNT - 1)
    for reference, amount in (("refund:2", 2), ("refund:2", 0), ("refund:2", -1), ("refund:1", 2)):
        with pytest.raises(ValueError):
            credit(receipt, reference, amount)
    with pytest.raises(IntegrityError) as refused, transaction():
        values = {"kind": "credit_note", "receipt_id": receipt.id, "refund_reference": "refund:3", "total_minor": 2}
        invoices._insert(receipt.top_up, **_values_of(receipt, **values))
    assert violated(refused.value) == "invoice_credit_within_receipt"
    credit(receipt, "refund:4", 1)
    assert numbers() == [1, 2, 3]


def debit(receipt: Invoice, reference: str, amount_minor: int) -> Invoice:
    return credit(receipt, reference, amount_minor, invoices.debit_note)


@pytest.mark.usefixtures("taxed")
def test_a_debit_note_puts_back_what_was_taken_off_with_its_tax(app: Flask, payer: User) -> None:
    receipt = make_receipt(payer, AMOUNT)
    taken = [credit(receipt, f"refund:{number}", amount) for number, amount in enumerate((33_333, 66_667))]
    back = [debit(receipt, f"back:{number}", amount) for number, amount in enumerate((50_001, 49_999))]
    assert [(note.kind, note.number, note.receipt_id) for note in back] == [
        ("debit_note", 4, receipt.id),
        ("debit_note", 5, receipt.id),
    ]
    assert sum(note.tax_minor for note in taken) == sum(note.tax_minor for note in back) == 6_977
    assert debit(receipt, "back:0", 50_001).id == back[0].id
    assert invoices.taken_off_minor(receipt.top_up) == 0
    assert credit(receipt, "refund:whole", AMOUNT).tax_minor == receipt.tax_minor


def test_no_more_is_put_back_than_was_taken_off(app: Flask, payer: User) -> None:
    receipt = make_receipt(payer, AMOUNT)
    credit(receipt, "refund:1", 100)
    for reference, amount in (("back:1", 101), ("back:1", 0), ("back:1", -1), ("refund:1", 100)):
        with pytest.raises(ValueError):
            debit(receipt, reference, amount)
    with pytest.raises(IntegrityError) as refused, transaction():
        values = {"kind": "debit_note", "receipt_id": receipt.id, "refund_reference": "back:1", "total_minor": 101}
        invoices._insert(receipt.top_up, **_values_of(receipt, **values))
    assert violated(refused.value) == "invoice_debit_within_credit"
    debit(receipt, "back:1", 100)
    credit(receipt, "refund:2", AMOUNT)
    assert numbers() == [1, 2, 3, 4]


def test_a_refund_of_a_top_up_without_a_receipt_issues_both(
    app: Flask, payer: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as before_receipts:
        before_receipts.setattr("tests.support.invoices.issue_receipt", lambda top_up: None)
        make_receipt(payer)
    due = db.session.scalars(select(ReceiptDue)).one()
    with transaction():
        note = invoices.credit_note(db.session.get_one(TopUp, due.top_up_id), "refund:1", 1)
    assert [found.kind for found in issued()] == ["receipt", "credit_note"]
    assert note.receipt is not None and note.receipt.number == 1


def test_documents_are_issued_inside_a_transaction_only(app: Flask, payer: User) -> None:
    top_up = make_receipt(payer).top_up
    db.session.rollback()
    for verb in (lambda: invoices.issue_receipt(top_up), lambda: invoices.credit_note(top_up, "refund:1", 1)):
        with pytest.raises(RuntimeError):
            verb()


RATES = st.integers(0, 10_000)
TOTALS = st.integers(1, 10**12)


@given(total=TOTALS, rate=RATES)
def test_tax_and_the_rest_are_the_total_and_in_proportion(total: int, rate: int) -> None:
    tax = invoices.included_tax(total, rate)
    net = total - tax
    assert 0 <= tax <= total
    assert abs(net * rate - tax * 10_000) * 2 <= 10_000 + rate  # half a minor unit at the most


@given(total=st.integers(2, 10**9), rate=RATES, cuts=st.lists(st.integers(1, 10**9), max_size=8))
def test_parts_given_back_hold_the_whole_tax_and_none_of_them_less_than_none(
    total: int, rate: int, cuts: list[int]
) -> None:
    steps = sorted({0, total, *(cut % total for cut in cuts)})
    taxes = [invoices.included_tax(end, rate) - invoices.included_tax(start, rate) for start, end in pairwise(steps)]
    assert sum(taxes) == invoices.included_tax(total, rate)
    assert all(0 <= tax <= end - start for tax, (start, end) in zip(taxes, pairwise(steps), strict=True))


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rate=RATES, total=st.integers(100, 10**7), parts=st.lists(st.integers(1, 10**7), max_size=4))
def test_documents_of_a_top_up_given_back_in_parts_sum_to_nothing(
    app_once: Flask, rate: int, total: int, parts: list[int]
) -> None:
    app_once.config["TAX_RATE"] = rate
    receipt = make_receipt(make_user(f"{secrets.token_hex(8)}@example.com"), total)
    left = total
    for part in (*parts, total):
        amount = min(part, left)
        if amount:
            credit(receipt, f"refund:{secrets.token_hex(8)}", amount)
            left -= amount
    notes = db.session.scalars(select(Invoice).filter_by(receipt_id=receipt.id)).all()
    assert sum(note.total_minor for note in notes) == receipt.total_minor
    assert sum(note.tax_minor for note in notes) == receipt.tax_minor


@pytest.fixture
def app_once(app: Flask, monkeypatch: pytest.MonkeyPatch) -> Flask:
    """The application, its tax rate put back afterwards."""
    monkeypatch.setitem(app.config, "TAX_RATE", 0)
    return app
