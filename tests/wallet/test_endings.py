"""Every way a payment ends, played at the gateway over HTTP, and what its owner reads of it afterwards."""

import secrets
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import text

from namaskah.auth.models import User
from namaskah.db import db, transaction
from namaskah.sandbox import Sandbox
from namaskah.wallet import invoices, ledger, mismatches, reversals, topups
from namaskah.wallet.models import TopUp
from tests.support import Control, log_in

from .counter import Counter

AMOUNT = 250_000


@pytest.fixture
def browser(client: FlaskClient, payer: User) -> FlaskClient:
    return log_in(client, payer)


@pytest.fixture
def opened(payer: User, counter: Counter) -> TopUp:
    return topups.open_top_up(payer, AMOUNT, secrets.token_hex(16))


def pages(browser: FlaskClient, reference: str) -> tuple[str, str]:
    """The top-up's own page and the list of all."""
    return browser.get(f"/wallet/top-ups/{reference}").text, browser.get("/wallet/top-ups").text


# What happens at the gateway → state, difference, what is read, and the way on. (None: nothing happens there.)
ENDS: dict[str, tuple[dict[str, Any] | None, str, str | None, str, str]] = {
    "paid": ({"status": "success", "paid_amount": AMOUNT}, "paid", None, "is in your wallet", "Buy a number"),
    "declined": (
        {"status": "failed", "gateway_response": "Insufficient <Funds>"},
        "failed",
        None,
        "If your bank shows a debit, Paystack gives it back",
        "Try again",
    ),
    "left": ({"status": "abandoned"}, "abandoned", None, "Nothing was credited, and nothing is owed", "Try again"),
    "bank at it": ({"status": "pending"}, "pending", None, "in your wallet by itself", "Look again"),
    "waits for a code": ({"status": "ongoing"}, "pending", None, "in your wallet by itself", "Look again"),
    "a word nobody knows": ({"status": "in_limbo"}, "pending", None, "in your wallet by itself", "Look again"),
    "sent back before": (
        {"status": "reversed"},
        "failed",
        None,
        "sent this payment back to where it came from",
        "Try again",
    ),
    "underpaid": (
        {"status": "success", "paid_amount": 249_900},
        "mismatch",
        "underpaid",
        "₦2,499<",
        "help@namaskah.test",
    ),
    "overpaid": (
        {"status": "success", "paid_amount": 250_001},
        "mismatch",
        "overpaid",
        "₦2,500.01",
        "help@namaskah.test",
    ),
    "far above our limit": (
        {"status": "success", "paid_amount": 900_000_000},
        "mismatch",
        "overpaid",
        "₦9,000,000<",
        "help@namaskah.test",
    ),
    "below our limit": ({"status": "success", "paid_amount": 1}, "mismatch", "underpaid", "₦0.01", "looked at"),
    "other currency": (
        {"status": "success", "paid_amount": AMOUNT, "currency": "GHS"},
        "mismatch",
        "wrong_currency",
        "in another currency",
        "help@namaskah.test",
    ),
    "other mode": (
        {"status": "success", "paid_amount": AMOUNT, "domain": "live"},
        "mismatch",
        "wrong_mode",
        "another mode of Paystack",
        "help@namaskah.test",
    ),
}


@pytest.mark.parametrize("end", ENDS)
def test_every_end_has_a_state_a_sentence_and_a_way_on(
    browser: FlaskClient, opened: TopUp, payer: User, control: Control, end: str
) -> None:
    becomes, state, difference, sentence, way_on = ENDS[end]
    control.payment(opened.reference, **becomes or {})
    browser.get(f"/wallet/top-up/return?reference={opened.reference}")
    found = topups.get_top_up(opened.reference)
    assert (found.state, found.difference) == (state, difference)
    own, listed = pages(browser, opened.reference)
    assert sentence in own and way_on in own
    assert sentence in listed and opened.reference in listed
    assert ledger.balance(payer.id).available_minor == (AMOUNT if state == "paid" else 0)
    if end == "declined":
        assert "The bank’s words: Insufficient &lt;Funds&gt;" in own


def test_a_payment_that_was_pending_arrives_later(browser: FlaskClient, opened: TopUp, control: Control) -> None:
    control.payment(opened.reference, status="pending")
    assert topups.settle(opened.reference).state == "pending"
    control.payment(opened.reference, status="success", paid_amount=AMOUNT, fees=13_750)
    topups.settle(opened.reference)
    own, listed = pages(browser, opened.reference)
    assert "is in your wallet" in own and "is in your wallet" in listed


