"""SMS as they arrive: from poll and webhook at once, again and again, and never charged twice."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from flask import Flask

from namaskah.auth.models import User
from namaskah.db import db, transaction
from namaskah.numbers import messages, polling, registry
from namaskah.numbers.models import Activation, Provider
from namaskah.numbers.polling import receive_push
from namaskah.providers.base import Listing, Sms
from tests.numbers import shop
from tests.numbers.shop import buy, fresh
from tests.support import Control

BOTH = pytest.mark.parametrize("name", shop.PROVIDERS)
TEXT = "Your WhatsApp code is 482-913. Don't share it."


def number_of(name: str, user: User) -> Activation:
    shop.only(name)
    return buy(user)


@BOTH
def test_webhook_and_poll_bring_one_message_once(name: str, app: Flask, alice: User, control: Control) -> None:
    activation = number_of(name, alice)
    ref = activation.provider_ref or ""
    control.sms(name, ref, TEXT)

    def push(_time: int) -> int:
        with app.app_context():
            try:
                return receive_push(name, ref, Sms(TEXT))
            finally:
                db.session.remove()

    def poll(_time: int) -> int:
        with app.app_context():
            try:
                return polling.poll(name)
            finally:
                db.session.remove()

    with ThreadPoolExecutor(8) as pool:
        pushed = [pool.submit(push, time) for time in range(4)]
        polled = [pool.submit(poll, time) for time in range(4)]
        assert sum(done.result() for done in pushed + polled) == 1
    [message] = messages.of_activation(activation.id)
    assert (message.code, message.body) == ("482913", TEXT)
    assert shop.ledger_lines(activation) == ["hold", "capture"]
    assert shop.events(activation).count("code") == 1


def test_a_text_from_the_webhook_and_its_bare_code_from_the_poll_are_one_message(alice: User) -> None:
    activation = number_of("herosms", alice)
    ref = activation.provider_ref or ""
    assert receive_push("herosms", ref, Sms(TEXT)) == 1
    assert receive_push("herosms", ref, Sms("482913", code="482913")) == 0
    assert receive_push("herosms", ref, Sms("482-913", code="482-913")) == 0
    assert len(messages.of_activation(activation.id)) == 1


@BOTH
def test_a_second_message_is_appended_and_costs_nothing(name: str, alice: User, control: Control) -> None:
    activation = number_of(name, alice)
    ref = activation.provider_ref or ""
    control.sms(name, ref, TEXT)
    assert polling.poll(name) == 1
    control.sms(name, ref, "And now 771204")
    assert polling.poll(name) == 1
    assert [message.code for message in messages.of_activation(activation.id)] == ["771204", "482913"]
    assert shop.wallet(alice) == (1_000_000 - activation.price_minor, 0)
    assert shop.ledger_lines(activation) == ["hold", "capture"]


@BOTH
def test_any_number_of_people_waiting_cost_one_listing_a_tick(name: str, alice: User, control: Control) -> None:
    many = [number_of(name, alice) for _ in range(6)]
    for activation in many[:3]:
        control.sms(name, activation.provider_ref or "", f"Your code is {activation.id}4829"[:40])
    before = control.calls()["counts"]
    with transaction():
        db.session.execute(db.update(Provider).values(poll_due_at=db.func.now()))
    assert polling.poll_due() == 3
    after = control.calls()["counts"]
    assert after[f"{name}/list"] == before.get(f"{name}/list", 0) + 1
    assert after.get(f"{name}/poll", 0) == before.get(f"{name}/poll", 0)
    assert polling.poll_due() == 0, "not its turn yet"
    assert control.calls()["counts"] == after


def test_nobody_waiting_means_nobody_is_asked(alice: User, control: Control) -> None:
    with transaction():
        db.session.execute(db.update(Provider).values(poll_due_at=db.func.now() - polling.LATE_TICK * 2))
    assert polling.poll_due() == 0
    assert control.calls()["counts"] == {}


def test_late_codes_are_looked_for_seldom_and_not_for_ever(alice: User, control: Control) -> None:
    activation = number_of("fivesim", alice)
    control.expire("fivesim", activation.provider_ref or "")
    shop.later(1_201)
    polling.poll("fivesim")
    assert fresh(activation).state == "expired"

    def listings(seconds_ago: int) -> int:
        with transaction():
            since = db.func.now() - db.func.make_interval(0, 0, 0, 0, 0, 0, seconds_ago)
            db.session.execute(db.update(Provider).values(poll_due_at=since))
        before = control.calls()["counts"].get("fivesim/list", 0)
        polling.poll_due()
        return int(control.calls()["counts"]["fivesim/list"]) - before

    assert (listings(5), listings(25)) == (0, 1)
    shop.later(31 * 60)
    assert listings(25) == 0


def test_a_provider_that_cannot_be_listed_is_left_alone_for_a_moment(alice: User, control: Control) -> None:
    number_of("fivesim", alice)
    control.fault("fivesim", "list", "reset", times=0)
    assert polling.poll_due() == 0
    asked = control.calls()["counts"]["fivesim/list"]
    assert polling.poll_due() == 0
    assert control.calls()["counts"]["fivesim/list"] == asked


def test_an_order_the_list_does_not_show_is_asked_for_by_itself(
    alice: User, control: Control, monkeypatch: pytest.MonkeyPatch
) -> None:
    activation = number_of("herosms", alice)
    control.sms("herosms", activation.provider_ref or "", TEXT)
    monkeypatch.setattr(registry.find("herosms"), "list_orders", lambda _pause: Listing())
    assert polling.poll("herosms") == 0, "it may not be listed yet"
    shop.later(60)
    assert polling.poll("herosms") == 1
    assert fresh(activation).state == "received"


def hidden_numbers(name: str, user: User, monkeypatch: pytest.MonkeyPatch) -> list[Activation]:
    """Seven numbers that a cut list does not show, in the order of their ends: it shows the two bought last."""
    many = [number_of(name, user) for _ in range(9)]
    shop.later(60)
    shop.cut_list(monkeypatch, name)
    return many[:7]


@BOTH
def test_no_order_missing_from_the_list_starves(
    name: str, alice: User, control: Control, monkeypatch: pytest.MonkeyPatch
) -> None:
    hidden = hidden_numbers(name, alice, monkeypatch)
    control.sms(name, hidden[-1].provider_ref or "", TEXT)
    assert sum(polling.poll(name) for _tick in range(3)) == 1
    assert fresh(hidden[-1]).state == "received"
    assert control.calls()["counts"][f"{name}/poll"] == 9, "three at a tick"


@BOTH
def test_where_the_list_was_cut_no_window_ends_unasked(
    name: str, alice: User, control: Control, monkeypatch: pytest.MonkeyPatch
) -> None:
    hidden = hidden_numbers(name, alice, monkeypatch)
    control.sms(name, hidden[-1].provider_ref or "", TEXT)
    shop.end_windows()
    polling.poll(name)
    assert [fresh(activation).state for activation in hidden] == ["expired"] * 3 + ["waiting"] * 4
    polling.poll(name)
    assert polling.poll(name) == 1
    assert [fresh(activation).state for activation in hidden] == ["expired"] * 6 + ["received"]


@BOTH
def test_where_the_list_was_cut_no_window_ends_unanswered(
    name: str, alice: User, control: Control, monkeypatch: pytest.MonkeyPatch
) -> None:
    hidden = hidden_numbers(name, alice, monkeypatch)
    shop.end_windows()
    control.fault(name, "poll", "reset", times=0)
    polling.poll(name)
    assert {fresh(activation).state for activation in hidden} == {"waiting"}


@BOTH
def test_a_row_that_cannot_be_read_keeps_nobody_from_their_code(
    name: str, alice: User, bob: User, control: Control
) -> None:
    sound, spoilt = number_of(name, alice), number_of(name, bob)
    for activation in (sound, spoilt):
        control.sms(name, activation.provider_ref or "", TEXT)
    control.fault(name, "list", "bad_row", times=0)
    assert polling.poll(name) == 1
    assert (fresh(sound).state, fresh(spoilt).state) == ("received", "waiting")
    shop.later(60)
    assert polling.poll(name) == 1, "its order by itself can be read"
    assert fresh(spoilt).state == "received"


@pytest.mark.parametrize(
    "text, code",
    [
        ("=HYPERLINK(1) 482913", "482913"),
        ("<script>alert(1)</script> code 482913", "482913"),
        ("رمزك هو ٤٨٢٩١٣", "482913"),
        ("x" * 5_000, None),
        ("Open https://example.com/confirm?c=1", None),
    ],
)
def test_any_text_is_kept_as_it_is_up_to_a_length(alice: User, control: Control, text: str, code: str | None) -> None:
    activation = number_of("fivesim", alice)
    control.sms("fivesim", activation.provider_ref or "", text)
    assert polling.poll("fivesim") == 1
    [message] = messages.of_activation(activation.id)
    assert (message.body, message.code) == (text[: messages.LONGEST_BODY], code)
    assert fresh(activation).state == "received"


def test_a_push_for_nothing_we_know_is_nothing(alice: User) -> None:
    number_of("herosms", alice)
    assert receive_push("herosms", "999999", Sms(TEXT)) == 0
    assert receive_push("nobody", "1", Sms(TEXT)) == 0
