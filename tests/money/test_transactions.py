"""What holds money together below the verbs: transactions, jobs written in them, turns that only one may take."""

import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from namaskah import jobs
from namaskah.auth.models import User
from namaskah.db import db, transaction
from namaskah.numbers import activations, messages, settling, strays
from namaskah.numbers.models import Activation, StrayOrder
from namaskah.providers.base import Sms
from namaskah.wallet import events, ledger, topups
from tests.numbers import shop
from tests.numbers.shop import buy, fresh
from tests.support import Control
from tests.together import at_once
from tests.wallet.counter import Counter
from tests.wallet.test_webhook import event


def test_a_transaction_does_not_nest(app: Flask) -> None:
    with transaction(), pytest.raises(RuntimeError, match="open already"), transaction():
        pass


def test_an_error_takes_all_of_it_back(app: Flask, alice: User) -> None:
    with pytest.raises(ZeroDivisionError), transaction():
        ledger.hold(alice.id, "test:1", 100)
        jobs.defer("finish_order", provider="fivesim", provider_ref="1")
        raise ZeroDivisionError
    assert shop.wallet(alice) == (1_000_000, 0)
    assert shop.jobs() == []


def test_no_other_amount_than_the_one_held_is_taken_or_given_back(app: Flask, alice: User) -> None:
    for verb, amount in ((ledger.capture, 99), (ledger.release, 101), (ledger.capture, 101), (ledger.release, 99)):
        with pytest.raises(ledger.UnknownHold), transaction():
            ledger.hold(alice.id, "test:1", 100)
            verb(alice.id, "test:1", amount)
    assert shop.wallet(alice) == (1_000_000, 0)


@pytest.mark.parametrize(
    "table",
    [
        "ledger_entries", "ledger_transactions", "ledger_accounts", "invoices", "promo_grants", "promo_parts",
        "voucher_redemptions", "exchange_rates",
    ],
)  # fmt: skip
def test_each_table_of_the_books_refuses_to_be_emptied_itself(table: str, app: Flask, alice: User) -> None:
    with pytest.raises(DBAPIError, match=f"TRUNCATE of {table} is not allowed"), transaction():
        db.session.execute(text(f"TRUNCATE {table} CASCADE"))


def test_a_job_is_written_in_a_transaction_and_nowhere_else(app: Flask) -> None:
    with pytest.raises(RuntimeError, match="inside transaction"):
        jobs.defer("finish_order", provider="fivesim", provider_ref="1")
    db.session.rollback()
    assert shop.jobs() == []
    with transaction():
        jobs.defer("finish_order", provider="fivesim", provider_ref="1")
    assert [name for _id, name, _arguments in shop.jobs()] == ["finish_order"]


def test_an_event_that_was_acted_upon_is_left_alone(
    app: Flask, alice: User, counter: Counter, monkeypatch: pytest.MonkeyPatch
) -> None:
    reference = topups.open_top_up(alice, 250_000, shop.key()).reference
    counter.pay(reference)
    stored = events.receive_event(event(reference))
    asked: list[str] = []
    settle = topups.settle
    monkeypatch.setattr(topups, "settle", lambda wanted: asked.append(wanted) or settle(wanted))
    events.handle_event(stored.id)
    db.session.expire_all()
    events.handle_event(stored.id)
    assert asked == [reference]


