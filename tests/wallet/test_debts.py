"""What customers owe after a dispute: who pays it, when, and what it stops."""

import secrets

import pytest
from flask import Flask
from sqlalchemy import select, text

from namaskah.auth.models import AuditEvent, User
from namaskah.db import db, transaction
from namaskah.errors import UserError
from namaskah.wallet import debts, ledger, statement
from namaskah.wallet.models import TopUp
from tests.support import log_in, make_user
from tests.together import at_once

from .bank import AMOUNT, Bank, books, heard, ours, paid_top_up, spend
from .counter import Counter


def test_a_top_up_pays_the_debt_first(payer: User, top_up: TopUp, bank: Bank, counter: Counter) -> None:
    spend(payer, AMOUNT)
    theirs = bank.opens(top_up)
    heard(theirs)
    paid_top_up(payer, counter, 100_000)
    assert books(payer) == {"disputed": AMOUNT, "debt": -150_000}
    assert debts.owed_minor(payer.id) == 150_000
    rows = statement.statement(payer.id).rows
    assert [(row.kind, row.amount_minor) for row in rows[:2]] == [("debt_paid", -100_000), ("top_up", 100_000)]
    assert rows[0].text == "Paid what was owed after a disputed payment"
    paid_top_up(payer, counter, 200_000)
    assert books(payer) == {"available": 50_000, "disputed": AMOUNT}
    assert debts.owed_minor(payer.id) == 0
    bank.decides(theirs, "won")
    heard(theirs)
    assert books(payer) == {"available": 300_000}  # both top-ups, for the debt was none


def test_a_lost_disputes_debt_is_paid_the_same_way(
    payer: User,
    top_up: TopUp,
    bank: Bank,
    counter: Counter,
) -> None:
    spend(payer, AMOUNT)
    theirs = bank.opens(top_up)
    heard(theirs)
    bank.decides(theirs, "lost")
    heard(theirs)
    paid_top_up(payer, counter, 300_000)
    assert books(payer) == {"available": 50_000}
    assert ours(theirs).owed_minor == 0


def test_debts_are_paid_oldest_first_and_by_what_a_won_dispute_gives_back(
    payer: User,
    top_up: TopUp,
    bank: Bank,
    counter: Counter,
) -> None:
    other = paid_top_up(payer, counter, 100_000)
    spend(payer, 350_000)
    first, second = bank.opens(top_up), bank.opens(other)
    heard(first)
    heard(second)
    paid_top_up(payer, counter, 60_000)
    assert (ours(first).owed_minor, ours(second).owed_minor) == (190_000, 100_000)
    bank.decides(first, "won")
    heard(first)
    # What was paid of the first comes back, and pays of the second.
    assert books(payer) == {"disputed": 100_000, "debt": -40_000}


def test_whatever_else_comes_in_is_collected(payer: User, top_up: TopUp, bank: Bank) -> None:
    with transaction():
        ledger.hold(payer.id, "activation:1", 200_000)
    heard(bank.opens(top_up))
    assert debts.collect_due() == 0
    with transaction():
        ledger.release(payer.id, "activation:1", 200_000)
    assert debts.collect_due() == 1
    assert books(payer) == {"disputed": AMOUNT}
    assert debts.collect_due() == 0


def test_many_collecting_at_once_collect_once(app: Flask, payer: User, top_up: TopUp, bank: Bank) -> None:
    spend(payer, AMOUNT)
    heard(bank.opens(top_up))
    with transaction():
        ledger.adjust(payer.id, "gift", 400_000, "test", "a gift")
    at_once(app, *[debts.collect_due] * 4)
    assert books(payer) == {"available": 150_000, "disputed": AMOUNT}


def test_who_owes_is_told_how_much_and_what_to_do(payer: User, top_up: TopUp, bank: Bank) -> None:
    debts.require_none(payer.id)
    spend(payer, 100_000)
    heard(bank.opens(top_up))
    with pytest.raises(debts.InDebt) as refused:
        debts.require_none(payer.id)
    assert (refused.value.status, refused.value.details) == (402, {"owed_minor": 100_000})
    assert "you owe ₦1,000" in refused.value.message


def test_the_house_may_give_a_debt_up_with_a_reason(payer: User, top_up: TopUp, bank: Bank) -> None:
    operator = make_user("op@example.com", role="admin")
    spend(payer, 100_000)
    theirs = bank.opens(top_up)
    dispute_id = heard(theirs).id
    with pytest.raises(UserError) as early:
        debts.write_off(dispute_id, "too early", operator)
    assert early.value.status == 409
    bank.decides(theirs, "lost")
    heard(theirs)
    with pytest.raises(UserError) as wordless:
        debts.write_off(dispute_id, "  ", operator)
    assert wordless.value.status == 422
    assert debts.write_off(dispute_id, "moved abroad", operator).owed_minor == 0
    assert books(payer) == {}
    debts.require_none(payer.id)
    loss = text(
        "SELECT sum(e.amount) FROM ledger_entries e JOIN ledger_accounts a ON a.id = e.account_id"
        " JOIN ledger_transactions t ON t.id = e.transaction_id"
        " WHERE a.kind = 'promo' AND t.kind = 'debt_written_off' AND t.note = 'moved abroad' AND t.actor = :who"
    )
    assert db.session.scalar(loss, {"who": f"user:{operator.id}"}) == -100_000
    [event] = db.session.scalars(select(AuditEvent).filter_by(kind="debt_written_off")).all()
    assert (event.user_id, event.actor, event.details["amount_minor"]) == (payer.id, f"user:{operator.id}", 100_000)
    with pytest.raises(UserError) as again:
        debts.write_off(dispute_id, "again", operator)
    assert again.value.status == 409


def test_won_after_all_brings_back_what_was_given_up(payer: User, top_up: TopUp, bank: Bank) -> None:
    operator = make_user("op@example.com", role="admin")
    spend(payer, 100_000)
    theirs = bank.opens(top_up)
    dispute_id = heard(theirs).id
    bank.decides(theirs, "lost")
    heard(theirs)
    debts.write_off(dispute_id, secrets.token_hex(4), operator)
    bank.reopens(theirs)
    bank.decides(theirs, "won")
    heard(theirs)
    assert books(payer) == {"available": 150_000}
    house = text(
        "SELECT sum(e.amount) FROM ledger_entries e JOIN ledger_accounts a ON a.id = e.account_id"
        " WHERE a.kind = 'promo'"
    )
    assert db.session.scalar(house) == 0


def test_the_wallet_says_what_a_top_up_would_leave_and_what_the_bank_wants(
    app: Flask, payer: User, top_up: TopUp, bank: Bank, counter: Counter
) -> None:
    spend(payer, 100_000)
    heard(bank.opens(top_up))
    browser = log_in(app.test_client(), payer)
    page = browser.get("/wallet").text.replace('<span class="money">', "").replace("</span>", "")
    assert "asks for ₦2,500 back. Until it has decided, ₦1,500 of your money is set aside." in page
    assert "<ins>₦1,000</ins>" in page  # ₦2,000 is what the page offers first
    paid_top_up(payer, counter, 200_000)
    assert ledger.balance(payer.id).available_minor == 100_000
