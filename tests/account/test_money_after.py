"""Money that moves after its account was deleted: none of it ends in a wallet that nobody can open."""

import secrets

import pytest
from flask import Flask
from sqlalchemy import func, select

from namaskah.account import deletion
from namaskah.auth.models import User
from namaskah.db import db, transaction
from namaskah.numbers import closing
from namaskah.sandbox import Sandbox
from namaskah.wallet import ledger, mismatches, promo, top_up_lists, topups
from namaskah.wallet.card_models import SavedCard
from namaskah.wallet.models import LedgerAccount, LedgerEntry
from tests.account import life
from tests.account.test_deletion import balance
from tests.support import log_in, make_user
from tests.together import at_once
from tests.wallet.bank import Bank, books, heard, paid_top_up, spend
from tests.wallet.carding import AMOUNT
from tests.wallet.counter import Counter


@pytest.fixture
def counter(sandbox: Sandbox) -> Counter:
    return Counter(sandbox)


def test_what_is_paid_after_the_account_is_gone_waits_for_a_person_and_no_card_is_kept(
    app: Flask, alice: User, admin: User, counter: Counter
) -> None:
    """In the wallet of a deleted account nobody could spend it, and nobody would be told of it."""
    opened = topups.open_top_up(alice, AMOUNT, secrets.token_hex(16), keep_card=True)
    deletion.delete(alice, balance(alice))
    counter.pay_by_card(opened.reference)
    for _time in range(2):
        paid = topups.settle(opened.reference)
        assert (paid.state, paid.seen_minor, paid.check_at) == ("mismatch", AMOUNT, None)
    assert (balance(alice), top_up_lists.mismatched()) == (0, 1)
    assert db.session.scalar(select(func.count()).select_from(SavedCard)) == 0
    desk = log_in(app.test_client(), admin)
    page = desk.get(f"/admin/top-ups/{opened.reference}").text
    assert "The account is deleted: nothing was credited." in page
    assert "Credit what was paid" not in page and "Close without credit" in page
    with pytest.raises(topups.AccountGone, match="deleted"):
        mismatches.accept(opened.reference, AMOUNT, "user:7", "x")
    assert mismatches.close(opened.reference, "user:7", "sent back at Paystack")
    assert (topups.settle(opened.reference).state, top_up_lists.mismatched()) == ("closed", 0)


def test_a_payment_and_a_deletion_at_once_leave_no_money_behind(app: Flask, alice: User, counter: Counter) -> None:
    reference, left, user_id = (
        topups.open_top_up(alice, AMOUNT, secrets.token_hex(16)).reference,
        balance(alice),
        alice.id,
    )
    counter.pay(reference, AMOUNT)
    at_once(
        app,
        lambda: deletion.delete(db.session.get_one(User, user_id), left),
        lambda: topups.settle(reference),
    )
    is_gone = db.session.get_one(User, user_id, populate_existing=True).deleted_at is not None
    state = topups.get_top_up(reference).state
    assert (is_gone, state, balance(alice)) in ((True, "mismatch", 0), (False, "paid", left + AMOUNT))


def test_what_is_won_after_the_account_was_deleted_is_the_houses(app: Flask, counter: Counter) -> None:
    """As what comes back of a refund. The bank had taken it, so nothing was left to stand in the way of leaving."""
    payer, bank = make_user("payer@example.com"), Bank(counter)
    theirs = bank.opens(paid_top_up(payer, counter, AMOUNT))
    bank.decides(theirs, "lost")
    heard(theirs)
    deletion.delete(payer, 0)
    bank.reopens(theirs)
    heard(theirs)
    bank.decides(theirs, "won")
    heard(theirs)
    assert books(payer) == {}
    promo = select(LedgerAccount.id).filter_by(kind="promo").scalar_subquery()
    assert db.session.scalar(select(func.sum(LedgerEntry.amount)).where(LedgerEntry.account_id == promo)) == AMOUNT


def came(user: User, amount_minor: int) -> None:
    with transaction():
        ledger.adjust(user.id, f"late:{amount_minor}", amount_minor, "test", "came late")


def test_what_comes_into_a_deleted_account_again_and_again_goes_to_the_house(app: Flask, alice: User) -> None:
    deletion.delete(alice, balance(alice))
    for amount in (700, 300):
        came(alice, amount)
        assert deletion.take_leftovers_due() == 1
        assert books(alice) == {}
    assert deletion.take_leftovers_due() == 0


def test_a_gift_that_comes_back_to_a_deleted_account_is_taken_back(app: Flask, alice: User) -> None:
    life.shop.only("fivesim")
    promo.give(alice.email, 500, 30, "sorry", secrets.token_hex(16), "operator")
    waiting = life.shop.buy(alice)
    assert deletion.reapply([deletion.Tombstone(alice.id)], "operator") == [alice.id]
    closing.cancel(life.shop.fresh(waiting))
    assert books(alice) == {"available": waiting.price_minor - 500, "promo": 500}
    assert deletion.take_leftovers_due() == 1
    assert books(alice) == {}


def test_a_debt_of_a_deleted_account_is_paid_before_the_house_has_anything(app: Flask, counter: Counter) -> None:
    payer, bank = make_user("payer@example.com"), Bank(counter)
    top_up = paid_top_up(payer, counter, AMOUNT)
    spend(payer, 100_000)
    heard(bank.opens(top_up))
    assert deletion.reapply([deletion.Tombstone(payer.id)], "operator") == [payer.id]
    came(payer, 130_000)
    assert deletion.take_leftovers_due() == 1
    assert books(payer) == {"disputed": AMOUNT}
