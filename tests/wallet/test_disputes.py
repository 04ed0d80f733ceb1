"""Disputes from the bank's word to the books: every way they can go, over real HTTP against the simulator. After each
test all invariants of the wallet must hold."""

import json
import secrets
from collections.abc import Callable
from dataclasses import replace

import pytest
from flask import Flask
from sqlalchemy import func, select, text, update

from namaskah.auth.models import User
from namaskah.db import db, transaction
from namaskah.wallet import disputes, events, invoices, ledger, statement, topups
from namaskah.wallet.dispute_models import Dispute
from namaskah.wallet.models import Invoice, LedgerTransaction, TopUp
from namaskah.wallet.paystack import GatewayDown, SubjectUnknown
from namaskah.wallet.paystack_disputes import DisputeDesk, ToldDispute
from tests.support import make_user
from tests.together import at_once

from .bank import AMOUNT, Bank, books, heard, letters, ours, paid_top_up, spend, webhook
from .counter import Counter
from .refund_desk import becomes, sent


def movements(user: User) -> list[str]:
    rows = statement.statement(user.id).rows
    return [row.kind for row in reversed(rows)]


def test_an_opened_dispute_sets_the_money_aside(payer: User, top_up: TopUp, bank: Bank) -> None:
    theirs = bank.opens(top_up)
    assert webhook(theirs, "create") == "awaiting_merchant_feedback"
    assert books(payer) == {"disputed": AMOUNT}
    dispute = ours(theirs)
    assert (dispute.user_id, dispute.top_up_id, dispute.amount_minor) == (payer.id, top_up.id, AMOUNT)
    assert (dispute.held_minor, dispute.debt_minor, dispute.category) == (AMOUNT, 0, "chargeback")
    assert dispute.due_at is not None
    assert dispute.check_at is not None


@pytest.mark.parametrize(("spent", "debt"), [(100_000, 100_000), (AMOUNT, AMOUNT), (0, 0)])
def test_what_was_spent_already_becomes_a_debt(payer: User, top_up: TopUp, bank: Bank, spent: int, debt: int) -> None:
    if spent:
        spend(payer, spent)
    heard(bank.opens(top_up))
    found = books(payer)
    assert (found.get("available", 0), found["disputed"], found.get("debt", 0)) == (0, AMOUNT, -debt)


def test_money_of_another_top_up_is_taken_before_there_is_a_debt(
    payer: User, top_up: TopUp, bank: Bank, counter: Counter
) -> None:
    spend(payer, AMOUNT)
    paid_top_up(payer, counter, 300_000)
    heard(bank.opens(top_up))
    assert books(payer) == {"available": 50_000, "disputed": AMOUNT}


def test_what_an_open_purchase_holds_is_not_touched(payer: User, top_up: TopUp, bank: Bank) -> None:
    with transaction():
        ledger.hold(payer.id, "activation:1", 200_000)
    theirs = bank.opens(top_up)
    heard(theirs)
    assert books(payer) == {"held": 200_000, "disputed": AMOUNT, "debt": -200_000}
    with transaction():
        ledger.capture(payer.id, "activation:1", 200_000)
    bank.decides(theirs, "lost")
    heard(theirs)
    assert books(payer) == {"debt": -200_000}


@pytest.mark.parametrize("spent", [0, 100_000, AMOUNT])
def test_won_is_the_exact_reversal(payer: User, top_up: TopUp, bank: Bank, spent: int) -> None:
    if spent:
        spend(payer, spent)
    before = books(payer)
    theirs = bank.opens(top_up)
    webhook(theirs, "create")
    bank.decides(theirs, "won")
    assert webhook(theirs, "resolve") == "won"
    assert books(payer) == before
    dispute = ours(theirs)
    assert (dispute.outcome, dispute.state, dispute.owed_minor, dispute.check_at) == ("won", "resolved", 0, None)
    assert invoices.documents_of(top_up)[-1].kind == "receipt"


@pytest.mark.parametrize(("spent", "end"), [(0, "decides"), (100_000, "decides"), (AMOUNT, "expires")])
def test_lost_goes_out_and_the_debt_stays(payer: User, top_up: TopUp, bank: Bank, spent: int, end: str) -> None:
    if spent:
        spend(payer, spent)
    theirs = bank.opens(top_up)
    heard(theirs)
    if end == "expires":
        bank.expires(theirs)
    else:
        bank.decides(theirs, "lost")
    assert webhook(theirs, "resolve") == "lost"
    assert books(payer) == ({"debt": -spent} if spent else {})
    assert ours(theirs).owed_minor == spent
    clearing = text(
        "SELECT sum(e.amount) FROM ledger_entries e JOIN ledger_accounts a ON a.id = e.account_id"
        " WHERE a.kind IN ('gateway_clearing', 'gateway_fees')"
    )
    assert db.session.scalar(clearing) == 0
    assert disputes.was_taken_back(top_up)


