"""The link to PostgreSQL breaks at a COMMIT, and nobody on our side knows whether it was done: whoever called calls
again, and finds the whole effect, once."""

import hashlib
import hmac
import json
from collections.abc import Iterator

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import func, select, text
from sqlalchemy.exc import OperationalError

from namaskah.auth.models import User
from namaskah.db import db
from namaskah.numbers import polling, routing, settling
from namaskah.numbers.models import Activation, Message
from namaskah.wallet import topups, unknown_payments
from namaskah.wallet.models import GatewayEvent, Invoice, TopUp
from namaskah.wallet.quotes import Quote
from tests.money import proxy as proxies
from tests.money.ledger_check import assert_money_is_right
from tests.money.proxy import ON_ITS_WAY, ON_ITS_WAY_BACK, Proxy
from tests.numbers import shop
from tests.numbers.shop import buy, fresh
from tests.support import Control, log_in
from tests.wallet.counter import Counter

AMOUNT = 250_000
WHERE = pytest.mark.parametrize("where", [ON_ITS_WAY, ON_ITS_WAY_BACK])


@pytest.fixture
def browser(client: FlaskClient, alice: User) -> FlaskClient:
    return log_in(client, alice)


@pytest.fixture
def proxy(browser: FlaskClient, control: Control) -> Iterator[Proxy]:
    with proxies.between() as made:
        yield made
        assert made.cuts == 1, "the commit that was to be lost never came by"
    shop.end_everything(control)
    shop.assert_books_agree(control)
    assert_money_is_right()


def all_of(model: type[Activation] | type[TopUp]) -> list[int]:
    db.session.rollback()
    return list(db.session.scalars(select(model.id).order_by(model.id)))


def count(sql: str) -> int:
    db.session.rollback()
    return int(db.session.scalar(text(sql)) or 0)


def post(browser: FlaskClient, path: str, **form: object) -> tuple[int, str]:
    db.session.rollback()
    answer = browser.post(path, data=form)
    return answer.status_code, answer.headers.get("Location") or answer.text


def order_form() -> dict[str, object]:
    price = routing.routes("whatsapp", "NG")[0].price_minor
    return {"service": "whatsapp", "country": "NG", "max_price_minor": price, "key": shop.key()}


@WHERE
def test_the_hold_of_a_purchase(where: str, proxy: Proxy, browser: FlaskClient, alice: User, control: Control) -> None:
    form = order_form()
    proxy.lose_commit("'hold:activation:", where)
    status, page = post(browser, "/activations", **form)
    assert status == 503 and "Your money is safe" in page
    assert "Nothing was charged" not in page, "nobody can know that"
    assert "look whether it was done" in page
    assert [len(control.orders(name)) for name in shop.PROVIDERS] == [0, 0], "no provider is asked on a guess"
    status, leads_to = post(browser, "/activations", **form)
    [bought] = all_of(Activation)
    assert (status, leads_to) == (303, f"/activations/{bought}")
    activation = db.session.get_one(Activation, bought)
    if where is ON_ITS_WAY:
        assert activation.state == "waiting"
        return
    assert activation.state == "buying", "the purchase that was begun, not a second one"
    assert shop.ledger_lines(activation) == ["hold"]
    shop.later(31)
    assert settling.advance_due() == 1
    shop.later(95)
    shop.work()
    assert fresh(activation).state == "failed"
    assert shop.ledger_lines(activation) == ["hold", "release"]
    assert shop.wallet(alice) == (1_000_000, 0)


@WHERE
def test_the_number_that_a_provider_sold(
    where: str, proxy: Proxy, browser: FlaskClient, alice: User, control: Control
) -> None:
    form = order_form()
    proxy.lose_commit("'provider_charge:order:", where)
    assert post(browser, "/activations", **form)[0] == 503
    assert post(browser, "/activations", **form)[0] == 303
    [bought] = all_of(Activation)
    if where is ON_ITS_WAY:
        shop.later(31)
        shop.work(rounds=2)
    activation = fresh(db.session.get_one(Activation, bought))
    [order] = [order for name in shop.PROVIDERS for order in control.orders(name)]
    assert (activation.state, activation.provider_ref) == ("waiting", str(order["id"]))
    assert shop.ledger_lines(activation) == ["hold"]


@WHERE
def test_the_capture_of_a_code_that_was_polled(
    where: str, proxy: Proxy, alice: User, control: Control, caplog: pytest.LogCaptureFixture
) -> None:
    activation = buy(alice)
    control.sms(activation.provider_name, activation.provider_ref or "", "Your code is 482913")
    proxy.lose_commit("'capture:activation:", where)
    polling.poll(activation.provider_name)
    assert "failed" in caplog.text
    polling.poll(activation.provider_name)
    polling.poll(activation.provider_name)
    assert fresh(activation).state == "received"
    assert shop.ledger_lines(activation) == ["hold", "capture"]
    assert db.session.scalar(select(func.count()).select_from(Message)) == 1
    assert shop.wallet(alice) == (1_000_000 - activation.price_minor, 0)


@WHERE
def test_the_capture_of_a_code_that_was_pushed(
    where: str, proxy: Proxy, browser: FlaskClient, app: Flask, alice: User, control: Control
) -> None:
    shop.only("herosms")
    activation = buy(alice)
    control.sms("herosms", activation.provider_ref or "", "Your code is 482913")
    address = f"/webhooks/providers/herosms?token={app.config['PROVIDER_WEBHOOK_TOKEN']}"
    pushed = {"activationId": activation.provider_ref, "text": "Your code is 482913", "code": "482913"}
    proxy.lose_commit("'capture:activation:", where)
    db.session.rollback()
    assert browser.post(address, json=pushed).status_code == 503, "whoever pushes must know that it may be lost"
    assert browser.post(address, json=pushed).status_code == 200
    assert fresh(activation).state == "received"
    assert shop.ledger_lines(activation) == ["hold", "capture"]
    assert db.session.scalar(select(func.count()).select_from(Message)) == 1


