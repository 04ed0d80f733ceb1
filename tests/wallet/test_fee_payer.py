"""The customer bears Paystack's fee: what is shown, asked for, credited, booked and written down."""

import csv
import io
import re
import secrets
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import func, select, text
from sqlalchemy.exc import DBAPIError

from namaskah.auth.models import User
from namaskah.db import db, transaction, violated
from namaskah.errors import UserError
from namaskah.wallet import invoices, ledger, quotes, statement, topups
from namaskah.wallet.fees import gross_minor
from namaskah.wallet.models import Invoice, LedgerAccount, LedgerEntry, LedgerTransaction, TopUp
from tests.support import log_in

from .counter import Counter

AMOUNT = 200_000
ASKED = 203_046  # of which Paystack keeps ₦30.46
SURCHARGE = 3_046
SENTENCE = 'You pay <b><span class="money">₦2,030.46</span></b>, of which <span class="money">₦30.46</span>'


@pytest.fixture(autouse=True)
def customer_pays(app: Flask, counter: Counter, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(app.config, "TOP_UP_FEE_PAYER", "customer")


@pytest.fixture
def browser(client: FlaskClient, payer: User) -> FlaskClient:
    return log_in(client, payer)


def opened_by(user: User, amount_minor: int = AMOUNT) -> TopUp:
    return topups.open_top_up(user, amount_minor, secrets.token_hex(16))


def paid_by(user: User, counter: Counter, **at_paystack: Any) -> TopUp:
    """Paid and settled; `at_paystack` is what its books say otherwise."""
    opened = opened_by(user)
    counter.pay(opened.reference)
    for name, value in at_paystack.items():
        setattr(counter.transaction(opened.reference), name, value)
    return topups.settle(opened.reference)


def booked(top_up: TopUp) -> dict[tuple[str, str], int]:
    """Kind of the transaction and of the account → what was booked for a top-up."""
    rows = db.session.execute(
        select(LedgerTransaction.kind, LedgerAccount.kind, func.sum(LedgerEntry.amount))
        .join(LedgerEntry, LedgerEntry.transaction_id == LedgerTransaction.id)
        .join(LedgerAccount, LedgerAccount.id == LedgerEntry.account_id)
        .where(LedgerTransaction.reference == f"top_up:{top_up.reference}")
        .group_by(LedgerTransaction.kind, LedgerAccount.kind)
    )
    return {(kind, account): int(amount) for kind, account, amount in rows}


def send(browser: FlaskClient, headers: dict[str, str] | None = None, **fields: str) -> Any:
    return browser.post("/wallet/top-up", data={"key": secrets.token_hex(16)} | fields, headers=headers)


# ── Before paying ────────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_page_says_the_sum_for_the_amount_that_is_chosen_already(browser: FlaskClient) -> None:
    page = browser.get("/wallet").text
    assert SENTENCE in page and '<span class="money">₦2,000</span> goes to your wallet' in page
    assert f'name="seen" value="{ASKED}"' in page
    assert 'hx-get="/wallet/top-up/cost"' in page
    assert "We credit exactly what Paystack confirms" not in page


def test_the_page_of_who_came_from_a_number_says_the_sum_for_what_is_missing(browser: FlaskClient) -> None:
    page = browser.get("/wallet?need=300000").text
    assert f'name="seen" value="{gross_minor(500_000, "NGN")}"' in page


@pytest.mark.parametrize(
    ("fields", "asked"),
    [
        ({"preset": "500000", "amount": ""}, 517_767),
        ({"preset": "500000", "amount": "2,000"}, ASKED),
        ({"amount": "₦2000"}, ASKED),
        ({"preset": "500000", "amount": "much"}, None),
        ({"amount": "1"}, None),
        ({"amount": "1e9"}, None),
        ({"preset": "9" * 15}, None),
        ({}, None),
    ],
)
def test_the_preview_says_it_for_any_other(browser: FlaskClient, fields: dict[str, str], asked: int | None) -> None:
    answer = browser.get("/wallet/top-up/cost", query_string=fields)
    assert answer.status_code == 200 and "<html" not in answer.text
    assert re.findall(r'name="seen" value="(\d+)"', answer.text) == ([str(asked)] if asked else [])
    assert ("You pay" in answer.text) is (asked is not None)
    if not asked:
        assert "comes on top of the amount you choose" in answer.text


def test_where_the_house_pays_nothing_is_said_of_fees(
    app: Flask, browser: FlaskClient, payer: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(app.config, "TOP_UP_FEE_PAYER", "house")
    page = browser.get("/wallet").text
    assert "You pay <b>" not in page and 'hx-get="/wallet/top-up/cost"' not in page
    assert "We credit exactly what Paystack confirms" in page
    assert "go=1" in send(browser, amount="2000").location
    assert db.session.scalars(select(TopUp.surcharge_minor)).all() == [0]


def test_who_has_seen_the_sum_goes_straight_to_the_payment(browser: FlaskClient, payer: User) -> None:
    answer = send(browser, amount="2000", seen=str(ASKED))
    assert answer.location.endswith("?go=1")
    assert "Refresh" in browser.get(answer.location).headers
    told = send(browser, {"HX-Request": "true"}, amount="2000", seen=str(ASKED))
    assert "/checkout/" in told.headers["HX-Redirect"]


@pytest.mark.parametrize("seen", ["", "200000", "203045", "x"])
def test_who_has_not_sees_it_before_going_there(browser: FlaskClient, seen: str) -> None:
    answer = send(browser, amount="2000", seen=seen)
    assert answer.location.endswith("?look=1")
    page = browser.get(answer.location)
    assert "Refresh" not in page.headers
    assert SENTENCE in page.text and "Go on with the payment" in page.text
    htmx = send(browser, {"HX-Request": "true"}, amount="2000", seen=seen)
    assert htmx.headers["HX-Redirect"].endswith("?look=1")


def test_a_form_with_a_fault_says_no_sum(browser: FlaskClient) -> None:
    answer = send(browser, amount="1", preset="200000")
    assert answer.status_code == 422 and 'name="seen"' not in answer.text


def test_the_checkout_is_opened_with_the_whole_sum(payer: User, counter: Counter) -> None:
    opened = opened_by(payer)
    assert (opened.amount_minor, opened.surcharge_minor, opened.asked_minor) == (AMOUNT, SURCHARGE, ASKED)
    assert counter.transaction(opened.reference).amount == ASKED


def test_the_sum_stays_as_it_was_shown_whatever_the_setting_becomes(
    app: Flask, payer: User, counter: Counter, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = secrets.token_hex(16)
    opened = topups.open_top_up(payer, AMOUNT, key)
    monkeypatch.setitem(app.config, "TOP_UP_FEE_PAYER", "house")
    assert topups.open_top_up(payer, AMOUNT, key).asked_minor == ASKED
    counter.pay(opened.reference)
    assert topups.settle(opened.reference).credited_minor == AMOUNT


def test_no_more_is_asked_for_than_paystack_takes(
    app: Flask, payer: User, counter: Counter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(app.config, "TOP_UP_MAX_MINOR", 1_000_000_000)
    with pytest.raises(UserError):
        opened_by(payer, 999_800_001)
    assert opened_by(payer, 999_800_000).asked_minor == 1_000_000_000


# ── Afterwards ───────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("took", [SURCHARGE, SURCHARGE - 500, SURCHARGE + 500, 0, None, ASKED])
def test_the_customer_has_what_was_chosen_and_the_house_the_difference(
    payer: User, counter: Counter, took: int | None
) -> None:
    top_up = paid_by(payer, counter, fees=took)
    fees = took or 0
    assert (top_up.state, top_up.paid_minor, top_up.fees_minor) == ("paid", ASKED, fees)
    assert top_up.credited_minor == AMOUNT == ledger.balance(payer.id).available_minor
    expected = {
        ("top_up", "user_available"): AMOUNT,
        ("top_up", "gateway_clearing"): fees - AMOUNT,
        ("top_up", "gateway_fees"): -fees,
        ("surcharge", "gateway_clearing"): -SURCHARGE,
        ("surcharge", "gateway_fees"): SURCHARGE,
    }
    found = booked(top_up)
    assert found == {place: amount for place, amount in expected.items() if amount}
    clearing = sum(amount for (_kind, account), amount in found.items() if account == "gateway_clearing")
    ours = sum(amount for (_kind, account), amount in found.items() if account == "gateway_fees")
    assert -clearing == ASKED - fees  # what Paystack pays out to us
    assert ours == SURCHARGE - fees  # more than it took: ours; less: borne by us


def test_settled_again_and_again_it_is_booked_once(payer: User, counter: Counter) -> None:
    top_up = paid_by(payer, counter)
    before = booked(top_up)
    topups.settle(top_up.reference)
    with transaction():
        assert ledger.surcharge(f"top_up:{top_up.reference}", SURCHARGE) is False
    assert booked(top_up) == before


@pytest.mark.parametrize("paid", [AMOUNT, ASKED - 1, ASKED + 1])
def test_another_sum_than_the_whole_one_waits_for_a_person(
    payer: User, counter: Counter, paid: int, app: Flask, admin: User
) -> None:
    opened = opened_by(payer)
    counter.pay(opened.reference, paid)
    found = topups.settle(opened.reference)
    assert (found.state, found.paid_minor) == ("mismatch", None)
    assert found.gateway_message == f"paid {paid} NGN in test mode, asked {ASKED} NGN in test mode"
    assert ledger.balance(payer.id).available_minor == 0
    assert "₦2,030.46" in log_in(app.test_client(), admin).get("/admin/").text


def test_credit_and_surcharge_come_together_or_not_at_all(
    payer: User, counter: Counter, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = opened_by(payer)
    counter.pay(opened.reference)
    with monkeypatch.context() as now, pytest.raises(OSError, match="full"):
        now.setattr(topups.mail, "top_up_paid", lambda *_: (_ for _ in ()).throw(OSError("full")))
        topups.settle(opened.reference)
    assert booked(opened) == {}
    assert topups.settle(opened.reference).state == "paid"


def test_the_page_and_the_letter_speak_of_what_is_in_the_wallet(
    browser: FlaskClient, payer: User, counter: Counter
) -> None:
    top_up = paid_by(payer, counter)
    page = browser.get(f"/wallet/top-ups/{top_up.reference}").text
    assert '<span class="money">₦2,000</span> is in your wallet' in page
    assert "Sum with Paystack’s fee" in page and "₦2,030.46" in page and "₦30.46" in page
    letter = db.session.scalars(text("SELECT args FROM procrastinate_jobs WHERE task_name = 'send_mail'")).one()
    assert letter["text"].count("₦2,000") == 2 and "2,030" not in letter["text"]


def test_the_receipt_is_of_all_that_was_paid_with_the_fee_as_a_line(
    app: Flask, browser: FlaskClient, payer: User, counter: Counter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(app.config, "TAX_RATE", 750)
    receipt = invoices.receipt_of(paid_by(payer, counter))
    assert receipt is not None
    assert (receipt.total_minor, receipt.fee_minor) == (ASKED, SURCHARGE)
    assert receipt.tax_minor == invoices.included_tax(ASKED, 750)
    page = browser.get(f"/wallet/invoices/{receipt.full_number}").text
    amounts = re.findall(r'class="money">([^<]+)<', page.partition("<main")[2])
    assert amounts == ["₦2,000.00", "₦30.46", "₦1,888.80", "₦141.66", "₦2,030.46"]
    assert "Paystack’s fee for the payment" in page
    assert browser.get(f"/wallet/invoices/{receipt.full_number}.pdf").data.startswith(b"%PDF")


def test_a_receipt_without_a_fee_reads_as_before(
    app: Flask, browser: FlaskClient, payer: User, counter: Counter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(app.config, "TOP_UP_FEE_PAYER", "house")
    receipt = invoices.receipt_of(paid_by(payer, counter))
    assert receipt is not None
    page = browser.get(f"/wallet/invoices/{receipt.full_number}").text
    main = page.partition("<main")[2]
    assert re.findall(r'class="money">([^<]+)<', main) == ["₦2,000.00"]
    assert "Wallet top-up, paid through Paystack" in main and "fee" not in main.lower()


def test_a_credit_note_takes_back_at_most_the_receipt_and_names_no_fee(payer: User, counter: Counter) -> None:
    top_up = paid_by(payer, counter)
    with transaction():
        locked = db.session.scalars(select(TopUp).filter_by(id=top_up.id).with_for_update()).one()
        note = invoices.credit_note(locked, "refund-1", AMOUNT)
        assert (note.total_minor, note.fee_minor) == (AMOUNT, 0)
        with pytest.raises(ValueError, match="no credit_note"):
            invoices.credit_note(locked, "refund-2", SURCHARGE + 1)
        db.session.rollback()


def test_the_statement_says_what_was_paid_on_top(browser: FlaskClient, payer: User, counter: Counter) -> None:
    top_up = paid_by(payer, counter)
    [row] = statement.statement(payer.id).rows
    assert (row.amount_minor, row.balance_after_minor, row.top_up_reference) == (AMOUNT, AMOUNT, top_up.reference)
    assert row.text == "Top-up; Paystack’s fee of ₦30.46 was paid on top"
    assert row.text in browser.get("/wallet/statement").text
    [line] = [line for line in csv.DictReader(io.StringIO(browser.get("/wallet/statement.csv").text.lstrip("\ufeff")))
              if top_up.reference in str(line)]  # fmt: skip
    assert "2000.00" in line.values()


@pytest.mark.parametrize(
    ("change", "constraint"),
    [
        ("UPDATE top_ups SET surcharge_minor = -1", "ck_top_ups_surcharge"),
        ("UPDATE top_ups SET surcharge_minor = paid_minor", "ck_top_ups_surcharge"),
    ],
)
def test_postgresql_refuses_a_surcharge_that_cannot_be(
    payer: User, counter: Counter, change: str, constraint: str
) -> None:
    paid_by(payer, counter)
    with pytest.raises(DBAPIError) as refused, transaction():
        db.session.execute(text(change))
    assert violated(refused.value) == constraint  # type: ignore[arg-type]


def test_postgresql_refuses_a_receipt_that_is_all_fee(payer: User, counter: Counter) -> None:
    receipt = invoices.receipt_of(paid_by(payer, counter))
    assert receipt is not None
    columns = {column.name: getattr(receipt, column.name) for column in Invoice.__table__.columns}
    for change in ({"fee_minor": receipt.total_minor}, {"fee_minor": -1}):
        with pytest.raises(DBAPIError) as refused, transaction():
            db.session.execute(Invoice.__table__.insert().values(columns | {"id": 10**9, "number": 9} | change))
        assert violated(refused.value) == "ck_invoices_fee"  # type: ignore[arg-type]


@pytest.mark.parametrize("currency", ["NGN", "GHS", "KES", "ZAR", "USD"])
def test_a_payment_is_parted_as_the_quote_that_asks_for_it(
    app: Flask, monkeypatch: pytest.MonkeyPatch, currency: str
) -> None:
    monkeypatch.setitem(app.config, "WALLET_CURRENCY", currency)
    for amount in (*range(1, 3_000), *range(245_000, 256_000, 7), *range(13_000_000, 13_600_000, 977)):
        wanted = quotes.quote(amount)
        assert quotes.of_payment(wanted.asked_minor) == wanted
    monkeypatch.setitem(app.config, "TOP_UP_FEE_PAYER", "house")
    assert quotes.of_payment(123_456) == quotes.Quote(123_456, 0)
