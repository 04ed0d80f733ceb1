"""Which row each verb of money waits for, and which it passes by, while another connection has it. Without its lock a
verb would go on with what it has read a moment too early."""

import threading
from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import text
from sqlalchemy.exc import OperationalError

from namaskah.auth.models import User
from namaskah.db import db, transaction
from namaskah.wallet import (
    auto_topups,
    card_charges,
    debts,
    events,
    ledger,
    promo,
    refund_asking,
    refunds,
    topups,
)
from namaskah.wallet.models import TopUp
from tests.money.test_transactions import while_locked
from tests.numbers import shop
from tests.support import give, make_user
from tests.together import at_once
from tests.wallet.bank import Bank, books, heard, paid_top_up, spend
from tests.wallet.carding import AMOUNT, kept_card, spend_to, switched_on, wish
from tests.wallet.conftest import broken_on_purpose as broken_on_purpose
from tests.wallet.conftest import money_is_right as money_is_right  # held here is what no activation stands for
from tests.wallet.counter import Counter
from tests.wallet.refund_desk import begin, fresh, paid
from tests.wallet.test_webhook import event

ACCOUNT = "SELECT 1 FROM users WHERE id = {} FOR NO KEY UPDATE"
ROW = "SELECT 1 FROM {} FOR UPDATE"


@pytest.fixture
def payer(app: Flask) -> User:
    return make_user("locks@example.com")


def waits(app: Flask, lock: str, verb: Callable[[], Any]) -> Any:
    """What a verb gives that must have waited while the row was somebody else's."""
    db.session.rollback()
    while_held, after = while_locked(app, lock, verb)
    assert isinstance(while_held, OperationalError), while_held
    assert "lock timeout" in str(while_held)
    return after


# ── The customer's row: one purchase, credit, dispute or payment of a debt at a time ─────────────────────────────────


def test_a_credit_waits_for_the_customer(app: Flask, payer: User, counter: Counter) -> None:
    reference = topups.open_top_up(payer, AMOUNT, shop.key()).reference
    counter.pay(reference)
    assert waits(app, ACCOUNT.format(payer.id), lambda: topups.settle(reference)).state == "paid"
    assert shop.wallet(payer) == (AMOUNT, 0)


def test_a_dispute_waits_for_the_customer_and_for_the_top_up(app: Flask, payer: User, counter: Counter) -> None:
    top_up = paid_top_up(payer, counter)
    number, bank = top_up.id, Bank(counter)
    theirs = bank.opens(top_up)
    waits(app, ACCOUNT.format(payer.id), lambda: heard(theirs))
    assert books(payer) == {"disputed": AMOUNT}
    bank.decides(theirs, "won")
    waits(app, f"SELECT 1 FROM top_ups WHERE id = {number} FOR NO KEY UPDATE", lambda: heard(theirs))
    assert books(payer) == {"available": AMOUNT}


def test_collecting_a_debt_waits_for_the_customer(app: Flask, payer: User, counter: Counter) -> None:
    top_up = paid_top_up(payer, counter)
    spend(payer, AMOUNT)
    heard(Bank(counter).opens(top_up))
    with transaction():
        ledger.adjust(payer.id, "locks", 70_000, "admin", "a correction")
    assert waits(app, ACCOUNT.format(payer.id), debts.collect_due) == 1
    assert books(payer) == {"disputed": AMOUNT, "debt": 70_000 - AMOUNT}


def test_a_card_is_not_charged_behind_the_back_of_a_deletion(app: Flask, payer: User, counter: Counter) -> None:
    card, key = kept_card(payer, counter).id, shop.key()
    who = payer.id

    def pays() -> TopUp:
        return card_charges.pay(db.session.get_one(User, who), card, AMOUNT, key)

    assert waits(app, ACCOUNT.format(who), pays).state == "paid"
    assert shop.wallet(payer) == (2 * AMOUNT, 0)


# ── Refunds ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_refund_is_moved_under_the_lock_of_its_top_up(app: Flask, payer: User, counter: Counter) -> None:
    top_up = paid(payer, counter)
    number, refund = top_up.id, begin(top_up)
    reference = refund.reference
    lock = f"SELECT 1 FROM top_ups WHERE id = {number} FOR NO KEY UPDATE"
    assert waits(app, lock, lambda: refunds.cancel(reference, 0, "called off")).state == "cancelled"


def test_a_refund_begins_with_the_top_up_and_then_locks_the_customer(app: Flask, payer: User, counter: Counter) -> None:
    """As credits and disputes do: else they would wait for each other."""
    top_up = paid(payer, counter)
    number, reference, who, held = top_up.id, top_up.reference, payer.id, threading.Event()
    db.session.rollback()

    def begins() -> int:
        held.wait(10)
        return refunds.start(reference, AMOUNT, reason="x", key=shop.key(), who="user:1").amount_minor

    def has_the_top_up() -> None:
        with db.engine.begin() as other:
            other.execute(text(f"SELECT 1 FROM top_ups WHERE id = {number} FOR UPDATE"))
            held.set()
            until_somebody_waits()
            other.execute(text(ACCOUNT.format(who) + " NOWAIT"))

    assert at_once(app, begins, has_the_top_up) == [AMOUNT, None]


