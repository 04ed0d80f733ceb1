"""What base.Provider promises, kept by every adapter over real HTTP against the sandbox's providers."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import urllib3

from namaskah import http
from namaskah.providers import fivesim, sms_activate
from namaskah.providers.base import (
    CloseOutcome,
    Listing,
    NotSold,
    Order,
    OrderStatus,
    OutcomeUnknown,
    Provider,
    ProviderDown,
    Quote,
)
from namaskah.providers.fivesim import FiveSim
from namaskah.providers.sms_activate import SmsActivate
from namaskah.sandbox import Sandbox

PLENTY = 100_000_000


@dataclass
class Upstream:
    """An adapter with its sandbox counterpart's controls."""

    adapter: Provider
    sandbox: Sandbox
    key: str
    service: str
    country: str

    def control(self, method: str, path: str, **wanted: Any) -> Any:
        answer = urllib3.request(method, f"{self.sandbox.url}/control/{path}", json=wanted)
        assert answer.status < 300, answer.data
        return answer.json()

    def fault(self, operation: str, kind: str, times: int = 1) -> None:
        self.control("POST", "faults", provider=self.key, operation=operation, kind=kind, times=times)

    def sms(self, order: Order, text: str, code: str | None) -> None:
        self.control("POST", "sms", provider=self.key, order_id=order.provider_ref, text=text, code=code)

    def unlock(self) -> None:
        self.control("POST", "settings", early_cancel_seconds=0)

    def calls(self, operation: str) -> int:
        counts: dict[str, int] = self.control("GET", "calls")["counts"]
        return counts.get(f"{self.key}/{operation}", 0)

    def sold(self) -> int:
        return len(self.sandbox.world.accounts[self.key].orders)

    def buy(self, cap: int = PLENTY) -> Order:
        return self.adapter.buy(self.service, self.country, "any", cap)

    def quotes(self) -> list[Quote]:
        return self.adapter.quotes([self.service], [self.country])

    def get(self, order: Order) -> Order:
        found = self.adapter.get_order(order.provider_ref)
        assert found is not None
        return found


def make(kind: str, sandbox: Sandbox, **changes: str) -> Upstream:
    config = sandbox.config
    if kind == "fivesim":
        url, secret = changes.get("url", sandbox.fivesim_url), changes.get("secret", config.fivesim_token)
        return Upstream(FiveSim(secret, url), sandbox, kind, "whatsapp", "nigeria")
    is_hero = kind == "herosms"
    url = changes.get("url", sandbox.herosms_url if is_hero else sandbox.smsactivate_url)
    secret = changes.get("secret", config.herosms_key if is_hero else config.smsactivate_key)
    return Upstream(SmsActivate(kind, url, secret), sandbox, kind, "wa", "19")


