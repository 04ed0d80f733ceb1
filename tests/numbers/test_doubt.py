"""Answers that never came, orders nobody wants: nothing is guessed, and in the end both books are equal."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import func, select, update

from namaskah.auth.models import User
from namaskah.db import db, transaction
from namaskah.numbers import activations, catalogue, closing, messages, polling, registry, settling, strays
from namaskah.numbers.models import Activation, StrayOrder
from namaskah.providers.base import Listing
from tests.numbers import shop
from tests.numbers.shop import buy, fresh
from tests.support import Control

BOTH = pytest.mark.parametrize("name", shop.PROVIDERS)
SPOILT = ["slow", "hang", "reset", "error", "html", "cut", "empty", "huge"]


def in_doubt_at(name: str, user: User, control: Control, kind: str = "reset_after") -> Activation:
    shop.only(name)
    control.fault(name, "buy", kind, seconds=2)
    activation = buy(user)
    assert activation.state == "in_doubt"
    return activation


def stray_refs() -> list[tuple[str, str | None]]:
    db.session.rollback()
    return [(row[0], row[1]) for row in db.session.execute(select(StrayOrder.reason, StrayOrder.outcome))]


@BOTH
@pytest.mark.parametrize("kind", SPOILT)
def test_a_number_sold_with_a_spoilt_answer_is_found_and_attached(
    name: str, kind: str, alice: User, control: Control
) -> None:
    activation = in_doubt_at(name, alice, control, f"{kind}_after")
    assert shop.wallet(alice) == (1_000_000 - activation.price_minor, activation.price_minor)
    polling.poll(name)
    now = fresh(activation)
    [order] = control.orders(name)
    assert (now.state, now.provider_ref, now.phone) == ("waiting", str(order["id"]), f"+{order['phone']}")
    assert shop.events(activation) == ["bought", "in_doubt", "number"]
    control.sms(name, str(order["id"]), "Your code is 482913")
    polling.poll(name)
    assert fresh(activation).state == "received"
    shop.assert_books_agree(control)


@BOTH
@pytest.mark.parametrize("kind", ["slow", "reset", "error", "html", "cut", "empty"])
def test_when_nothing_was_sold_the_money_comes_back_but_not_before_that_is_certain(
    name: str, kind: str, alice: User, control: Control
) -> None:
    activation = in_doubt_at(name, alice, control, kind)
    if kind == "slow":  # the sandbox sells after its delay: here it never got so far
        control.reset()
    polling.poll(name)
    assert fresh(activation).state == "in_doubt"
    shop.later(95)
    polling.poll(name)
    now = fresh(activation)
    assert (now.state, now.end_reason, now.cost_micros) == ("failed", "nothing_bought", None)
    assert shop.wallet(alice) == (1_000_000, 0)
    assert shop.ledger_lines(activation) == ["hold", "release"]
    assert shop.events(activation) == ["bought", "in_doubt", "money_back"]


def test_a_number_that_the_list_shows_late_is_found_in_time(alice: User, control: Control) -> None:
    control.settings(listing_lag_seconds=1)
    activation = in_doubt_at("fivesim", alice, control)
    polling.poll("fivesim")
    assert fresh(activation).state == "in_doubt"
    control.settings(listing_lag_seconds=0)
    polling.poll("fivesim")
    assert fresh(activation).state == "waiting"


def test_no_doubt_lasts_longer_than_eight_minutes_and_a_late_find_is_given_back(alice: User, control: Control) -> None:
    activation = in_doubt_at("fivesim", alice, control)
    control.fault("fivesim", "*", "reset", times=0)
    shop.later(470)
    shop.work()
    assert fresh(activation).state == "in_doubt"
    shop.later(11)
    shop.work()
    assert fresh(activation).state == "failed"
    assert shop.wallet(alice) == (1_000_000, 0)
    shop.end_everything(control)
    shop.assert_books_agree(control)


def test_a_purchase_cut_off_by_a_crash_is_found_out_about(alice: User, control: Control) -> None:
    """The process dies with the provider's answer unread: the row says buying, the order exists."""
    activation = in_doubt_at("herosms", alice, control)
    with transaction():
        db.session.execute(update(Activation).values(state="buying", due_at=func.now() + timedelta(seconds=30)))
    polling.poll("herosms")
    assert fresh(activation).state == "buying", "the purchase may be under way still"
    shop.later(31)
    assert settling.advance_due() == 1
    polling.poll("herosms")
    assert fresh(activation).state == "waiting"
    assert shop.events(activation)[-2:] == ["in_doubt", "number"]
    shop.assert_books_agree(control)