def test_a_lost_dispute_takes_the_receipt_back_once(payer: User, top_up: TopUp, bank: Bank) -> None:
    theirs = bank.opens(top_up, 90_000)
    heard(theirs)
    bank.decides(theirs, "lost")
    for _ in range(2):
        heard(theirs)
    notes = db.session.scalars(select(Invoice).filter_by(top_up_id=top_up.id, kind="credit_note")).all()
    assert [note.total_minor for note in notes] == [90_000]


def test_a_part_of_the_payment_is_disputed(payer: User, top_up: TopUp, bank: Bank) -> None:
    theirs = bank.opens(top_up, 90_000)
    heard(theirs)
    assert books(payer) == {"available": AMOUNT - 90_000, "disputed": 90_000}
    bank.decides(theirs, "lost")
    heard(theirs)
    assert books(payer) == {"available": AMOUNT - 90_000}


def test_two_disputes_on_one_top_up_take_no_more_than_was_paid(payer: User, top_up: TopUp, bank: Bank) -> None:
    first, second = bank.opens(top_up, 200_000), bank.opens(top_up, 100_000)
    heard(first)
    heard(second)
    assert books(payer) == {"disputed": AMOUNT}
    assert ours(second).amount_minor == 50_000
    assert ours(second).claimed_minor == 100_000
    bank.decides(first, "won")
    heard(first)
    assert books(payer) == {"available": 200_000, "disputed": 50_000}
    heard(second)  # there is room for the whole of it now
    assert books(payer) == {"available": 150_000, "disputed": 100_000}
    bank.decides(second, "lost")
    heard(second)
    assert books(payer) == {"available": 150_000}


def test_what_went_back_already_is_not_disputed_as_well(
    payer: User, top_up: TopUp, bank: Bank, counter: Counter
) -> None:
    """The payer has it: of what is left no more can be lost."""
    becomes(counter, sent(top_up, 200_000), "processed")
    assert heard(bank.opens(top_up)).amount_minor == 50_000
    assert books(payer) == {"disputed": 50_000}


@pytest.mark.parametrize(("wrong", "is_known"), [({"domain": "live"}, False), ({"currency": "GHS"}, True)])
def test_play_money_and_other_money_are_not_disputed(
    payer: User, top_up: TopUp, bank: Bank, monkeypatch: pytest.MonkeyPatch, wrong: dict[str, str], is_known: bool
) -> None:
    theirs, ask = bank.opens(top_up), DisputeDesk.dispute

    def told(self: DisputeDesk, gateway_id: str) -> ToldDispute | None:
        found = ask(self, gateway_id)
        return found and replace(found, **wrong)

    monkeypatch.setattr(DisputeDesk, "dispute", told)
    if is_known:
        assert (heard(theirs).outcome, ours(theirs).amount_minor) == (None, 0)
    else:
        with pytest.raises(SubjectUnknown):
            heard(theirs)
    assert books(payer) == {"available": AMOUNT}


def test_the_end_before_the_beginning(payer: User, top_up: TopUp, bank: Bank) -> None:
    spend(payer, 100_000)
    lost, won = bank.opens(top_up, 200_000), bank.opens(top_up, 10_000)
    bank.decides(lost, "lost")
    bank.decides(won, "won")
    assert webhook(lost, "resolve") == "lost"
    assert webhook(lost, "create") == "lost"
    assert webhook(won, "resolve") == "won"
    assert books(payer) == {"debt": -50_000}
    assert movements(payer)[-1] == "dispute_open"
    assert ours(won).amount_minor == 0


def test_copies_and_reminders_change_nothing(payer: User, top_up: TopUp, bank: Bank) -> None:
    theirs = bank.opens(top_up)
    for what in ("create", "create"):
        webhook(theirs, what)
    bank.books.remind(theirs)
    webhook(theirs, "remind")
    bank.decides(theirs, "lost")
    for what in ("resolve", "remind", "create", "resolve"):
        webhook(theirs, what)
    kinds = (
        select(LedgerTransaction.kind).where(LedgerTransaction.kind.like("dispute_%")).order_by(LedgerTransaction.id)
    )
    assert db.session.scalars(kinds).all() == ["dispute_open", "dispute_lost"]
    assert letters(payer.email)[1:] == [
        "A payment of ₦2,500 is disputed",
        "The dispute is over: ₦2,500 went back to the payer",
    ]


