"""Every way an activation ends: what the customer gets back, what both sides' books say, what the page can tell."""

import time
from collections.abc import Callable

import pytest
from flask import Flask
from sqlalchemy import select, update

from namaskah.auth.models import User
from namaskah.db import db, transaction
from namaskah.errors import UserError
from namaskah.numbers import activations, closing, messages, polling, registry, settling
from namaskah.numbers.models import Activation, StrayOrder
from namaskah.providers.base import ProviderDown
from namaskah.wallet import statement
from tests.numbers import shop
from tests.numbers.shop import buy, fresh
from tests.support import Control

BOTH = pytest.mark.parametrize("name", shop.PROVIDERS)


def bought_from(name: str, user: User) -> Activation:
    shop.only(name)
    activation = buy(user)
    assert activation.state == "waiting"
    return activation


def ref(activation: Activation) -> str:
    assert activation.provider_ref is not None
    return activation.provider_ref


def order_of(activation: Activation, control: Control) -> dict[str, object]:
    return next(o for o in control.orders(activation.provider_name) if str(o["id"]) == activation.provider_ref)


def unlock(activation: Activation, control: Control) -> None:
    """The minutes in which the provider takes nothing back are over."""
    control.settings(early_cancel_seconds=0)
    with transaction():
        db.session.execute(update(Activation).values(cancel_from=activation.created_at))


def assert_money_back(user: User, activation: Activation, state: str, reason: str) -> None:
    now = fresh(activation)
    assert (now.state, now.end_reason) == (state, reason)
    assert shop.wallet(user) == (1_000_000, 0)
    assert shop.ledger_lines(activation) == ["hold", "release"]
    assert shop.events(activation)[-1] == "money_back"
    released, held = statement.statement(user.id, "bought").rows[:2]
    assert (released.kind, released.amount_minor, held.amount_minor) == (
        "release",
        activation.price_minor,
        -activation.price_minor,
    )
    assert "WhatsApp, Nigeria" in released.text and "money back" in released.text
    db.session.rollback()


# ── The window goes by ───────────────────────────────────────────────────────────────────────────────────────────────


@BOTH
def test_without_a_code_the_money_comes_back_when_the_window_is_over(name: str, alice: User, control: Control) -> None:
    activation = bought_from(name, alice)
    control.expire(name, ref(activation))
    shop.later(1_201)
    polling.poll(name)
    assert_money_back(alice, activation, "expired", "no_code")
    assert shop.events(activation) == ["bought", "number", "money_back"]
    shop.work()
    shop.assert_books_agree(control)


@BOTH
def test_the_money_comes_back_in_time_even_if_the_provider_keeps_the_order_open(
    name: str, alice: User, control: Control
) -> None:
    activation = bought_from(name, alice)
    shop.later(1_201)
    polling.poll(name)
    assert_money_back(alice, activation, "expired", "no_code")
    assert order_of(activation, control)["status"] == "pending"
    control.settings(early_cancel_seconds=0)
    shop.work()
    assert order_of(activation, control)["status"] == "canceled"
    shop.assert_books_agree(control)


@BOTH
def test_the_worker_ends_a_window_by_itself_when_nobody_polls(name: str, alice: User, control: Control) -> None:
    activation = bought_from(name, alice)
    control.expire(name, ref(activation))
    shop.end_windows()
    assert settling.advance_due() == 1
    assert_money_back(alice, activation, "expired", "no_code")
    shop.assert_books_agree(control)


@BOTH
def test_a_code_that_came_in_the_last_moment_is_not_missed(name: str, alice: User, control: Control) -> None:
    activation = bought_from(name, alice)
    control.sms(name, ref(activation), "Your code is 482913")
    shop.end_windows()
    settling.advance_due()
    assert fresh(activation).state == "received"
    assert shop.wallet(alice) == (1_000_000 - activation.price_minor, 0)
    shop.work()
    assert fresh(activation).state == "finished"


