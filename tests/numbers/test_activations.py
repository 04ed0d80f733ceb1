"""Buying: what is held, who is asked, what is refused, and that nothing is bought twice."""

from datetime import timedelta

import pytest
from flask import Flask
from sqlalchemy import func, select, update

from namaskah.auth.models import User
from namaskah.db import db, transaction
from namaskah.errors import UserError
from namaskah.numbers import activations, polling, routing
from namaskah.numbers.models import Activation, Offer, Provider, Service
from namaskah.providers.base import NotSold
from namaskah.wallet import ledger
from tests.numbers import shop
from tests.numbers.shop import buy, key
from tests.support import Control


def bought() -> int:
    return db.session.scalar(select(func.count()).select_from(Activation)) or 0


def orders_sold(control: Control) -> int:
    return sum(len(control.orders(name)) for name in shop.PROVIDERS)


def test_a_bought_number_waits_with_its_price_held(alice: User, control: Control) -> None:
    activation = buy(alice)
    assert activation.state == "waiting"
    assert activation.phone and activation.phone.startswith("+234")
    assert shop.wallet(alice) == (1_000_000 - activation.price_minor, activation.price_minor)
    [order] = control.orders(activation.provider_name)
    assert (str(order["id"]), order["cost_micros"]) == (activation.provider_ref, activation.cost_micros)
    assert shop.events(activation) == ["bought", "number"]
    shop.assert_books_agree(control)


def test_the_code_is_captured_once_however_often_it_is_polled(alice: User, control: Control) -> None:
    activation = buy(alice)
    control.sms(activation.provider_name, activation.provider_ref or "", "Your WhatsApp code is 482-913")
    assert polling.poll(activation.provider_name) == 1
    assert polling.poll(activation.provider_name) == 0
    again = activations.get_activation(activation.id, alice.id)
    assert again.state == "received"
    assert shop.wallet(alice) == (1_000_000 - activation.price_minor, 0)
    assert shop.ledger_lines(activation) == ["hold", "capture"]


def test_the_same_key_buys_once(alice: User, control: Control) -> None:
    once = key()
    assert buy(alice, key=once).id == buy(alice, key=once).id
    assert (bought(), orders_sold(control)) == (1, 1)


def test_two_customers_may_have_the_same_key(alice: User, bob: User, control: Control) -> None:
    same = key()
    assert buy(alice, key=same).id != buy(bob, key=same).id
    assert orders_sold(control) == 2


def test_nobody_sees_the_activation_of_another(alice: User, bob: User) -> None:
    activation = buy(alice)
    for number in (activation.id, activation.id + 1, 2**70):
        with pytest.raises(UserError) as refusal:
            activations.get_activation(number, bob.id)
        assert refusal.value.status == 404


# ── Refusals: always before money moves ──────────────────────────────────────────────────────────────────────────────


def assert_untouched(user: User, money: int, control: Control) -> None:
    assert shop.wallet(user) == (money, 0)
    assert (bought(), orders_sold(control)) == (0, 0)


def test_a_price_above_what_was_shown_is_asked_about_first(alice: User, control: Control) -> None:
    price = min(route.price_minor for route in routing.routes("whatsapp", "NG"))
    with pytest.raises(activations.PriceMoved) as refusal:
        buy(alice, max_price_minor=price - 1)
    assert refusal.value.details["price_minor"] == routing.routes("whatsapp", "NG")[0].price_minor
    assert_untouched(alice, 1_000_000, control)


def test_who_cannot_pay_is_told_how_much_is_missing(carol: User, control: Control) -> None:
    price = routing.routes("whatsapp", "NG")[0].price_minor
    with pytest.raises(activations.NotEnoughMoney) as refusal:
        buy(carol)
    assert refusal.value.details == {"missing_minor": price}
    assert_untouched(carol, 0, control)


@pytest.mark.parametrize(
    "service, country", [("whatsapp", "AQ"), ("no-such-service", "NG"), ("whatsapp", "XX"), ("", "")]
)
def test_what_nobody_sells_is_not_bought(alice: User, control: Control, service: str, country: str) -> None:
    with pytest.raises(activations.NothingOnSale):
        buy(alice, service=service, country=country)
    assert_untouched(alice, 1_000_000, control)


def test_a_blocked_service_is_not_sold_even_with_an_offer(alice: User, control: Control) -> None:
    blocked = db.session.scalar(select(Service.code).where(Service.blocked.is_not(None)).limit(1)) or ""
    offer = db.session.execute(
        select(Offer.__table__).where(Offer.service_code == "whatsapp", Offer.country_code == "NG").limit(1)
    ).mappings()
    row = {name: value for name, value in offer.one().items() if name != "id"} | {"service_code": blocked}
    with transaction():
        added = db.session.scalar(db.insert(Offer).values(row).returning(Offer.id))
    try:
        with pytest.raises(activations.NothingOnSale):
            buy(alice, service=blocked)
    finally:
        with transaction():
            db.session.execute(db.delete(Offer).where(Offer.id == added))
    assert_untouched(alice, 1_000_000, control)