@WHERE
@pytest.mark.parametrize("reason", ["cancel", "replace"])
def test_the_release_of_a_cancel(
    where: str, reason: str, proxy: Proxy, browser: FlaskClient, alice: User, control: Control
) -> None:
    control.settings(early_cancel_seconds=0)
    shop.only("fivesim")
    activation = buy(alice)
    proxy.lose_commit("'release:activation:", where)
    path = f"/activations/{activation.id}/{reason}"
    assert post(browser, path)[0] == 503
    post(browser, path)
    shop.later(10)
    shop.work(rounds=2)
    assert fresh(activation).state == "cancelled"
    assert shop.ledger_lines(activation) == ["hold", "release"]
    assert shop.events(activation).count("money_back") == 1
    held = activation.price_minor if reason == "replace" else 0
    assert len(all_of(Activation)) == (2 if held else 1), "and one number instead, if one was wanted"
    assert shop.wallet(alice) == (1_000_000 - held, held)


@WHERE
def test_the_release_at_the_end_of_a_window(where: str, proxy: Proxy, alice: User, control: Control) -> None:
    activation = buy(alice)
    control.expire(activation.provider_name, activation.provider_ref or "")
    shop.end_windows()
    proxy.lose_commit("'release:activation:", where)
    shop.work(rounds=2)
    assert fresh(activation).state == "expired"
    assert shop.ledger_lines(activation) == ["hold", "release"]
    assert shop.wallet(alice) == (1_000_000, 0)


@WHERE
def test_the_form_that_opens_a_checkout(where: str, proxy: Proxy, browser: FlaskClient, counter: Counter) -> None:
    form = {"key": shop.key(), "amount": "2500"}
    proxy.lose_commit("INSERT INTO top_ups", where)
    assert post(browser, "/wallet/top-up", **form)[0] == 503
    assert counter.references() == [], "nobody can pay before it is on disk"
    assert post(browser, "/wallet/top-up", **form)[0] == 303
    [opened] = all_of(TopUp)
    assert len(counter.references()) == (where is ON_ITS_WAY)
    if where is ON_ITS_WAY_BACK:  # nobody has the address of a checkout: it ends by itself, and says so
        topups.settle(db.session.get_one(TopUp, opened).reference)
        assert db.session.get_one(TopUp, opened).state == "failed"


@WHERE
def test_the_credit_of_a_top_up(where: str, proxy: Proxy, browser: FlaskClient, alice: User, counter: Counter) -> None:
    reference = topups.open_top_up(alice, AMOUNT, shop.key()).reference
    counter.pay(reference)
    proxy.lose_commit("'top_up:top_up:", where)
    with pytest.raises(OperationalError):
        topups.settle(reference)
    assert topups.settle(reference).state == "paid"
    assert topups.settle(reference).state == "paid"
    assert count("SELECT count(*) FROM ledger_transactions WHERE kind = 'top_up'") == 1
    assert count("SELECT count(*) FROM procrastinate_jobs WHERE task_name = 'send_mail'") == 1
    assert db.session.scalar(select(func.count()).select_from(Invoice)) == 1
    assert shop.wallet(alice) == (1_000_000 + AMOUNT, 0)


@WHERE
def test_the_credit_of_a_payment_that_only_paystack_knew(
    where: str, proxy: Proxy, browser: FlaskClient, alice: User, counter: Counter
) -> None:
    reference, who = "T482913000731", alice.id
    wanted = {"reference": reference, "email": alice.email, "amount": AMOUNT, "currency": "NGN"}
    counter.world.till.initialize(wanted)
    counter.pay(reference)
    proxy.lose_commit("'top_up:top_up:", where)

    def credit() -> bool:
        return unknown_payments.credit(reference, who, Quote(AMOUNT, 0), "user:1", "why")

    with pytest.raises(OperationalError):
        credit()
    assert (credit(), credit()) == (where is ON_ITS_WAY, False)
    assert count("SELECT count(*) FROM ledger_transactions WHERE kind = 'top_up'") == 1
    assert count("SELECT count(*) FROM audit_events WHERE kind = 'unknown_payment_credited'") == 1
    assert shop.wallet(alice) == (1_000_000 + AMOUNT, 0)


@WHERE
def test_the_event_of_a_webhook(where: str, proxy: Proxy, browser: FlaskClient, app: Flask) -> None:
    body = json.dumps({"event": "charge.success", "data": {"reference": "NK-nobodys", "amount": AMOUNT}}).encode()
    signature = hmac.new(app.config["PAYSTACK_SECRET_KEY"].encode(), body, hashlib.sha512).hexdigest()
    proxy.lose_commit("INSERT INTO gateway_events", where)

    def send() -> int:
        db.session.rollback()
        headers = {"x-paystack-signature": signature, "Content-Type": "application/json"}
        return browser.post("/webhooks/paystack", data=body, headers=headers).status_code

    assert send() == 503, "the gateway must send it again"
    assert (send(), send()) == (200, 200)
    assert db.session.scalar(select(func.count()).select_from(GatewayEvent)) == 1
    assert count("SELECT count(*) FROM procrastinate_jobs WHERE task_name = 'handle_gateway_event'") == 1