@BOTH
def test_any_number_of_windows_end_with_one_listing(name: str, app: Flask, control: Control) -> None:
    shop.only(name)
    app.config["MAX_OPEN_ACTIVATIONS"], before = 100, app.config["MAX_OPEN_ACTIVATIONS"]
    try:
        user = shop.rich_user()
        many = [buy(user) for _ in range(20)]
    finally:
        app.config["MAX_OPEN_ACTIVATIONS"] = before
    shop.later(1_201)
    calls = control.calls()["counts"].get(f"{name}/list", 0)
    polling.poll(name)
    assert {fresh(activation).state for activation in many} == {"expired"}
    assert control.calls()["counts"][f"{name}/list"] <= calls + 2, "a full page is followed by a look at the next"
    assert control.calls()["counts"].get(f"{name}/poll", 0) <= polling.SINGLES


@BOTH
def test_a_dead_provider_delays_nobodys_refund(name: str, alice: User, control: Control) -> None:
    first, second = bought_from(name, alice), buy(alice)
    shop.end_windows()
    control.fault(name, "*", "reset", times=0)
    for _round in range(closing.MAX_TRIES):
        assert {fresh(first).state, fresh(second).state} == {"waiting"}
        shop.work()
        shop.later(6)
    assert {fresh(first).state, fresh(second).state} == {"expired"}
    assert shop.wallet(alice) == (1_000_000, 0)
    assert shop.paid(name)[1] > 0, "the provider owes us"
    shop.end_everything(control)
    shop.assert_books_agree(control)


def test_a_dead_provider_costs_a_long_queue_one_deadline(alice: User, control: Control) -> None:
    bought_from("fivesim", alice)
    for _more in range(4):
        buy(alice)
    shop.end_windows()
    control.fault("fivesim", "*", "reset", times=0)
    before = sum(control.calls()["counts"].values())
    while settling.advance_due():
        pass
    assert sum(control.calls()["counts"].values()) == before + 1


def test_when_too_many_wait_for_a_slow_provider_the_customers_do_not(alice: User, control: Control) -> None:
    activation = bought_from("herosms", alice)
    control.sms("herosms", ref(activation), "Your code is 482913")
    shop.end_windows(seconds_ago=41)
    asked = control.calls()["counts"]
    assert settling.advance_due() == 1
    assert control.calls()["counts"] == asked
    assert_money_back(alice, activation, "expired", "no_code")
    shop.work()
    [message] = messages.of_activation(activation.id)
    assert message.is_late, "the order's fate is found out afterwards, at our cost"
    shop.assert_books_agree(control)


def test_those_of_another_provider_come_before_more_of_a_provider_that_is_being_asked(
    alice: User, control: Control, monkeypatch: pytest.MonkeyPatch
) -> None:
    theirs = bought_from("fivesim", alice)
    with transaction():
        db.session.execute(update(activations.routing.Provider).values(weight=100))
    shop.only("herosms")
    other = buy(alice)
    shop.end_windows()
    with transaction():
        db.session.execute(
            update(Activation).where(Activation.id == theirs.id).values(due_at=Activation.due_at - closing.RETRY)
        )
    monkeypatch.setitem(settling._being_asked, "fivesim", 1)
    settling.advance_due()
    assert (fresh(theirs).state, fresh(other).state) == ("waiting", "expired")


def test_a_provider_taken_out_of_the_settings_cannot_keep_the_money(app: Flask, alice: User, control: Control) -> None:
    activation = bought_from("herosms", alice)
    adapter = app.extensions["providers"].pop("herosms")
    try:
        shop.end_windows()
        for _round in range(closing.MAX_TRIES):
            settling.advance_due()
            shop.later(6)
        assert_money_back(alice, activation, "expired", "no_code")
        settling.close_strays_due()
    finally:
        app.extensions["providers"]["herosms"] = adapter
    shop.end_everything(control)
    shop.assert_books_agree(control)


