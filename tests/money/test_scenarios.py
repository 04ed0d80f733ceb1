"""Scenarios of docs/scenarios.csv that stand in no other room: a full disk, an empty pool, a slow Redis, bans and
copies at the same moment."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress

import pytest
from flask import Flask
from flask.testing import FlaskClient
from redis import Redis
from sqlalchemy import func, select, text

from namaskah.auth import account_locks, accounts
from namaskah.auth.models import User
from namaskah.db import db, transaction
from namaskah.extensions import redis
from namaskah.numbers import activations, closing, polling, routing
from namaskah.numbers.models import Activation, Message
from namaskah.providers.base import Sms
from namaskah.wallet import debts, ledger, topups
from namaskah.wallet.paystack import Payment
from tests.money.ledger_check import assert_money_is_right
from tests.numbers import shop
from tests.numbers.shop import buy, fresh
from tests.support import Control, log_in, make_user
from tests.together import at_once
from tests.wallet.bank import Bank, heard, paid_top_up, spend
from tests.wallet.counter import Counter
from tests.wallet.test_webhook import event, sign

AMOUNT = 250_000
FULL_DISK = """
    CREATE OR REPLACE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN RAISE EXCEPTION 'could not extend file' USING ERRCODE = 'disk_full'; END $$
"""


@pytest.fixture
def browser(client: FlaskClient, alice: User) -> FlaskClient:
    return log_in(client, alice)


def order_form() -> dict[str, object]:
    price = routing.routes("whatsapp", "NG")[0].price_minor
    db.session.rollback()
    return {"service": "whatsapp", "country": "NG", "max_price_minor": price, "key": shop.key()}


def rows(table: str) -> int:
    db.session.rollback()
    return int(db.session.scalar(text(f"SELECT count(*) FROM {table}")) or 0)


# ── S05, S28: PostgreSQL cannot ──────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def full_disk(app: Flask) -> Iterator[Callable[[str], None]]:
    """From the call on every insert into a table fails as it does on a full disk."""
    broken: list[str] = []

    def fill(table: str) -> None:
        db.session.rollback()
        with transaction():
            db.session.execute(text(FULL_DISK))
            insert = f"CREATE TRIGGER full_disk BEFORE INSERT ON {table} FOR EACH ROW EXECUTE FUNCTION full_disk()"
            db.session.execute(text(insert))
        broken.append(table)

    yield fill
    db.session.rollback()
    with transaction():
        for table in broken:
            db.session.execute(text(f"DROP TRIGGER IF EXISTS full_disk ON {table}"))


@pytest.mark.parametrize("table", ["activations", "ledger_transactions", "ledger_entries", "activation_events"])
def test_a_full_disk_sells_nothing_and_says_when_to_come_back(
    table: str, browser: FlaskClient, alice: User, control: Control, full_disk: Callable[[str], None]
) -> None:
    form = order_form()
    full_disk(table)
    begun = time.monotonic()
    answer = browser.post("/activations", data=form)
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "5")
    assert time.monotonic() - begun < 1
    assert rows("activations") == 0
    assert [len(control.orders(name)) for name in shop.PROVIDERS] == [0, 0]
    assert shop.wallet(alice) == (1_000_000, 0)


@pytest.mark.parametrize("table", ["gateway_events", "procrastinate_jobs"])
def test_an_event_that_a_full_disk_cannot_take_is_sent_again(
    table: str, app: Flask, client: FlaskClient, full_disk: Callable[[str], None]
) -> None:
    body = event("NK-anybodys")
    full_disk(table)
    headers = {"x-paystack-signature": sign(app, body)}
    assert client.post("/webhooks/paystack", data=body, headers=headers).status_code == 503
    assert (rows("gateway_events"), rows("procrastinate_jobs")) == (0, 0)


@pytest.mark.parametrize("table", ["ledger_entries", "invoices", "procrastinate_jobs"])
def test_a_credit_that_a_full_disk_cannot_take_is_made_later_and_whole(
    table: str, alice: User, counter: Counter, full_disk: Callable[[str], None], app: Flask
) -> None:
    reference = topups.open_top_up(alice, AMOUNT, shop.key()).reference
    counter.pay(reference)
    full_disk(table)
    with pytest.raises(Exception, match="53100"):
        topups.settle(reference)
    assert topups.get_top_up(reference).state == "opened"
    assert (rows("invoices"), shop.wallet(alice)) == (0, (1_000_000, 0))
    with transaction():
        db.session.execute(text(f"DROP TRIGGER full_disk ON {table}"))
    assert topups.settle(reference).state == "paid"
    assert (rows("invoices"), shop.wallet(alice)) == (1, (1_000_000 + AMOUNT, 0))


def test_without_a_free_connection_nothing_is_begun(
    app: Flask, browser: FlaskClient, control: Control, monkeypatch: pytest.MonkeyPatch
) -> None:
    form, body = order_form(), event("NK-anybodys")
    headers = {"x-paystack-signature": sign(app, body)}
    monkeypatch.setattr(db.engine.pool, "_timeout", 0.2)
    with ExitStack() as stack:
        db.session.remove()
        for _number in range(app.config["DATABASE_POOL_SIZE"]):
            stack.enter_context(db.engine.connect())
        begun = time.monotonic()
        answer = browser.post("/activations", data=form)
        assert (answer.status_code, answer.headers["Retry-After"]) == (503, "5")
        assert browser.post("/webhooks/paystack", data=body, headers=headers).status_code == 503
        assert time.monotonic() - begun < 1.5
    assert browser.post("/activations", data=form).status_code == 303
    assert rows("activations") == 1


# ── S13, S14, S19, S35: at the same moment ───────────────────────────────────────────────────────────────────────────


def test_a_poll_and_a_push_of_one_code_at_once_capture_once(app: Flask, alice: User, control: Control) -> None:
    shop.only("herosms")
    for number in range(6):
        activation = buy(alice)
        found, ref, code = activation.id, activation.provider_ref or "", f"48291{number}"
        control.sms("herosms", ref, f"Your code is {code}")
        db.session.rollback()
        sms = Sms(f"Your code is {code}", code)
        results = at_once(
            app,
            *[lambda: polling.poll("herosms")] * 2,
            *[lambda: polling.receive_push("herosms", ref, sms)] * 2,  # noqa: B023
            *[lambda: activations.receive(found, [sms])] * 2,  # noqa: B023
        )
        assert sum(results) == 1, results
        assert shop.ledger_lines(activation) == ["hold", "capture"]
    assert rows("messages") == 6
    assert db.session.scalar(select(func.count()).select_from(Message).where(Message.is_late)) == 0


def test_two_refunds_of_one_purchase_at_once_are_one(app: Flask, alice: User, control: Control) -> None:
    activation = buy(alice)
    control.sms(activation.provider_name, activation.provider_ref or "", "Your code is 482913")
    shop.work()
    alices_id, reference, price = alice.id, activation.reference, activation.price_minor
    db.session.rollback()

    def refund() -> bool:
        with transaction():
            return ledger.refund(alices_id, reference, price, "admin", "a complaint")

    results = at_once(app, *[refund] * 8)
    assert sorted(results) == [False] * 7 + [True], results
    assert shop.wallet(alice) == (1_000_000, 0)


def test_money_moves_on_crossed_accounts_without_a_deadlock(app: Flask) -> None:
    """Every verb touches accounts of a user and of the house; everybody takes them in one order. What moves the money
    of a customer twice in one transaction has locked the customer first, as purchases and credits do."""
    people = [make_user(f"crossed{number}@example.com", money=1_000_000).id for number in range(3)]
    db.session.rollback()

    def pays_in(user: int, key: str) -> None:
        with transaction():
            top_up, _is_new = topups.record(user, 5_000, key)
            now = db.session.scalars(select(func.now())).one()
            paid = Payment(top_up.reference, "success", 5_000, "NGN", 75, "test", "card", None, None)
            topups.credit(top_up, paid, now)

    def storm(place: int) -> None:
        for turn in range(12):
            user, reference = people[(place + turn) % 3], f"crossed:{place}:{turn}"
            if place % 2:
                pays_in(user, reference)
            with transaction():
                account_locks.lock(user)
                ledger.hold(user, reference, 1_000)
                if not place % 2:
                    ledger.adjust(user, reference, 500, "admin", "a gift")
            with transaction():
                (ledger.capture if turn % 2 else ledger.release)(user, reference, 1_000)

    assert at_once(app, *[lambda place=place: storm(place) for place in range(8)]) == [None] * 8
    db.session.rollback()
    assert db.session.scalar(text("SELECT sum(balance) FROM ledger_accounts WHERE kind = 'user_held'")) == 0
    paid_in, given, captured = 4 * 12 * 5_000, 4 * 12 * 500, 8 * 6 * 1_000
    total = db.session.scalar(text("SELECT sum(balance) FROM ledger_accounts WHERE kind = 'user_available'"))
    assert total == 3_000_000 + paid_in + given - captured


# ── S26: a chargeback of money that was spent ────────────────────────────────────────────────────────────────────────


def test_who_owes_buys_nothing_though_there_is_money(app: Flask, counter: Counter) -> None:
    payer = make_user("owes@example.com")
    top_up = paid_top_up(payer, counter)
    spend(payer, top_up.amount_minor)
    heard(Bank(counter).opens(top_up))
    with transaction():
        ledger.adjust(payer.id, "too early", 1_000_000, "admin", "what debts.collect_due() has not seen yet")
    with pytest.raises(debts.InDebt):
        buy(payer)
    assert db.session.scalar(select(func.count(Activation.id))) == 0
    assert debts.collect_due() == 1
    assert buy(payer).state == "waiting"


# ── S15: a ban in the middle ─────────────────────────────────────────────────────────────────────────────────────────


def test_a_ban_stops_the_replacement_that_was_queued_and_keeps_no_money(alice: User, control: Control) -> None:
    control.settings(early_cancel_seconds=0)
    shop.only("fivesim")
    activation = buy(alice)
    with transaction():
        db.session.execute(text("UPDATE activations SET cancel_from = now() + interval '5 seconds'"))
    closing.cancel(fresh(activation), "number_used", replace=True)
    accounts.ban(alice, "operator:test", "a test")
    shop.later(10)
    shop.work(rounds=3)
    assert fresh(activation).state == "cancelled"
    assert db.session.scalar(select(func.count()).select_from(Activation)) == 1
    assert shop.wallet(alice) == (1_000_000, 0)
    assert shop.jobs() == [] or all(name != "replace_number" for _id, name, _arguments in shop.jobs())


def test_who_is_banned_with_a_number_waiting_still_pays_for_the_code_or_gets_the_money_back(
    alice: User, control: Control
) -> None:
    with_code, without = buy(alice), buy(alice)
    accounts.ban(alice, "operator:test", "a test")
    control.sms(with_code.provider_name, with_code.provider_ref or "", "Your code is 482913")
    control.expire(without.provider_name, without.provider_ref or "")
    shop.work()
    shop.later(60)
    shop.work()
    assert (fresh(with_code).state, fresh(without).state) == ("received", "expired")
    assert shop.wallet(alice) == (1_000_000 - with_code.price_minor, 0)


# ── S27: Redis is slow, empty or gone ────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def deaf_redis(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Whoever connects to it is let in and never answered: a Redis, or a network, that takes seconds."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        taken: list[socket.socket] = []

        def take() -> None:
            with suppress(OSError):
                while True:
                    taken.append(listener.accept()[0])

        threading.Thread(target=take, daemon=True).start()
        options = redis.client.connection_pool.connection_kwargs | {"port": listener.getsockname()[1]}
        monkeypatch.setattr(redis, "_client", Redis(**{k: v for k, v in options.items() if k != "db"}))
        yield
        for connection in taken:
            connection.close()


def test_a_deaf_redis_makes_a_purchase_slow_and_no_money_wrong(
    browser: FlaskClient, alice: User, control: Control, deaf_redis: None
) -> None:
    form = order_form()
    begun = time.monotonic()
    answer = browser.post("/activations", data=form)
    assert answer.status_code == 303
    assert time.monotonic() - begun < 2.5, "no call to Redis waits longer than a fifth of a second"
    activation = db.session.scalars(select(Activation)).one()
    control.sms(activation.provider_name, activation.provider_ref or "", "Your code is 482913")
    shop.work()
    assert fresh(activation).state == "received"
    assert shop.wallet(alice) == (1_000_000 - activation.price_minor, 0)
    assert_money_is_right()


def test_what_redis_forgets_in_the_middle_is_nothing_that_matters(
    browser: FlaskClient, alice: User, control: Control
) -> None:
    form = order_form()
    assert browser.post("/activations", data=form).status_code == 303
    redis.client.flushdb()
    assert browser.post("/activations", data=form).status_code == 303
    activation = db.session.scalars(select(Activation)).one()
    control.sms(activation.provider_name, activation.provider_ref or "", "Your code is 482913")
    redis.client.flushdb()
    shop.work()
    assert shop.ledger_lines(activation) == ["hold", "capture"]
    assert_money_is_right()