def test_a_refund_begins_under_the_lock_of_the_customer(app: Flask, payer: User, counter: Counter) -> None:
    reference = paid(payer, counter).reference
    wanted = {"reason": "x", "key": shop.key(), "who": "user:1"}
    refund = waits(app, ACCOUNT.format(payer.id), lambda: refunds.start(reference, AMOUNT, **wanted))
    assert refund.state == "asked"


def test_a_refund_that_somebody_else_asks_about_is_passed_by(app: Flask, payer: User, counter: Counter) -> None:
    refund = begin(paid(payer, counter))
    with transaction():
        db.session.execute(text("UPDATE gateway_refunds SET check_at = now()"))
    assert while_locked(app, ROW.format("gateway_refunds"), refund_asking.sweep_due) == [0, 1]
    assert fresh(refund).state == "pending"


@pytest.mark.parametrize("tries", [0, 2])
def test_only_the_try_that_is_known_to_have_done_nothing_is_called_off(
    tries: int, payer: User, counter: Counter
) -> None:
    """A later try may have begun it."""
    refund = begin(paid(payer, counter))
    assert refunds.claim_call(refund.reference, "asked", 0)
    assert refunds.cancel(refund.reference, tries, "called off").state == "doubt"
    assert refunds.cancel(refund.reference, 1, "called off").state == "cancelled"


# ── Events ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_an_event_that_another_worker_acts_upon_is_passed_by(app: Flask, payer: User, counter: Counter) -> None:
    reference = topups.open_top_up(payer, AMOUNT, shop.key()).reference
    counter.pay(reference)
    events.receive_event(event(reference))
    with transaction():
        db.session.execute(text("UPDATE gateway_events SET due_at = now()"))
    assert while_locked(app, ROW.format("gateway_events"), events.take_up_due) == [0, 1]
    assert shop.wallet(payer) == (AMOUNT, 0)


# ── Gifts ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_gifts_are_locked_in_the_order_of_their_ids(app: Flask, payer: User) -> None:
    """Whichever runs out first: else two verbs would wait for each other."""
    first, second = give(payer, 500, days=9).id, give(payer, 500, days=2).id
    who, waiting = payer.id, threading.Event()
    db.session.rollback()

    def holds() -> bool:
        waiting.wait(10)
        with transaction():
            return ledger.hold(who, "activation:1", 900)

    def has_the_first() -> None:
        with db.engine.begin() as other:
            other.execute(text(f"SELECT 1 FROM promo_grants WHERE id = {first} FOR UPDATE"))
            waiting.set()
            until_somebody_waits()
            other.execute(text(f"SELECT 1 FROM promo_grants WHERE id = {second} FOR UPDATE NOWAIT"))

    assert at_once(app, holds, has_the_first) == [True, None]


def test_parts_of_one_gift_that_come_back_at_once_are_all_back(app: Flask, payer: User) -> None:
    gift = give(payer, 1_000).id
    with transaction():
        for number in (1, 2):
            ledger.hold(payer.id, f"activation:{number}", 400)
    who, begun = payer.id, threading.Event()
    db.session.rollback()

    def first() -> bool:
        with transaction():
            done = ledger.release(who, "activation:1", 400)
            begun.set()
            until_somebody_waits()
            return done

    def second() -> bool:
        begun.wait(10)
        with transaction():
            return ledger.release(who, "activation:2", 400)

    assert at_once(app, first, second) == [True, True]
    left = db.session.scalar(text(f"SELECT left_minor FROM promo_grants WHERE id = {gift}"))
    assert (left, ledger.balance(who).promo_minor) == (1_000, 1_000)


def test_a_gift_that_somebody_else_has_in_hand_runs_out_later(app: Flask, payer: User) -> None:
    give(payer, 500, days=-1)
    assert while_locked(app, ROW.format("promo_grants"), promo.expire_due) == [0, 1]


def until_somebody_waits(patience: float = 10) -> None:
    """Until another connection of this database waits for a lock."""
    blocked = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    with db.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as watching:
        for _turn in range(int(patience * 50)):
            if watching.scalar(text(blocked)):
                return
            threading.Event().wait(0.02)
    raise AssertionError("nobody waits")


# ── Automatic top-ups ────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def runs_low(payer: User, counter: Counter) -> User:
    """A customer whose kept card is to be charged now."""
    switched_on(payer, kept_card(payer, counter))
    spend_to(payer, 0)
    return payer


def test_an_automatic_top_up_begins_under_the_lock_of_the_wish(app: Flask, runs_low: User) -> None:
    who = runs_low.id
    reference = waits(app, ROW.format("auto_top_ups"), lambda: auto_topups._begin(who))
    assert topups.get_top_up(reference).origin == "auto"
    assert auto_topups._begin(who) is None


def test_who_has_switched_it_off_or_has_enough_by_now_is_not_charged(runs_low: User) -> None:
    """Since the worker took the customer up."""
    with transaction():
        ledger.adjust(runs_low.id, "locks", wish(runs_low).below_minor, "admin", "a correction")
    assert auto_topups._begin(runs_low.id) is None
    with transaction():
        ledger.adjust(runs_low.id, "locks:2", -1, "admin", "a correction")
        db.session.execute(text("UPDATE auto_top_ups SET is_on = false"))
    assert auto_topups._begin(runs_low.id) is None
    with transaction():
        db.session.execute(text("UPDATE auto_top_ups SET is_on = true"))
    assert auto_topups._begin(runs_low.id) is not None