@BOTH
def test_an_order_that_the_provider_ends_early_is_paid_back_at_once(name: str, alice: User, control: Control) -> None:
    activation = bought_from(name, alice)
    shop.later(60)
    control.expire(name, ref(activation))
    polling.poll(name)
    assert_money_back(alice, activation, "expired", "provider_closed")
    shop.assert_books_agree(control)


@pytest.mark.parametrize("ends_it", [polling.poll, lambda _name: settling.advance_due()], ids=["poll", "worker"])
def test_a_code_after_the_provider_had_paid_us_back_costs_the_customer_nothing(
    ends_it: Callable[[str], int], alice: User, control: Control
) -> None:
    activation = bought_from("fivesim", alice)
    control.expire("fivesim", ref(activation))
    control.sms("fivesim", ref(activation), "Your code is 482913")
    shop.end_windows()
    ends_it("fivesim")
    polling.poll("fivesim")
    assert (fresh(activation).state, shop.wallet(alice)) == ("expired", (1_000_000, 0))
    [message] = messages.of_activation(activation.id)
    assert (message.code, message.is_late) == ("482913", True)
    shop.assert_books_agree(control)


# ── The customer cancels ─────────────────────────────────────────────────────────────────────────────────────────────


def test_where_the_provider_allows_it_a_cancel_is_done_at_once(alice: User, control: Control) -> None:
    activation = bought_from("fivesim", alice)
    closing.cancel(activation)
    assert_money_back(alice, activation, "cancelled", "customer_cancelled")
    assert shop.events(activation) == ["bought", "number", "cancel_wanted", "money_back"]
    assert order_of(activation, control)["status"] == "canceled"
    shop.assert_books_agree(control)


def test_where_it_is_too_early_the_wish_is_kept_and_carried_out(alice: User, control: Control) -> None:
    activation = bought_from("herosms", alice)
    closing.cancel(activation)
    shop.work()
    waiting = fresh(activation)
    assert (waiting.state, waiting.cancel_reason) == ("waiting", "customer_cancelled")
    assert order_of(activation, control)["status"] == "pending"
    control.settings(early_cancel_seconds=0)
    shop.later(121)
    assert settling.advance_due() == 1
    assert_money_back(alice, activation, "cancelled", "customer_cancelled")
    shop.assert_books_agree(control)


def test_a_provider_that_says_too_early_is_asked_again_and_the_page_knows_when(alice: User, control: Control) -> None:
    control.settings(early_cancel_seconds=40)
    activation = bought_from("fivesim", alice)
    closing.cancel(activation)
    put_off = fresh(activation)
    assert put_off.state == "waiting" and put_off.tries == 0
    assert put_off.cancel_from and put_off.cancel_from > put_off.created_at
    control.settings(early_cancel_seconds=0)
    shop.later(16)
    shop.work()
    assert_money_back(alice, activation, "cancelled", "customer_cancelled")


def test_too_early_is_no_silence(alice: User, control: Control) -> None:
    control.settings(early_cancel_seconds=400)
    activation = bought_from("fivesim", alice)
    closing.cancel(activation)
    for _time in range(4):
        shop.later(16)
        shop.work()
    assert fresh(activation).state == "waiting"
    control.fault("fivesim", "cancel", "reset")
    shop.later(16)
    shop.work()
    assert fresh(activation).state == "waiting"


def test_a_code_that_comes_before_a_queued_cancel_is_paid_for_and_shown(alice: User, control: Control) -> None:
    activation = bought_from("herosms", alice)
    closing.cancel(activation)
    control.sms("herosms", ref(activation), "Your code is 482913")
    control.settings(early_cancel_seconds=0)
    shop.later(121)
    settling.advance_due()
    assert fresh(activation).state == "received"
    assert shop.wallet(alice) == (1_000_000 - activation.price_minor, 0)
    with pytest.raises(activations.NotNow):
        closing.cancel(fresh(activation))
    assert [message.code for message in messages.of_activation(activation.id)] == ["482913"]