@pytest.fixture(params=["fivesim", "smsactivate", "herosms"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def up(kind: str, sandbox: Sandbox) -> Iterator[Upstream]:
    upstream = make(kind, sandbox)
    yield upstream
    upstream.control("DELETE", "faults")


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every call's deadline is 0.4 s: what a test can wait for."""

    def hurried(*args: Any, **kwargs: Any) -> http.Response:
        return http.request(*args, **{**kwargs, "deadline": 0.4})

    monkeypatch.setattr(fivesim, "request", hurried)
    monkeypatch.setattr(sms_activate, "request", hurried)


def test_what_is_quoted_can_be_bought_for_its_price(up: Upstream) -> None:
    cheapest = next(quote for quote in up.quotes() if quote.operator == "any")
    assert cheapest.stock > 0
    order = up.buy(cap=cheapest.cost_micros)
    assert order.cost_micros == cheapest.cost_micros
    assert (order.service, order.country, order.status) == (up.service, up.country, OrderStatus.WAITING)
    assert order.phone.startswith("+234")
    assert order.messages == ()


def test_a_fresh_order_knows_its_times(up: Upstream) -> None:
    order = up.buy()
    usual = order.window or timedelta(seconds=up.adapter.rules.window_seconds)
    window = order.expires_at - (order.created_at or datetime.now(UTC)) if order.expires_at else usual
    assert abs(window.total_seconds() - up.adapter.rules.window_seconds) <= 2


def test_quotes_keep_to_what_was_asked_for_and_is_in_stock(up: Upstream) -> None:
    quotes = up.quotes()
    assert {(quote.service, quote.country) for quote in quotes} == {(up.service, up.country)}
    assert all(quote.stock > 0 for quote in quotes)
    up.control("POST", "settings", stock={up.key: {f"{up.country}/{up.service}": 0}})
    assert up.quotes() == []
    assert up.adapter.quotes(["nothing-like-it"], [up.country]) == []
    assert up.adapter.quotes([], []) == []


def test_the_whole_list_says_the_same_as_single_ones(up: Upstream, monkeypatch: pytest.MonkeyPatch) -> None:
    one_by_one = up.quotes()
    monkeypatch.setattr(fivesim, "ONE_BY_ONE", 0)
    monkeypatch.setattr(sms_activate, "ONE_BY_ONE", 0)
    assert up.quotes() == one_by_one


def test_a_purchase_is_one_call_and_costs_what_it_says(up: Upstream) -> None:
    before = up.adapter.balance_micros()
    order = up.buy()
    assert up.calls("buy") == up.sold() == 1
    assert before - up.adapter.balance_micros() == order.cost_micros


def test_a_code_arrives_and_is_seen_both_ways(up: Upstream) -> None:
    order = up.buy()
    assert up.get(order).status is OrderStatus.WAITING
    up.sms(order, "Your WhatsApp code is 048213 😀", "048213")
    for seen in (up.get(order), *up.adapter.list_orders().orders):
        assert (seen.provider_ref, seen.status) == (order.provider_ref, OrderStatus.RECEIVED)
        assert [(sms.text, sms.code) for sms in seen.messages] == [("Your WhatsApp code is 048213 😀", "048213")]


def test_a_text_without_a_code_is_a_message_all_the_same(up: Upstream) -> None:
    order = up.buy()
    up.sms(order, "Welcome: you are in", None)
    assert [(sms.text, sms.code) for sms in up.get(order).messages] == [("Welcome: you are in", None)]


def test_a_second_code_can_be_asked_for(up: Upstream) -> None:
    order = up.buy()
    up.sms(order, "First 111111", "111111")
    assert up.adapter.ask_again(order.provider_ref) is True
    (listed,) = up.adapter.list_orders().orders
    assert listed.status is OrderStatus.RECEIVED
    assert (listed.messages == ()) is up.adapter.rules.hides_old_messages
    up.sms(order, "Second 222222", "222222")
    assert up.get(order).messages[-1].code == "222222"
    up.adapter.finish(order.provider_ref)
    assert up.adapter.ask_again(order.provider_ref) is False


def test_orders_are_listed_whole(up: Upstream) -> None:
    assert up.adapter.list_orders() == Listing()
    bought = {order.provider_ref: order for order in (up.buy(), up.buy(), up.buy())}
    listed = {order.provider_ref: order for order in up.adapter.list_orders().orders}
    assert listed.keys() == bought.keys()
    for ref, order in listed.items():
        assert (order.phone, order.service, order.country) == (bought[ref].phone, up.service, up.country)
        assert order.cost_micros == bought[ref].cost_micros


def test_closed_orders_are_listed_only_where_the_rules_say_so(up: Upstream) -> None:
    up.unlock()
    up.adapter.cancel(up.buy().provider_ref)
    listed = up.adapter.list_orders().orders
    expected = [OrderStatus.REFUNDED] if up.adapter.rules.lists_closed_orders else []
    assert [order.status for order in listed] == expected


def test_a_cancel_gives_the_money_back_once_however_often_it_is_asked(up: Upstream) -> None:
    up.unlock()
    before = up.adapter.balance_micros()
    order = up.buy()
    assert up.adapter.cancel(order.provider_ref).outcome is CloseOutcome.CLOSED
    assert up.adapter.cancel(order.provider_ref).outcome is CloseOutcome.ALREADY_CLOSED
    assert up.get(order).status is OrderStatus.REFUNDED
    assert up.adapter.balance_micros() == before


def test_a_ban_gives_the_money_back_too(up: Upstream) -> None:
    up.unlock()
    order = up.buy()
    assert up.adapter.ban(order.provider_ref).outcome is CloseOutcome.CLOSED
    status = up.sandbox.world.accounts[up.key].get(int(order.provider_ref)).status
    assert status == ("banned" if up.adapter.rules.can_ban else "canceled")


def test_a_cancel_before_its_time_is_put_off(up: Upstream) -> None:
    up.control("POST", "settings", early_cancel_seconds=90)
    order = up.buy()
    closing = up.adapter.cancel(order.provider_ref)
    assert closing.outcome is CloseOutcome.TOO_EARLY
    if closing.retry_after:
        assert timedelta(seconds=80) < closing.retry_after <= timedelta(seconds=90)
    assert up.get(order).status is OrderStatus.WAITING


def test_an_order_with_an_sms_cannot_be_given_back_open_or_finished(up: Upstream) -> None:
    up.unlock()
    order = up.buy()
    up.sms(order, "Code 5150", "5150")
    assert up.adapter.cancel(order.provider_ref).outcome is CloseOutcome.HAS_SMS
    up.adapter.finish(order.provider_ref)
    up.adapter.finish(order.provider_ref)
    assert up.adapter.cancel(order.provider_ref).outcome is CloseOutcome.HAS_SMS
    assert up.get(order).messages[-1].code == "5150"


def test_an_order_whose_window_is_over_is_refunded(up: Upstream) -> None:
    order = up.buy()
    up.control("POST", "expire", provider=up.key, order_id=order.provider_ref)
    assert up.get(order).status is OrderStatus.REFUNDED
    assert up.adapter.cancel(order.provider_ref).outcome is CloseOutcome.ALREADY_CLOSED


def test_what_was_never_sold_is_not_found(up: Upstream) -> None:
    assert up.adapter.get_order("1") is None
    assert up.adapter.cancel("1").outcome is CloseOutcome.NOT_FOUND
    assert up.adapter.ask_again("1") is False


def test_a_price_above_the_cap_sells_nothing(up: Upstream) -> None:
    with pytest.raises(NotSold) as caught:
        up.buy(cap=10_000)
    assert caught.value.reason in {"price_moved", "no_stock"}
    assert up.sold() == 0


def test_a_provider_that_overcharges_is_seen_to(up: Upstream) -> None:
    up.fault("buy", "wrong_price")
    order = up.buy(cap=1_000_000)
    assert order.cost_micros is not None
    assert order.cost_micros > 1_000_000


def test_an_id_given_out_twice_is_handed_on_for_the_caller_to_refuse(up: Upstream) -> None:
    first = up.buy()
    up.fault("buy", "duplicate_id")
    assert up.buy().provider_ref == first.provider_ref


@pytest.mark.parametrize("what", ["service", "country", "operator"])
def test_what_is_not_on_offer_is_refused(up: Upstream, what: str) -> None:
    wanted = {"service": up.service, "country": up.country, "operator": "any", what: "nowhere"}
    with pytest.raises(NotSold) as caught:
        up.adapter.buy(wanted["service"], wanted["country"], wanted["operator"], PLENTY)
    assert caught.value.reason in {"not_offered", "refused", "no_stock"}


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ("no_stock", "no_stock"),
        ("no_balance", "no_balance"),
        ("bad_key", "bad_credentials"),
        ("rate_limited", "rate_limited"),
    ],
)
def test_a_refusal_is_a_definite_no(up: Upstream, fault: str, reason: str) -> None:
    up.fault("buy", fault)
    with pytest.raises(NotSold) as caught:
        up.buy()
    assert caught.value.reason == reason
    assert up.calls("buy") == 1
    assert up.sold() == 0


