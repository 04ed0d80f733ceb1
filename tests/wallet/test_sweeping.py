"""What nobody tells us of is found all the same: payments within ten minutes, and those that went back."""

import secrets
from datetime import timedelta

import pytest
from flask import Flask
from sqlalchemy import select, text

from namaskah import worker
from namaskah.auth.models import AuditEvent, User
from namaskah.db import db, transaction
from namaskah.errors import UserError
from namaskah.wallet import ledger, paystack, refunds, reversals, sweeping, topups
from namaskah.wallet.models import TopUp
from tests.support import Control
from tests.together import at_once

from .counter import Counter
from .refund_desk import becomes, sent
from .test_topups import aged

AMOUNT = 250_000


@pytest.fixture
def opened(payer: User, counter: Counter) -> TopUp:
    return topups.open_top_up(payer, AMOUNT, secrets.token_hex(16))


@pytest.fixture
def short_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paystack, "PAGE", 2)


def look_again() -> None:
    """As if the lists were due once more."""
    with transaction():
        db.session.execute(text("UPDATE gateway_looks SET due_at = now()"))


def next_gap(reference: str) -> timedelta:
    found = db.session.scalar(text("SELECT check_at - now() FROM top_ups WHERE reference = :ref"), {"ref": reference})
    db.session.rollback()
    assert isinstance(found, timedelta)
    return found


@pytest.mark.parametrize("age", ["0 minutes", "1 minute", "3 minutes", "5 minutes", "9 minutes", "10 minutes"])
def test_a_young_top_up_is_asked_about_every_minute_or_two(opened: TopUp, age: str) -> None:
    aged(opened.reference, age)
    assert topups.sweep_due() == 1
    assert next_gap(opened.reference) <= timedelta(minutes=2.5)


def test_with_the_lists_no_payment_stays_unseen_for_ten_minutes() -> None:
    """A webhook that was lost: the sweep's own gap while the top-up is young, the list's from then on."""
    intervals = {every.verb.__name__: timedelta(seconds=every.seconds) for every in worker.SCHEDULE}
    assert sweeping.PAID_GAP + intervals["find_paid_due"] < timedelta(minutes=10)
    assert timedelta(minutes=2.5) + intervals["sweep_due"] < timedelta(minutes=10)


@pytest.mark.parametrize("age", ["20 minutes", "5 hours", "71 hours"])
def test_a_late_payment_on_an_old_checkout_is_found_by_one_call_for_all(
    opened: TopUp, payer: User, counter: Counter, age: str
) -> None:
    others = [topups.open_top_up(payer, AMOUNT, secrets.token_hex(16)) for _ in range(5)]
    aged(opened.reference, age)
    topups.sweep_due()
    asked = counter.calls("verify")
    counter.pay(opened.reference)
    assert topups.sweep_due() == 0  # by itself it would be asked about in up to an hour
    assert sweeping.find_paid_due() == 1
    assert topups.get_top_up(opened.reference).state == "paid"
    assert ledger.balance(payer.id).available_minor == AMOUNT
    assert (counter.calls("list"), counter.calls("verify")) == (1, asked + 1)
    assert {topups.get_top_up(other.reference).state for other in others} == {"opened"}


def test_the_list_is_read_once_in_its_gap_by_however_many_workers(app: Flask, opened: TopUp, counter: Counter) -> None:
    assert not [found for found in at_once(app, *[sweeping.find_paid_due] * 6) if isinstance(found, Exception)]
    assert counter.calls("list") == 1
    due = db.session.scalar(text("SELECT due_at - now() FROM gateway_looks WHERE name = 'paid'"))
    assert timedelta(0) < due <= sweeping.PAID_GAP
    db.session.rollback()


def test_nothing_is_asked_when_nothing_is_open_or_there_is_nobody_to_ask(
    app: Flask, opened: TopUp, counter: Counter, monkeypatch: pytest.MonkeyPatch
) -> None:
    counter.pay(opened.reference)
    topups.settle(opened.reference)
    assert sweeping.find_paid_due() == 0
    monkeypatch.setitem(app.config, "PAYSTACK_SECRET_KEY", "")
    assert (sweeping.find_paid_due(), sweeping.find_reversed_due()) == (0, 0)
    assert counter.calls("list") == 0


@pytest.mark.usefixtures("short_pages")
def test_every_page_is_read_and_a_stranger_does_no_harm(payer: User, counter: Counter) -> None:
    references = [topups.open_top_up(payer, AMOUNT, secrets.token_hex(16)).reference for _ in range(5)]
    for reference in references:
        counter.pay(reference)
    with transaction():
        db.session.execute(text("UPDATE top_ups SET reference = 'NK-x' WHERE reference = :ref"), {"ref": references[2]})
    assert sweeping.find_paid_due() == 4
    assert ledger.balance(payer.id).available_minor == 4 * AMOUNT


def test_a_list_that_cannot_be_read_or_a_word_that_is_not_confirmed_waits_for_the_next_turn(
    opened: TopUp, payer: User, counter: Counter
) -> None:
    counter.pay(opened.reference)
    for operation in ("list", "verify"):
        counter.breaks(operation, "error_500")
        assert sweeping.find_paid_due() == 0
        look_again()
    assert sweeping.find_paid_due() == 1
    assert ledger.balance(payer.id).available_minor == AMOUNT