def test_a_purchase_cut_off_before_it_was_sent_is_paid_back(alice: User, control: Control) -> None:
    activation = in_doubt_at("herosms", alice, control, "reset")
    with transaction():
        db.session.execute(update(Activation).values(state="buying", due_at=func.now()))
    for _minute in range(2):
        shop.work()
        shop.later(60)
    shop.work()
    assert (fresh(activation).state, shop.wallet(alice)) == ("failed", (1_000_000, 0))


def test_an_answer_that_comes_after_the_money_went_back_is_given_back(alice: User, control: Control) -> None:
    activation = in_doubt_at("fivesim", alice, control)
    activations.fail(activation, "nothing_bought")
    [order] = registry.ask("fivesim").list_orders().orders
    assert activations.accept(activation, order) is False
    assert stray_refs() == [("too_late", None)]
    shop.work()
    assert stray_refs() == [("too_late", "refunded")]
    assert shop.wallet(alice) == (1_000_000, 0)
    shop.assert_books_agree(control)


def test_the_oldest_order_goes_to_the_oldest_doubt_and_none_to_two(alice: User, bob: User, control: Control) -> None:
    first = in_doubt_at("herosms", alice, control)
    second = in_doubt_at("herosms", bob, control)
    third = in_doubt_at("herosms", alice, control, "reset")
    polling.poll("herosms")
    refs = [str(order["id"]) for order in control.orders("herosms")]
    assert [fresh(found).provider_ref for found in (first, second, third)] == [*refs, None]
    shop.later(95)
    polling.poll("herosms")
    assert fresh(third).state == "failed"
    shop.assert_books_agree(control)


def test_a_hundred_doubts_cost_one_listing_call(alice: User, control: Control) -> None:
    for _more in range(8):
        in_doubt_at("herosms", alice, control)
    before = control.calls()["counts"].get("herosms/list", 0)
    polling.poll("herosms")
    assert control.calls()["counts"]["herosms/list"] == before + 1
    assert db.session.scalars(select(Activation.state).distinct()).all() == ["waiting"]


@BOTH
def test_an_id_given_out_twice_never_makes_one_order_of_two(
    name: str, alice: User, bob: User, control: Control
) -> None:
    shop.only(name)
    first = buy(alice)
    control.fault(name, "buy", "duplicate_id")
    second = buy(bob)
    assert (second.state, second.provider_ref) == ("in_doubt", None)
    assert shop.wallet(bob) == (500_000 - second.price_minor, second.price_minor)
    polling.poll(name)
    assert fresh(second).state == "waiting"
    assert fresh(second).provider_ref != fresh(first).provider_ref
    shop.assert_books_agree(control)


def test_an_order_being_given_back_is_handed_to_nobody(alice: User, bob: User, control: Control) -> None:
    activation = in_doubt_at("herosms", alice, control)
    activations.fail(activation, "nothing_bought")
    [order] = registry.ask("herosms").list_orders().orders
    assert not activations.accept(activation, order)
    assert settling.close_strays_due() == 1, "refused: too early, but it has begun"
    other = in_doubt_at("herosms", bob, control, "reset")
    polling.poll("herosms")
    assert fresh(other).state == "in_doubt"
    assert activations.accept(fresh(other), order) is False
    assert fresh(other).state == "in_doubt"
    shop.end_everything(control)
    shop.assert_books_agree(control)


def test_a_number_of_another_operator_is_not_what_was_bought(alice: User, bob: User, control: Control) -> None:
    shop.only("fivesim")
    nigeria = next(line for line in catalogue.offers("whatsapp") if line.country == "NG")
    dear, cheap = (nigeria.operators[place][0] for place in (-1, 0))
    control.fault("fivesim", "buy", "reset_after", times=2)
    any_will_do, pinned = buy(alice), buy(bob, operator=dear)
    assert (any_will_do.state, pinned.state) == ("in_doubt", "in_doubt")
    whole = registry.ask("fivesim").list_orders()
    assert sorted(o.operator or "" for o in whole.orders) == sorted([cheap, dear])
    others = Listing(tuple(order for order in whole.orders if order.operator != dear))
    activations.fail(any_will_do, "nothing_bought")
    settling.settle("fivesim", others, datetime.now(UTC))
    assert fresh(pinned).state == "in_doubt"
    settling.settle("fivesim", whole, datetime.now(UTC))
    assert fresh(pinned).state == "waiting"


def test_who_may_have_one_operator_alone_chooses_first(alice: User, bob: User, control: Control) -> None:
    shop.only("fivesim")
    nigeria = next(line for line in catalogue.offers("whatsapp") if line.country == "NG")
    dear = nigeria.operators[-1][0]
    control.fault("fivesim", "buy", "reset_after", times=2)
    pinned, any_will_do = buy(bob, operator=dear), buy(alice)
    with transaction():
        db.session.execute(
            update(Activation).where(Activation.id == any_will_do.id).values(attempt_at=pinned.created_at)
        )
        db.session.execute(update(Activation).where(Activation.id == pinned.id).values(attempt_at=func.now()))
    polling.poll("fivesim")
    assert (fresh(pinned).state, fresh(any_will_do).state) == ("waiting", "waiting")