def test_a_wrong_key_is_named_as_such(kind: str, sandbox: Sandbox) -> None:
    up = make(kind, sandbox, secret="wrong")
    with pytest.raises(NotSold) as caught:
        up.buy()
    assert caught.value.reason == "bad_credentials"
    for read in (up.adapter.balance_micros, up.adapter.list_orders, lambda: up.adapter.get_order("1")):
        with pytest.raises(ProviderDown) as down:
            read()
        assert down.value.reason == "bad_credentials"


SPOILERS = {
    "reset": "no_answer",
    "cut": "no_answer",
    "error": "server_error",
    "html": "bad_answer",
    "empty": "bad_answer",
    "huge": "bad_answer",
}


@pytest.mark.parametrize("after", [False, True], ids=["nothing done", "number allocated"])
@pytest.mark.parametrize(("fault", "reason"), SPOILERS.items())
def test_a_spoilt_answer_leaves_a_purchase_in_doubt_and_asks_no_second_time(
    up: Upstream, fault: str, reason: str, after: bool
) -> None:
    up.fault("buy", f"{fault}_after" if after else fault)
    with pytest.raises(OutcomeUnknown) as caught:
        up.buy()
    assert caught.value.reason == reason
    assert up.calls("buy") == 1
    assert len(up.adapter.list_orders().orders) == up.sold() == int(after)