@BOTH
def test_a_code_that_comes_while_cancelling_wins(name: str, alice: User, control: Control) -> None:
    activation = bought_from(name, alice)
    unlock(activation, control)
    control.sms(name, ref(activation), "Your code is 482913")
    closing.cancel(fresh(activation))
    assert fresh(activation).state == "received"
    assert shop.ledger_lines(activation) == ["hold", "capture"]


@BOTH
def test_a_lost_answer_to_a_cancel_is_no_lost_money(name: str, alice: User, control: Control) -> None:
    activation = bought_from(name, alice)
    unlock(activation, control)
    control.fault(name, "cancel", "reset_after")
    closing.cancel(fresh(activation))
    assert fresh(activation).state == "waiting"
    registry._silent_until.clear()
    shop.later(6)
    shop.work()
    assert_money_back(alice, activation, "cancelled", "customer_cancelled")
    shop.assert_books_agree(control)


def test_pressing_cancel_again_and_again_does_not_make_a_silent_provider_more_silent(
    alice: User, control: Control
) -> None:
    activation = bought_from("fivesim", alice)
    control.fault("fivesim", "cancel", "reset", times=0)
    for _press in range(5):
        closing.cancel(fresh(activation))
    assert (fresh(activation).state, fresh(activation).tries) == ("waiting", 1)
    control.no_faults()
    control.sms("fivesim", ref(activation), "Your code is 482913")
    registry._silent_until.clear()
    shop.later(6)
    shop.work()
    assert fresh(activation).state == "received", "the code is not given away"
    assert shop.ledger_lines(activation) == ["hold", "capture"]


def test_a_provider_that_was_not_asked_has_not_been_silent_again(alice: User, control: Control) -> None:
    activation = bought_from("fivesim", alice)
    control.fault("fivesim", "cancel", "reset", times=0)
    closing.cancel(activation)
    for _time in range(4):
        closing.close(fresh(activation))
    assert (fresh(activation).state, fresh(activation).tries) == ("waiting", 1)


def test_a_refund_waits_no_longer_than_a_minute_for_a_provider_that_answers_nobody(
    alice: User, control: Control
) -> None:
    activation = bought_from("fivesim", alice)
    control.fault("fivesim", "cancel", "reset", times=0)
    closing.cancel(activation)
    shop.later(58)
    registry._silent_until["fivesim"] = time.monotonic() + 60
    closing.close(fresh(activation))
    assert fresh(activation).state == "waiting"
    shop.later(3)
    registry._silent_until["fivesim"] = time.monotonic() + 60
    closing.close(fresh(activation))
    assert_money_back(alice, activation, "cancelled", "customer_cancelled")


def test_cancelling_what_is_over_says_so(alice: User) -> None:
    activation = bought_from("fivesim", alice)
    closing.cancel(activation)
    with pytest.raises(activations.NotNow):
        closing.cancel(activation)
    assert shop.ledger_lines(activation) == ["hold", "release"]


@BOTH
def test_a_late_code_is_shown_flagged_and_free(name: str, alice: User, control: Control) -> None:
    activation = bought_from(name, alice)
    unlock(activation, control)
    closing.cancel(fresh(activation))
    control.sms(name, ref(activation), "Your code is 482913")
    if name == "fivesim":  # the other protocol lists no closed orders: there the webhook brings it
        assert polling.poll(name) == 1
        assert polling.poll(name) == 0
    else:
        polling.receive_push(name, ref(activation), messages.Sms("Your code is 482913"))
    assert_is_late(alice, activation)


def assert_is_late(user: User, activation: Activation) -> None:
    [message] = messages.of_activation(activation.id)
    assert (message.code, message.is_late) == ("482913", True)
    assert fresh(activation).state == "cancelled"
    assert shop.wallet(user) == (1_000_000, 0)
    assert shop.events(activation)[-1] == "late_sms"
    assert shop.ledger_lines(activation) == ["hold", "release"]