def test_a_checkout_that_times_out_is_said_to_have_taken_nothing(
    browser: FlaskClient, payer: User, counter: Counter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(topups, "INITIALIZE_DEADLINES", (0.2, 0.1))
    counter.breaks("initialize", "hang", times=2, seconds=1)
    hung = topups.open_top_up(payer, AMOUNT, secrets.token_hex(16))
    own, listed = pages(browser, hung.reference)
    for page in (own, listed):
        assert "The payment page could not be opened." in page and "Nothing was taken" in page
    assert "Try again" in own


def test_an_amount_that_paystack_does_not_take_is_said_to_be_one(
    app: Flask, browser: FlaskClient, payer: User, counter: Counter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(app.config, "TOP_UP_MIN_MINOR", 1)
    refused = topups.open_top_up(payer, 4_999, secrets.token_hex(16))
    own, listed = pages(browser, refused.reference)
    for page in (own, listed):
        assert "Paystack does not take this amount. Nothing was taken" in page


def test_a_mismatch_from_before_its_difference_was_kept_is_still_readable(browser: FlaskClient, opened: TopUp) -> None:
    with transaction():
        db.session.execute(text("UPDATE top_ups SET state = 'mismatch' WHERE id = :id"), {"id": opened.id})
    own, _listed = pages(browser, opened.reference)
    assert "The amount or the currency differs, or" in own and "None" not in own


def test_what_a_person_decided_is_read_too(
    browser: FlaskClient, payer: User, opened: TopUp, counter: Counter, control: Control
) -> None:
    control.payment(opened.reference, status="success", paid_amount=200_000)
    topups.settle(opened.reference)
    mismatches.accept(opened.reference, 200_000, "user:7", "the customer asked for it")
    own, listed = pages(browser, opened.reference)
    for page in (own, listed):
        assert "That is what was paid; you had asked for" in page
        assert "the customer asked for it" not in page
    assert ledger.balance(payer.id).available_minor == 200_000
    other = topups.open_top_up(payer, AMOUNT, secrets.token_hex(16))
    control.payment(other.reference, status="success", paid_amount=200_000)
    topups.settle(other.reference)
    mismatches.close(other.reference, "user:7", "sent back")
    own, listed = pages(browser, other.reference)
    for page in (own, listed):
        assert "it was not credited" in page and "goes back to where it came from" in page
    assert "help@namaskah.test" in own


def test_a_payment_sent_back_after_its_credit_is_read_by_its_owner(
    browser: FlaskClient, payer: User, opened: TopUp, counter: Counter
) -> None:
    counter.pay(opened.reference)
    topups.settle(opened.reference)
    reversals.note(opened.reference, "reversed")
    own, listed = pages(browser, opened.reference)
    for page in (own, listed):
        assert "Paystack has since sent the payment back" in page
    assert "help@namaskah.test" in own
    assert ledger.balance(payer.id).available_minor == AMOUNT  # nothing is moved on a guess


def test_the_list_pages_through_everything_and_shows_nobody_elses(
    client: FlaskClient, payer: User, bob: User, counter: Counter
) -> None:
    with transaction():
        db.session.execute(
            text(
                "INSERT INTO top_ups (reference, user_id, key, amount_minor, currency)"
                " SELECT 'NK-' || n, :user, 'key-' || n, 50000 + n, 'NGN' FROM generate_series(1, 30) n"
            ),
            {"user": payer.id},
        )
    log_in(client, payer)
    first = client.get("/wallet/top-ups").text
    assert first.count('class="n amount"') == 25
    older = first.partition('rel="next" href="')[2].partition('"')[0].replace("&amp;", "&")
    assert client.get(older).text.count('class="n amount"') == 5
    assert "NK-" not in log_in(client, bob).get("/wallet/top-ups").text
    assert client.get("/wallet/top-ups?before=x").status_code == 404


def test_the_sandbox_sets_only_what_a_payment_has(sandbox: Sandbox, opened: TopUp, control: Control) -> None:
    for wrong in ({"colour": "red"}, {"paid_amount": "1"}, {"fees": -1}):
        with pytest.raises(OSError, match="400"):
            control.payment(opened.reference, **wrong)
    with pytest.raises(OSError, match="404"):
        control.payment("NK-never", status="failed")
    assert topups.settle(opened.reference).state == "abandoned"
    assert invoices.receipt_of(opened) is None