@pytest.mark.parametrize("fault", ["hang_after", "drip"])
def test_a_purchase_that_takes_too_long_is_in_doubt(up: Upstream, impatient: None, fault: str) -> None:
    up.fault("buy", fault)
    started = datetime.now(UTC)
    with pytest.raises(OutcomeUnknown) as caught:
        up.buy()
    assert caught.value.reason == "no_answer"
    assert datetime.now(UTC) - started < timedelta(seconds=1.5)
    assert len(up.adapter.list_orders().orders) == up.sold() == 1


@pytest.mark.parametrize(("fault", "reason"), SPOILERS.items())
def test_a_spoilt_read_says_nothing_about_any_order(up: Upstream, fault: str, reason: str) -> None:
    order = up.buy()
    up.fault("*", fault, times=0)
    reads: list[Callable[[], object]] = [
        lambda: up.adapter.get_order(order.provider_ref),
        up.adapter.list_orders,
        up.adapter.balance_micros,
        up.quotes,
        lambda: up.adapter.cancel(order.provider_ref),
        lambda: up.adapter.finish(order.provider_ref),
        lambda: up.adapter.ask_again(order.provider_ref),
    ]
    for read in reads:
        with pytest.raises(ProviderDown) as caught:
            read()
        assert caught.value.reason == reason


def test_an_unreachable_provider_sold_nothing(kind: str, sandbox: Sandbox, closed_url: str) -> None:
    up = make(kind, sandbox, url=closed_url)
    with pytest.raises(NotSold) as caught:
        up.buy()
    assert caught.value.reason == "unreachable"
    with pytest.raises(ProviderDown) as down:
        up.adapter.balance_micros()
    assert down.value.reason == "unreachable"


def test_a_pinned_operator_is_bought_from(up: Upstream) -> None:
    operator = up.sandbox.world.accounts[up.key].shelf.operators(up.country)[-1]
    order = up.adapter.buy(up.service, up.country, operator, PLENTY)
    assert order.operator == operator


def test_all_messages_of_an_order_are_told_in_order(up: Upstream) -> None:
    """Also by a protocol whose list has the last alone; whoever knows no such question tells nothing."""
    order = up.buy()
    up.sms(order, "Your code is 482913", "482913")
    up.sms(order, "Welcome aboard!", None)
    found = [(sms.text, sms.code) for sms in up.adapter.all_messages(order.provider_ref)]
    if up.adapter.rules.lists_last_message_alone and up.key != "herosms":
        assert found == []
    else:
        assert found == [("Your code is 482913", "482913"), ("Welcome aboard!", None)]
    listed = next(each for each in up.adapter.list_orders().orders if each.provider_ref == order.provider_ref)
    assert (len(listed.messages) == 1) is up.adapter.rules.lists_last_message_alone


def test_all_messages_of_an_order_nobody_knows(up: Upstream) -> None:
    assert up.adapter.all_messages("1") == ()