def test_a_code_after_the_refund_of_an_order_the_provider_kept_is_free_and_our_cost(
    alice: User, control: Control
) -> None:
    activation = bought_from("herosms", alice)
    shop.later(1_201)
    polling.poll("herosms")
    control.sms("herosms", ref(activation), "Your code is 482913")
    shop.work()
    [message] = messages.of_activation(activation.id)
    assert message.is_late and shop.wallet(alice) == (1_000_000, 0)
    shop.end_everything(control)
    assert order_of(activation, control)["charged"] is True
    shop.assert_books_agree(control)


# ── The number was used already ──────────────────────────────────────────────────────────────────────────────────────


def test_a_used_number_is_replaced_at_once_for_the_same_price(alice: User, control: Control) -> None:
    activation = bought_from("fivesim", alice)
    closing.cancel(activation, "number_used", replace=True)
    new = closing.find_replacement(activation)
    assert new is not None and new.state == "waiting" and new.replaces_id == activation.id
    assert new.price_minor <= activation.price_minor and new.phone != activation.phone
    assert order_of(activation, control)["status"] == "banned"
    shop.run_jobs()
    assert len(control.orders("fivesim")) == 2, "the job that stands behind it buys no second one"
    assert shop.wallet(alice) == (1_000_000 - new.price_minor, new.price_minor)
    shop.assert_books_agree(control)


def test_a_replacement_is_preferably_of_another_provider(alice: User, control: Control) -> None:
    shop.prefer("fivesim")
    activation = buy(alice)
    assert activation.provider_name == "fivesim"
    closing.cancel(activation, "number_used", replace=True)
    new = closing.find_replacement(activation)
    assert new is not None and new.provider_name == "herosms"


def test_a_queued_replacement_is_carried_out_by_the_worker(alice: User, control: Control) -> None:
    activation = bought_from("herosms", alice)
    closing.cancel(activation, "number_used", replace=True)
    assert closing.find_replacement(activation) is None
    control.settings(early_cancel_seconds=0)
    shop.later(121)
    settling.advance_due()
    assert [job[1] for job in shop.jobs()] == ["replace_number"]
    shop.run_jobs()
    new = closing.find_replacement(activation)
    assert new is not None and new.state == "waiting"


def test_a_replacement_is_bought_even_if_the_poll_ends_the_first_number(alice: User, control: Control) -> None:
    activation = bought_from("fivesim", alice)
    control.fault("fivesim", "ban", "reset_after")
    closing.cancel(activation, "number_used", replace=True)
    polling.poll("fivesim")
    assert_money_back(alice, activation, "cancelled", "number_used")
    shop.run_jobs()
    new = closing.find_replacement(activation)
    assert new is not None and new.state == "waiting"


def test_without_another_number_the_money_is_simply_back(alice: User, control: Control) -> None:
    activation = bought_from("fivesim", alice)
    shop.sold_out(control, "fivesim")
    closing.cancel(activation, "number_used", replace=True)
    shop.run_jobs()
    new = closing.find_replacement(activation)
    assert new is not None and new.state == "failed"
    assert shop.wallet(alice) == (1_000_000, 0)
    shop.assert_books_agree(control)


def test_a_replacement_nobody_waits_for_any_more_is_not_bought(alice: User, control: Control) -> None:
    activation = bought_from("herosms", alice)
    closing.cancel(activation, "number_used", replace=True)
    control.settings(early_cancel_seconds=0)
    shop.later(121)
    settling.advance_due()
    shop.later(3_600)
    shop.run_jobs()
    assert closing.find_replacement(activation) is None


# ── Another code, done ───────────────────────────────────────────────────────────────────────────────────────────────


def received_from(name: str, user: User, control: Control) -> Activation:
    activation = bought_from(name, user)
    control.sms(name, ref(activation), "Your code is 482913")
    assert polling.poll(name) == 1
    return fresh(activation)