def test_an_order_dearer_than_allowed_is_not_attached(alice: User, control: Control) -> None:
    activation = in_doubt_at("fivesim", alice, control)
    [order] = registry.ask("fivesim").list_orders().orders
    assert order.cost_micros is not None
    ceiling = activations.max_cost_micros(activation, "USD")
    settling.settle("fivesim", Listing((replace(order, cost_micros=ceiling + 1),)), datetime.now(UTC))
    assert fresh(activation).state == "in_doubt"
    settling.settle("fivesim", Listing((order,)), datetime.now(UTC))
    assert fresh(activation).state == "waiting"


def push_down(name: str) -> None:
    """The lists of both protocols begin with the newest orders: two of them make all before a second page's."""
    country, service = {"fivesim": "nigeria/telegram", "herosms": "19/tg"}[name].split("/")
    for _order in range(2):
        registry.ask(name).buy(service, country, "any", 10**9)


@BOTH
def test_a_list_that_was_cut_proves_nothing(
    name: str, alice: User, control: Control, monkeypatch: pytest.MonkeyPatch
) -> None:
    activation = in_doubt_at(name, alice, control)
    push_down(name)
    shop.later(95)
    with monkeypatch.context() as patch:
        shop.cut_list(patch, name)
        polling.poll(name)
        assert fresh(activation).state == "in_doubt"
    polling.poll(name)
    assert fresh(activation).state == "waiting"
    shop.sweep()
    shop.end_everything(control)
    shop.assert_books_agree(control)


@BOTH
def test_a_row_that_cannot_be_read_may_be_what_was_bought(name: str, alice: User, control: Control) -> None:
    activation = in_doubt_at(name, alice, control)
    control.fault(name, "list", "bad_row")
    shop.later(95)
    polling.poll(name)
    assert fresh(activation).state == "in_doubt"
    polling.poll(name)
    assert fresh(activation).state == "waiting"


@BOTH
def test_no_doubt_outlasts_a_list_that_is_always_cut(
    name: str, alice: User, control: Control, monkeypatch: pytest.MonkeyPatch
) -> None:
    activation = in_doubt_at(name, alice, control, "reset")
    push_down(name)
    shop.cut_list(monkeypatch, name)
    shop.later(470)
    shop.work()
    assert fresh(activation).state == "in_doubt"
    shop.later(11)
    shop.work()
    assert (fresh(activation).state, shop.wallet(alice)) == ("failed", (1_000_000, 0))


# ── Orders that nobody owns ──────────────────────────────────────────────────────────────────────────────────────────


def bought_behind_our_back(name: str) -> str:
    country, service = shop.WHATSAPP_IN_NIGERIA[name].split("/")
    return registry.ask(name).buy(service, country, "any", 10**9).provider_ref


@BOTH
def test_an_order_nobody_owns_is_given_back_after_a_while(name: str, alice: User, control: Control) -> None:
    bought_behind_our_back(name)
    control.settings(early_cancel_seconds=0)
    shop.sweep()
    shop.work()
    assert control.orders(name)[0]["status"] == "pending", "it may be on its way into an activation"
    shop.later(121)
    shop.sweep()
    shop.work()
    assert control.orders(name)[0]["status"] == "canceled"
    assert stray_refs() == [("unclaimed", "refunded")]
    shop.assert_books_agree(control)


@BOTH
def test_an_order_seen_as_nobodys_can_still_be_attached_and_refunded(name: str, alice: User, control: Control) -> None:
    activation = in_doubt_at(name, alice, control)
    shop.sweep()
    assert stray_refs() == [("unclaimed", None)]
    polling.poll(name)
    assert (fresh(activation).state, stray_refs()) == ("waiting", [])
    shop.end_everything(control)
    assert shop.wallet(alice) == (1_000_000, 0)
    shop.assert_books_agree(control)


@BOTH
def test_an_order_seen_as_nobodys_while_it_was_being_attached_stays_with_its_owner(
    name: str, alice: User, control: Control
) -> None:
    """The sweep read the list, the purchase committed, the sweep wrote: its stray is a ghost."""
    shop.only(name)
    activation = buy(alice)
    with transaction():
        strays.add(name, activation.provider_ref or "", "unclaimed", activation.cost_micros)
    assert settling.close_strays_due() == 1
    assert stray_refs() == []
    assert control.orders(name)[0]["status"] == "pending"
    assert fresh(activation).state == "waiting"
    shop.assert_books_agree(control)