def test_many_at_once_book_it_once(app: Flask, payer: User, top_up: TopUp, bank: Bank) -> None:
    theirs = bank.opens(top_up)
    at_once(app, *[lambda: heard(theirs)] * 6)
    assert books(payer) == {"disputed": AMOUNT}
    bank.decides(theirs, "won")
    at_once(app, *[lambda: heard(theirs)] * 6)
    assert books(payer) == {"available": AMOUNT}


def test_a_dispute_and_a_purchase_at_once_never_overdraw(app: Flask, payer: User, top_up: TopUp, bank: Bank) -> None:
    theirs = bank.opens(top_up)
    at_once(app, lambda: heard(theirs), *[lambda: spend(payer, 60_000)] * 4)
    heard(theirs)
    found = books(payer)
    assert found["disputed"] == AMOUNT
    assert found.get("available", 0) == 0
    assert -found.get("debt", 0) in {0, 60_000, 120_000, 180_000, 240_000}


def test_an_answer_that_was_long_on_its_way_reopens_nothing(
    payer: User, top_up: TopUp, bank: Bank, monkeypatch: pytest.MonkeyPatch
) -> None:
    theirs = bank.opens(top_up)
    old = disputes.desk().dispute(str(theirs.id))
    bank.decides(theirs, "won")
    heard(theirs)
    monkeypatch.setattr(disputes.DisputeDesk, "dispute", lambda _desk, _id: old)
    assert heard(theirs).outcome == "won"
    assert books(payer) == {"available": AMOUNT}


@pytest.mark.parametrize("first", ["won", "lost"])
@pytest.mark.parametrize("second", ["won", "lost"])
def test_a_bank_may_take_it_up_again(payer: User, top_up: TopUp, bank: Bank, first: str, second: str) -> None:
    spend(payer, 100_000)
    theirs = bank.opens(top_up)
    heard(theirs)
    bank.decides(theirs, first)
    heard(theirs)
    bank.reopens(theirs)
    assert heard(theirs).outcome is None
    assert books(payer) == {"disputed": AMOUNT, "debt": -100_000}
    bank.decides(theirs, second)
    heard(theirs)
    assert books(payer) == ({"available": 150_000} if second == "won" else {"debt": -100_000})
    assert ours(theirs).round == 2


def test_decided_otherwise_without_our_seeing_it_open_again(payer: User, top_up: TopUp, bank: Bank) -> None:
    theirs = bank.opens(top_up)
    bank.decides(theirs, "lost")
    heard(theirs)
    bank.reopens(theirs)
    bank.decides(theirs, "won")
    heard(theirs)
    assert books(payer) == {"available": AMOUNT}


def test_another_amount_is_booked_anew(payer: User, top_up: TopUp, bank: Bank) -> None:
    spend(payer, 200_000)
    theirs = bank.opens(top_up, 200_000)
    heard(theirs)
    assert books(payer) == {"disputed": 200_000, "debt": -150_000}
    bank.books.change_amount(theirs, 40_000)
    heard(theirs)
    assert books(payer) == {"available": 10_000, "disputed": 40_000}
    assert ours(theirs).claimed_minor == 40_000
    bank.books.change_amount(theirs, 0)  # which says nothing
    assert heard(theirs).amount_minor == 40_000
    assert "another amount" in statement.statement(payer.id).rows[1].text


def test_a_dispute_of_a_payment_we_have_not_credited_yet_credits_it_first(
    payer: User, bank: Bank, counter: Counter
) -> None:
    opened = topups.open_top_up(payer, AMOUNT, secrets.token_hex(16))
    counter.pay(opened.reference)
    heard(bank.opens(opened))
    assert books(payer) == {"disputed": AMOUNT}
    assert topups.get_top_up(opened.reference).state == "paid"


def test_what_was_never_credited_is_followed_without_money(payer: User, bank: Bank, counter: Counter) -> None:
    opened = topups.open_top_up(payer, AMOUNT, secrets.token_hex(16))
    counter.pay(opened.reference, AMOUNT - 1)  # a mismatch: nothing is credited
    theirs = bank.opens(opened)
    assert heard(theirs).amount_minor == 0
    assert books(payer) == {}
    bank.decides(theirs, "lost")
    assert heard(theirs).outcome == "lost"
    assert books(payer) == {}