@BOTH
def test_another_code_costs_nothing_more(name: str, alice: User, control: Control) -> None:
    activation = received_from(name, alice, control)
    closing.ask_again(activation)
    assert polling.poll(name) == 0
    assert fresh(activation).asked_again_at is not None
    control.sms(name, ref(activation), "Your code is 771204")
    assert polling.poll(name) == 1
    assert [message.code for message in messages.of_activation(activation.id)] == ["771204", "482913"]
    assert fresh(activation).asked_again_at is None
    assert shop.ledger_lines(activation) == ["hold", "capture"]
    assert shop.events(activation) == ["bought", "number", "code", "asked_again", "code"]


@BOTH
def test_the_same_code_once_more_is_another_code_too(name: str, alice: User, control: Control) -> None:
    activation = received_from(name, alice, control)
    closing.ask_again(activation)
    assert polling.poll(name) == 0
    assert fresh(activation).asked_again_at is not None, "5sim lists the old message still, which is no new one"
    control.sms(name, ref(activation), "Your code is 482913")
    if name == "herosms":
        assert polling.poll(name) == 0
        assert fresh(activation).asked_again_at is not None, "its list may be of before we asked"
        shop.later(31)
    assert polling.poll(name) == 0
    now = fresh(activation)
    assert (now.state, now.asked_again_at) == ("received", None)
    assert shop.events(activation) == ["bought", "number", "code", "asked_again", "code"]
    assert shop.ledger_lines(activation) == ["hold", "capture"]


def test_a_provider_that_hides_the_old_message_has_not_sent_a_new_one(alice: User, control: Control) -> None:
    activation = received_from("herosms", alice, control)
    closing.ask_again(activation)
    shop.later(31)
    assert polling.poll("herosms") == 0
    assert fresh(activation).asked_again_at is not None
    polling.receive_push("herosms", ref(activation), messages.Sms("Your code is 482913"))
    assert fresh(activation).asked_again_at is not None, "webhooks are repeated"


def test_another_code_is_refused_in_words_when_it_cannot_be(app: Flask, alice: User, control: Control) -> None:
    activation = bought_from("fivesim", alice)
    with pytest.raises(activations.NotNow):
        closing.ask_again(activation)
    received = received_from("fivesim", alice, control)
    control.fault("fivesim", "poll", "reset")
    with pytest.raises(UserError) as refusal:
        closing.ask_again(received)
    assert refusal.value.status == 503
    registry._silent_until.clear()
    control.expire("fivesim", ref(received))
    with pytest.raises(activations.NotNow):
        closing.ask_again(received)
    shop.later(1_201)
    with pytest.raises(activations.NotNow):
        closing.ask_again(fresh(received))


@BOTH
def test_done_tells_the_provider_in_a_job_that_is_tried_again(name: str, alice: User, control: Control) -> None:
    activation = received_from(name, alice, control)
    closing.finish(activation)
    closing.finish(activation)
    assert fresh(activation).state == "finished"
    [(_number, task, arguments)] = shop.jobs()
    assert task == "finish_order"
    control.fault(name, "finish", "reset")
    with pytest.raises(ProviderDown):
        closing.finish_order(**arguments)
    shop.run_jobs()
    assert shop.jobs() == []
    assert order_of(activation, control)["status"] == "finished"
    shop.assert_books_agree(control)


def test_finish_needs_a_code(alice: User) -> None:
    with pytest.raises(activations.NotNow):
        closing.finish(bought_from("fivesim", alice))


@BOTH
def test_after_a_code_the_end_of_the_window_is_just_the_end(name: str, alice: User, control: Control) -> None:
    activation = received_from(name, alice, control)
    shop.later(1_201)
    shop.work()
    assert fresh(activation).state == "finished"
    assert shop.wallet(alice) == (1_000_000 - activation.price_minor, 0)
    assert db.session.scalar(select(StrayOrder.id)) is None
    shop.end_everything(control)
    shop.assert_books_agree(control)