def test_a_purchase_that_the_worker_took_over_asks_nobody_else(
    alice: User, control: Control, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first provider said no, but so late that the worker had put the purchase in doubt."""
    shop.prefer("fivesim")
    control.fault("fivesim", "buy", "no_stock")
    learn = activations.routing.learn

    def late(*arguments: Any) -> None:
        shop.later(31)
        assert settling.advance_due() == 1
        learn(*arguments)

    monkeypatch.setattr(activations.routing, "learn", late)
    activation = buy(alice)
    assert control.orders("herosms") == []
    assert fresh(activation).state in {"in_doubt", "failed"}


def test_copies_of_an_event_at_the_same_moment_leave_one_job(
    app: Flask, alice: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second one finds nothing to copy, and waits for the first one's row."""
    body, in_the_middle, defer = event("NK-1"), threading.Event(), jobs.defer

    def slowly(*about: Any, **more: Any) -> None:
        in_the_middle.set()
        time.sleep(0.3)
        defer(*about, **more)

    def second() -> int:
        in_the_middle.wait(10)
        return events.receive_event(body).id

    monkeypatch.setattr(jobs, "defer", slowly)
    one, other = at_once(app, lambda: events.receive_event(body).id, second)
    assert one == other
    assert [name for _id, name, _arguments in shop.jobs()] == ["handle_gateway_event"]


def test_a_form_sent_again_finds_its_number_though_nothing_is_on_sale_any_more(alice: User, control: Control) -> None:
    once = shop.key()
    first = buy(alice, key=once).id
    with transaction():
        db.session.execute(text("UPDATE offers SET stock = 0"))
    assert buy(alice, key=once).id == first
    with pytest.raises(activations.NothingOnSale):
        buy(alice)


def test_who_is_too_dear_for_the_price_is_not_even_asked(alice: User, control: Control) -> None:
    """Its price list says little, its own cost much: a mistake of ours must not be sold at a loss."""
    with transaction():
        dear = "UPDATE offers SET price_minor = 100, cost_micros = 5000000 WHERE provider_name = 'herosms'"
        db.session.execute(text(dear + " AND service_code = 'whatsapp' AND country_code = 'NG'"))
    shop.prefer("herosms")
    try:
        assert buy(alice).provider_name == "fivesim"
    finally:
        with transaction():  # costs are not among what is set back after a test
            db.session.execute(
                text("UPDATE offers SET cost_micros = kept.cost_micros FROM offers_kept kept WHERE kept.id = offers.id")
            )
    assert "herosms/buy" not in control.calls()["counts"]


def test_no_message_takes_no_money(alice: User) -> None:
    activation = buy(alice)
    assert activations.receive(activation.id, []) == 0
    assert fresh(activation).state == "waiting"
    assert shop.wallet(alice) == (1_000_000 - activation.price_minor, activation.price_minor)


def test_a_code_that_comes_while_the_money_is_going_back_waits_and_is_late(
    app: Flask, alice: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop.only("fivesim")
    activation = buy(alice)
    found, in_the_middle = activation.id, threading.Event()
    db.session.rollback()
    book = strays.book_refund

    def slowly(*arguments: Any, **more: Any) -> None:
        in_the_middle.set()
        time.sleep(0.4)
        book(*arguments, **more)

    def give_back() -> bool:
        own = db.session.get_one(Activation, found)
        return activations.give_back(own, "cancelled", "customer_cancelled", closed_at_provider=True)

    def receive() -> int:
        in_the_middle.wait(10)
        return activations.receive(found, [Sms("Your code is 482913")])

    monkeypatch.setattr(strays, "book_refund", slowly)
    assert at_once(app, give_back, receive) == [True, 1]
    assert [message.is_late for message in messages.of_activation(found)] == [True]
    assert shop.ledger_lines(activation) == ["hold", "release"]


def test_a_stray_ends_once(alice: User) -> None:
    with transaction():
        strays.add("fivesim", "7", "too_dear", 5_000_000)
        db.session.execute(text("UPDATE stray_orders SET due_at = now()"))
        stray = db.session.scalars(db.select(StrayOrder)).one()
        assert strays.begin_closing(stray)
    with transaction():
        strays.close(stray.id, "refunded", "provider_refund")
    with transaction():
        strays.close(stray.id, "kept", "provider_kept")
    assert shop.paid_by_order("fivesim") == {"7": ["provider_charge", "provider_refund_due", "provider_refund"]}
    assert fresh_outcome() == "refunded"


def fresh_outcome() -> str | None:
    db.session.rollback()
    outcome: str | None = db.session.scalar(text("SELECT outcome FROM stray_orders"))
    return outcome


def while_locked(app: Flask, lock: str, verb: Callable[[], int]) -> list[Any]:
    """What a verb returns while another connection holds a row's lock, and once it has let go."""
    held, let_go = threading.Event(), threading.Event()

    def hold() -> None:
        with db.engine.connect() as other:
            other.execute(text(lock))
            held.set()
            let_go.wait(10)

    def first() -> int:
        held.wait(10)
        # Whoever waits for the row instead of passing it by is told so quickly.
        db.session.execute(text("SET lock_timeout = 500"))
        db.session.commit()
        try:
            return verb()
        finally:
            let_go.set()
            db.session.rollback()
            db.session.execute(text("RESET lock_timeout"))
            db.session.commit()

    _none, while_held = at_once(app, hold, first)
    return [while_held, verb()]


def test_an_activation_that_somebody_else_is_taking_up_is_passed_by(app: Flask, alice: User, control: Control) -> None:
    activation = buy(alice)
    control.expire(activation.provider_name, activation.provider_ref or "")
    shop.end_windows()
    lock = f"SELECT 1 FROM activations WHERE id = {activation.id} FOR UPDATE"
    db.session.rollback()
    assert while_locked(app, lock, settling.advance_due) == [0, 1]


def test_a_stray_that_somebody_else_is_giving_back_is_passed_by(app: Flask, alice: User) -> None:
    with transaction():
        strays.add("fivesim", "7", "too_dear", 5_000_000)
        db.session.execute(text("UPDATE stray_orders SET due_at = now() - interval '1 second'"))
    assert while_locked(app, "SELECT 1 FROM stray_orders FOR UPDATE", settling.close_strays_due) == [0, 1]