def test_disputes_of_payments_of_others_are_unmatched(app: Flask, bank: Bank, counter: Counter) -> None:
    counter.world.till.initialize({"email": "a@b.co", "amount": 50_000, "reference": "somebody-elses"})
    counter.pay("somebody-elses")
    theirs = bank.books.open("somebody-elses")
    assert webhook(theirs, "create") == events.UNMATCHED
    with pytest.raises(SubjectUnknown):
        disputes.refresh("12345")
    for data in ({}, {"id": "x"}, {"id": True}, None):
        body = {"event": "charge.dispute.create", "data": data, "salt": secrets.token_hex(4)}
        stored = events.receive_event(json.dumps(body).encode())
        events.handle_event(stored.id)
        db.session.refresh(stored)
        assert stored.outcome == events.UNMATCHED


def test_without_the_gateways_word_nothing_is_done(payer: User, top_up: TopUp, bank: Bank, counter: Counter) -> None:
    theirs = bank.opens(top_up)
    counter.breaks("dispute", "error_500")
    with pytest.raises(GatewayDown):
        webhook(theirs, "create")
    assert books(payer) == {"available": AMOUNT}
    assert webhook(theirs, "create") == "awaiting_merchant_feedback"


def test_a_status_nobody_has_told_us_of_keeps_it_open(payer: User, top_up: TopUp, bank: Bank, counter: Counter) -> None:
    theirs = bank.opens(top_up)
    theirs.status, theirs.resolution = "resolved", "who-knows"
    assert heard(theirs).state == "pending"
    assert books(payer) == {"disputed": AMOUNT}
    theirs.resolution = "declined"
    heard(theirs)
    theirs.status, theirs.resolution = "archived", None
    assert heard(theirs).outcome == "won"


def test_lost_webhooks_are_made_up_for(payer: User, top_up: TopUp, bank: Bank, counter: Counter) -> None:
    theirs = bank.opens(top_up, 50_000)
    counter.world.till.initialize({"email": "a@b.co", "amount": 50_000, "reference": "elses"})
    counter.pay("elses")
    bank.books.open("elses")  # which is in the way of nothing
    assert disputes.find_open() == 0
    assert books(payer) == {"available": 200_000, "disputed": 50_000}
    assert disputes.sweep_due() == 0
    bank.decides(theirs, "won")
    with transaction():
        db.session.execute(update(Dispute).values(check_at=func.now()))
    counter.breaks("dispute", "error_500")
    assert disputes.sweep_due() == 0
    assert ours(theirs).outcome is None
    with transaction():
        db.session.execute(update(Dispute).values(check_at=func.now()))
    assert disputes.sweep_due() == 1
    assert books(payer) == {"available": AMOUNT}
    calls = counter.calls("dispute")
    assert disputes.sweep_due() == 0
    assert counter.calls("dispute") == calls


def test_without_a_gateway_nobody_is_asked(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(app.config, "PAYSTACK_SECRET_KEY", "")
    assert (disputes.sweep_due(), disputes.find_open()) == (0, 0)


def test_the_statement_says_it_in_words_and_leads_to_the_payment(payer: User, top_up: TopUp, bank: Bank) -> None:
    theirs = bank.opens(top_up)
    heard(theirs)
    bank.decides(theirs, "won")
    heard(theirs)
    back, taken, credited = statement.statement(payer.id).rows
    assert taken.text == "Payment disputed at its bank: set aside until that is decided"
    assert back.text == "Dispute over, the payment stands: money back"
    assert {row.top_up_reference for row in (back, taken, credited)} == {top_up.reference}
    assert (taken.receipt, credited.receipt is None) == (None, False)


def test_customers_and_operators_are_written_to(payer: User, top_up: TopUp, bank: Bank) -> None:
    operator = make_user("op@example.com", role="admin")
    spend(payer, 100_000)
    theirs = bank.opens(top_up)
    heard(theirs)
    assert letters(operator.email) == [f"Dispute {theirs.id} over ₦2,500 waits for an answer"]
    bank.decides(theirs, "lost")
    heard(theirs)
    assert letters(payer.email)[-1] == "The dispute is over: ₦2,500 went back to the payer"
    body = text("SELECT args->>'text' FROM procrastinate_jobs WHERE args->>'to' = :to ORDER BY id")
    opened, ended = list(db.session.scalars(body, {"to": payer.email}))[1:]
    assert "₦1,000 of it was spent already" in opened
    assert "₦1,000 of it was spent on numbers before" in ended


def test_the_funds_of_others_are_never_touched(
    new_user: Callable[[], User], payer: User, top_up: TopUp, bank: Bank, counter: Counter
) -> None:
    other = new_user()
    paid_top_up(other, counter)
    spend(payer, AMOUNT)
    heard(bank.opens(top_up))
    assert books(other) == {"available": AMOUNT}