@pytest.mark.usefixtures("short_pages")
@pytest.mark.parametrize("of_a_stranger", [True, False])
def test_one_payment_that_cannot_be_read_holds_up_no_other(
    payer: User, counter: Counter, caplog: pytest.LogCaptureFixture, of_a_stranger: bool
) -> None:
    references = [topups.open_top_up(payer, AMOUNT, secrets.token_hex(16)).reference for _ in range(5)]
    for reference in references:
        counter.pay(reference)
    if of_a_stranger:
        with transaction():
            change = text("UPDATE top_ups SET reference = 'NK-x' WHERE reference = :ref")
            db.session.execute(change, {"ref": references[4]})
    counter.transaction(references[4]).currency = ""
    for _ in range(2):
        look_again()
        sweeping.find_paid_due()
    assert ledger.balance(payer.id).available_minor == 4 * AMOUNT
    assert f"payment {references[4]} cannot be read" in caplog.text


def test_payments_that_are_not_confirmed_hold_up_no_other(payer: User, counter: Counter) -> None:
    """Neither one that is refused each time, nor a gateway that stumbles; one that is away is left alone."""
    references = [topups.open_top_up(payer, AMOUNT, secrets.token_hex(16)).reference for _ in range(6)]
    for reference in references:
        counter.pay(reference)
    counter.breaks("verify", "error_500", times=2)
    assert sweeping.find_paid_due() == 4
    look_again()
    counter.breaks("verify", "error_500", times=9)
    asked = counter.calls("verify")
    assert sweeping.find_paid_due() == 0
    assert counter.calls("verify") - asked <= sweeping.MOST_UNCONFIRMED


def test_what_was_paid_otherwise_waits_for_a_person_and_is_not_asked_about_again(
    opened: TopUp, counter: Counter
) -> None:
    topups.open_top_up(db.session.get_one(User, opened.user_id), AMOUNT, secrets.token_hex(16))
    counter.pay(opened.reference, 1)
    assert sweeping.find_paid_due() == 1
    assert topups.get_top_up(opened.reference).state == "mismatch"
    look_again()
    assert sweeping.find_paid_due() == 0


# ── Payments that went back ──────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def credited(opened: TopUp, counter: Counter) -> TopUp:
    counter.pay(opened.reference)
    return topups.settle(opened.reference)


def test_a_reversal_after_the_credit_is_noticed_and_moves_nothing(
    credited: TopUp, payer: User, control: Control, caplog: pytest.LogCaptureFixture
) -> None:
    control.payment(credited.reference, status="reversed")
    assert sweeping.find_reversed_due() == 1
    found = topups.get_top_up(credited.reference)
    assert (found.state, found.reversed_at is not None, found.gateway_status) == ("paid", True, "reversed")
    assert [each.reference for each in reversals.unexplained()] == [credited.reference]
    assert ledger.balance(payer.id).available_minor == AMOUNT
    assert "sent the payment back since" in caplog.text
    look_again()
    assert sweeping.find_reversed_due() == 0
    first = found.reversed_at
    assert reversals.note(credited.reference, "reversed") is False
    assert topups.get_top_up(credited.reference).reversed_at == first


def test_a_reversal_that_is_taken_back_is_forgotten(credited: TopUp) -> None:
    assert reversals.note(credited.reference, "reversed")
    assert reversals.note(credited.reference, "success")
    assert topups.get_top_up(credited.reference).reversed_at is None
    assert reversals.unexplained() == []


def test_a_person_finds_out_why_and_finds_it_anew_when_it_goes_back_again(credited: TopUp) -> None:
    with pytest.raises(UserError) as early:
        reversals.explain(credited.reference, "user:7", "why")
    assert early.value.status == 409
    reversals.note(credited.reference, "reversed")
    reversals.explain(credited.reference, "user:7", "charged back, booked by hand")
    assert reversals.unexplained() == []
    record = db.session.scalars(select(AuditEvent).filter_by(kind="top_up_reversal_explained")).one()
    assert (record.user_id, record.actor) == (credited.user_id, "user:7")
    reversals.note(credited.reference, "success")
    reversals.note(credited.reference, "reversed")
    assert [each.reference for each in reversals.unexplained()] == [credited.reference]


def test_what_we_can_explain_needs_nobody(
    credited: TopUp, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    assert not reversals.explains_reversal(credited)
    monkeypatch.setattr(reversals, "explains_reversal", lambda _top_up: True)
    assert reversals.note(credited.reference, "reversed")
    assert reversals.unexplained() == [] and "sent the payment back" not in caplog.text


def test_a_refund_that_came_back_explains_no_reversal(credited: TopUp, counter: Counter) -> None:
    refund = becomes(counter, sent(credited, AMOUNT), "processed")
    assert reversals.explains_reversal(credited)
    becomes(counter, refund, "failed")
    refunds.give_back(refund.reference, "user:7")
    reversals.note(credited.reference, "reversed")
    assert [each.reference for each in reversals.unexplained()] == [credited.reference]


def test_a_gateway_that_takes_no_notice_of_the_filter_is_not_read_to_its_end(
    credited: TopUp, payer: User, counter: Counter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(paystack, "PAGE", 1)
    for _ in range(3):
        counter.pay(topups.open_top_up(payer, AMOUNT, secrets.token_hex(16)).reference)
    monkeypatch.setattr("namaskah.sandbox.paystack._is_wanted", lambda _transaction: True)
    assert sweeping.find_reversed_due() == 0
    assert counter.calls("list") == 1


def test_only_what_was_credited_can_have_gone_back(opened: TopUp) -> None:
    assert reversals.note(opened.reference, "reversed") is False
    assert topups.get_top_up(opened.reference).reversed_at is None