@pytest.mark.parametrize(
    "change",
    [
        {"synced_at": func.now() - func.make_interval(0, 0, 0, 0, 1)},
        {"paused_until": func.now() + func.make_interval(0, 0, 0, 0, 1)},
        {"weight": 0},
        {"balance_micros": 1},
        {"currency": "KZT"},
    ],
    ids=["prices are old", "paused", "switched off", "no money left there", "no exchange rate"],
)
def test_a_provider_that_cannot_deliver_is_not_asked(alice: User, control: Control, change: dict[str, object]) -> None:
    with transaction():
        db.session.execute(update(Provider).values(**change))
    try:
        with pytest.raises(activations.NothingOnSale):
            buy(alice)
        assert_untouched(alice, 1_000_000, control)
    finally:
        with transaction():
            db.session.execute(update(Provider).values(currency="USD"))


def test_a_customer_may_not_have_too_many_numbers_waiting(
    app: Flask, alice: User, control: Control, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(app.config, "MAX_OPEN_ACTIVATIONS", 2)
    first, _second = buy(alice), buy(alice)
    with pytest.raises(activations.TooMany):
        buy(alice)
    control.sms(first.provider_name, first.provider_ref or "", "Code 482913")
    polling.poll(first.provider_name)
    assert buy(alice).state == "waiting"


def test_a_customer_may_not_buy_too_many_numbers_a_day(
    app: Flask, alice: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(app.config, "DAILY_BUY_LIMIT", 1)
    buy(alice)
    with pytest.raises(activations.TooMany):
        buy(alice)
    with transaction():
        db.session.execute(update(Activation).values(created_at=Activation.created_at - timedelta(days=1)))
    assert buy(alice).state == "waiting"


def test_a_limit_of_none_a_day_sells_nothing_and_says_so(
    app: Flask, alice: User, control: Control, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(app.config, "DAILY_BUY_LIMIT", 0)
    with pytest.raises(activations.TooMany):
        buy(alice)
    assert_untouched(alice, 1_000_000, control)


def test_a_ban_is_seen_at_once_even_by_a_request_under_way(alice: User, control: Control) -> None:
    user_as_the_request_read_it = db.session.get_one(User, alice.id)
    assert user_as_the_request_read_it.is_active
    with db.engine.begin() as other:
        other.execute(update(User).where(User.id == alice.id).values(banned_at=func.now()))
    with pytest.raises(activations.TooMany) as refusal:
        buy(user_as_the_request_read_it)
    assert refusal.value.status == 403
    assert_untouched(alice, 1_000_000, control)


# ── Whom to ask ──────────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_next_provider_is_asked_after_a_definite_no(alice: User, control: Control) -> None:
    for first, second in (("fivesim", "herosms"), ("herosms", "fivesim")):
        control.reset()
        shop.prefer(first)
        control.fault(first, "buy", "no_stock")
        activation = buy(alice)
        assert (activation.state, activation.provider_name) == ("waiting", second)
        assert shop.events(activation) == ["bought", "refused", "number"]
        with transaction():
            db.session.execute(update(Provider).values(weight=100))
            db.session.execute(update(Offer).where(Offer.stock == 0).values(stock=10))


def test_no_other_provider_is_asked_after_an_unclear_answer(alice: User, control: Control) -> None:
    shop.prefer("fivesim")
    control.fault("fivesim", "buy", "error_500")
    activation = buy(alice)
    assert (activation.state, activation.provider_name) == ("in_doubt", "fivesim")
    assert control.orders("herosms") == []
    assert shop.wallet(alice)[1] == activation.price_minor


def test_sold_out_everywhere_gives_the_whole_price_back(alice: User, control: Control) -> None:
    shop.sold_out(control, *shop.PROVIDERS)
    activation = buy(alice)
    assert (activation.state, activation.end_reason) == ("failed", "no_stock")
    assert shop.wallet(alice) == (1_000_000, 0)
    assert shop.ledger_lines(activation) == ["hold", "release"]
    assert shop.events(activation) == ["bought", "refused", "refused", "money_back"]
    with pytest.raises(activations.NothingOnSale):
        buy(alice)
    shop.assert_books_agree(control)


@pytest.mark.parametrize("kind, state", [("no_balance", 5), ("bad_key", 30), ("rate_limited", 1 / 3)])
def test_a_provider_that_cannot_sell_rests_for_a_while(alice: User, control: Control, kind: str, state: float) -> None:
    shop.only("fivesim")
    control.fault("fivesim", "buy", kind)
    activation = buy(alice)
    assert (activation.state, activation.end_reason) == ("failed", "provider_refused")
    rest = db.session.scalar(
        select(func.extract("epoch", Provider.paused_until - func.now()) / 60).where(Provider.name == "fivesim")
    )
    assert float(rest or 0) == pytest.approx(state, abs=0.1)
    assert shop.wallet(alice) == (1_000_000, 0)


def test_a_purchase_under_way_does_not_wake_a_provider_that_rests_for_longer(alice: User) -> None:
    """A burst: the first is told that our account is blocked there, one sent with it that we are too quick."""
    [route] = [route for route in routing.routes("whatsapp", "NG") if route.provider == "fivesim"]
    for reason in ("account_blocked", "rate_limited"):
        routing.learn(route, NotSold(reason))
    rests = func.extract("epoch", Provider.paused_until - func.now()) / 60
    row = db.session.execute(select(Provider.paused_reason, rests).where(Provider.name == "fivesim")).one()
    assert (row[0], round(row[1])) == ("account_blocked", 30)


def test_the_customer_pays_the_lower_price_when_it_went_down(alice: User) -> None:
    best = routing.routes("whatsapp", "NG")[0]
    activation = buy(alice, max_price_minor=best.price_minor + 50_000)
    assert activation.price_minor == best.price_minor


def test_a_dearer_provider_steps_in_at_the_price_shown_only_after_the_cheaper_ones(
    alice: User, control: Control
) -> None:
    def priced(name: str, price: int) -> None:
        with transaction():
            db.session.execute(
                update(Offer)
                .where(Offer.service_code == "whatsapp", Offer.country_code == "NG", Offer.provider_name == name)
                .values(price_minor=price)
            )

    costs = {route.provider: route.price_minor for route in routing.routes("whatsapp", "NG")}
    dear, cheap = sorted(costs, key=lambda name: costs[name], reverse=True)
    priced(dear, costs[dear] + 3_000)
    shop.prefer(dear)
    activation = buy(alice, max_price_minor=costs[dear])
    assert (activation.provider_name, activation.price_minor) == (cheap, costs[cheap])
    control.fault(cheap, "buy", "no_stock")
    second = buy(alice, max_price_minor=costs[dear])
    assert second.price_minor == costs[cheap]
    assert [second.state, second.provider_name] in (["waiting", dear], ["failed", cheap])


def test_the_routers_order_is_weight_then_success_then_price(alice: User) -> None:
    def route(**more: object) -> routing.Route:
        plain: dict[str, object] = {
            "offer_id": 1,
            "country": "NG",
            "operator": "any",
            "provider": "p",
            "currency": "USD",
            "exchange_rate": 1600,
            "cost_micros": 100_000,
            "price_minor": 30_000,
            "stock": 9,
            "rate": 5_000,
            "weight": 100,
        }
        return routing.Route(**(plain | more))  # type: ignore[arg-type]

    assert route(weight=200).score > route().score
    assert route(rate=9_000, price_minor=60_000).score > route().score
    assert route(price_minor=20_000).score > route().score
    assert route(rate=4_000).score < route(rate=None).score < route(rate=8_000).score


def test_a_chosen_operator_is_bought_from_that_operator(alice: User, control: Control) -> None:
    shop.only("fivesim")
    chosen = next(route for route in routing.routes("whatsapp", "NG", operator=None) if route.operator != "any")
    activation = buy(alice, operator=chosen.operator, max_price_minor=chosen.price_minor)
    [order] = control.orders("fivesim")
    assert (activation.state, order["operator"]) == ("waiting", chosen.operator)
    assert activation.price_minor == chosen.price_minor


def test_a_number_dearer_than_allowed_is_given_back_and_costs_nobody_anything(alice: User, control: Control) -> None:
    shop.prefer("fivesim")
    control.fault("fivesim", "buy", "wrong_price")
    activation = buy(alice)
    assert (activation.state, activation.provider_name) == ("waiting", "herosms")
    shop.work()
    [order] = control.orders("fivesim")
    assert order["status"] == "canceled"
    shop.assert_books_agree(control)


def test_dearer_everywhere_means_money_back(alice: User, control: Control) -> None:
    for name in shop.PROVIDERS:
        control.fault(name, "buy", "wrong_price")
    activation = buy(alice)
    assert (activation.state, activation.end_reason) == ("failed", "no_stock")
    assert shop.wallet(alice) == (1_000_000, 0)
    control.settings(early_cancel_seconds=0)
    shop.work()
    shop.assert_books_agree(control)


def test_every_price_keeps_at_least_the_smallest_margin(alice: User, control: Control) -> None:
    activation = buy(alice)
    assert activation.cost_micros is not None
    assert activation.cost_micros <= activations.max_cost_micros(activation, "USD")
    assert ledger.balance(alice.id).held_minor == activation.price_minor