def test_a_ghost_does_not_keep_a_released_order_from_being_given_back(alice: User, control: Control) -> None:
    shop.only("herosms")
    activation = buy(alice)
    with transaction():
        strays.add("herosms", activation.provider_ref or "", "unclaimed", activation.cost_micros)
    shop.later(1_201)
    polling.poll("herosms")
    assert stray_refs() == [("released", None)]
    control.settings(early_cancel_seconds=0)
    shop.work()
    assert (stray_refs(), control.orders("herosms")[0]["status"]) == ([("released", "refunded")], "canceled")
    shop.assert_books_agree(control)


def test_a_stray_is_tried_again_until_the_provider_answers(alice: User, control: Control) -> None:
    shop.only("fivesim")
    activation = buy(alice)
    shop.later(1_201)
    polling.poll("fivesim")
    control.fault("fivesim", "cancel", "reset", times=2)
    for _time in range(2):
        assert settling.close_strays_due() == 1
        assert settling.close_strays_due() == 0, "not again at once"
        shop.later(61)
    assert shop.paid("fivesim")[1] == activation.cost_micros
    settling.close_strays_due()
    assert stray_refs() == [("released", "refunded")]
    shop.assert_books_agree(control)


def test_an_order_the_provider_denies_knowing_is_left_for_a_person(alice: User, control: Control) -> None:
    with transaction():
        strays.add("fivesim", "12345", "too_late", 100_000)
    settling.close_strays_due()
    assert stray_refs() == [("too_late", "not_found")]
    assert shop.paid("fivesim") == (100_000, 100_000), "it may owe us"


def test_one_activation_that_cannot_be_handled_does_not_keep_the_others_from_their_codes(
    alice: User, bob: User, control: Control, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop.only("fivesim")
    spoilt, sound = buy(alice), buy(bob)
    for activation in (spoilt, sound):
        control.sms("fivesim", activation.provider_ref or "", "Your code is 482913")
    receive = activations.receive

    def fail_for_one(activation_id: int, found: object) -> int:
        if activation_id == spoilt.id:
            raise RuntimeError("a fault of ours")
        return receive(activation_id, found)  # type: ignore[arg-type]

    monkeypatch.setattr(activations, "receive", fail_for_one)
    assert polling.poll("fivesim") == 1
    assert (fresh(spoilt).state, fresh(sound).state) == ("waiting", "received")


def test_a_customer_never_reads_the_message_of_anothers_order(alice: User, bob: User, control: Control) -> None:
    """5sim answers bob's purchase with the id of the order that alice's lost answer was about, and his own number."""
    shop.only("fivesim")
    lost = in_doubt_at("fivesim", alice, control)
    [order] = control.orders("fivesim")
    control.fault("fivesim", "buy", "duplicate_id")
    confused = buy(bob)
    assert confused.provider_ref == str(order["id"])
    assert confused.phone != order["phone"]
    control.sms("fivesim", order["id"], "Your code is 482-913")
    polling.poll("fivesim")
    assert fresh(confused).state == "waiting", "the code belongs to a number bob was not given"
    assert fresh(lost).state == "in_doubt"
    shop.later(1500)
    polling.poll("fivesim")
    assert fresh(confused).state == "expired"
    assert shop.wallet(bob) == (500_000, 0)


def confused_by_its_provider(lost: User, user: User, control: Control) -> Activation:
    """5sim's answer to a purchase has the id of an older order of ours, which then gets a message; the number is right.
    Nobody has polled yet."""
    shop.only("fivesim")
    in_doubt_at("fivesim", lost, control)
    [order] = control.orders("fivesim")
    control.fault("fivesim", "buy", "duplicate_id")
    confused = buy(user)
    assert confused.provider_ref == str(order["id"])
    control.sms("fivesim", order["id"], "Your code is 482-913")
    return confused


def test_cancelling_shows_nobody_the_message_of_anothers_order(alice: User, bob: User, control: Control) -> None:
    confused = confused_by_its_provider(alice, bob, control)
    closing.cancel(confused)
    for _time in range(closing.MAX_TRIES - 1):
        assert fresh(confused).state == "waiting", "the provider says there is a message, but shows none of this number"
        shop.later(6)
        settling.advance_due()
    assert (fresh(confused).state, shop.wallet(bob)) == ("cancelled", (500_000, 0))
    settling.close_strays_due()
    assert stray_refs() == [("released", "kept")]
    assert messages.of_activation(confused.id) == []


def test_the_end_of_a_window_shows_nobody_the_message_of_anothers_order(
    alice: User, bob: User, control: Control
) -> None:
    confused = confused_by_its_provider(alice, bob, control)
    shop.end_windows()
    for _time in range(closing.MAX_TRIES):
        settling.advance_due()
        shop.later(6)
    assert (fresh(confused).state, shop.wallet(bob)) == ("expired", (500_000, 0))
    assert messages.of_activation(confused.id) == []
