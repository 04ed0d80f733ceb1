"""A provider that does not answer is not sold until it does: nobody's money is held for its sake without need."""

from datetime import timedelta

import pytest
from sqlalchemy import func, select, update

from namaskah.auth.models import User
from namaskah.db import db, transaction
from namaskah.numbers import activations, polling, routing, settling
from namaskah.numbers.models import Provider
from namaskah.providers.base import ProviderDown
from tests.numbers import shop
from tests.support import Control

NAME = "fivesim"


@pytest.fixture(autouse=True)
def only_one(alice: User) -> None:
    shop.only(NAME)


def rest() -> tuple[str | None, float]:
    """Why the provider rests, and for how many seconds from now."""
    db.session.rollback()
    left = func.extract("epoch", Provider.paused_until - func.now())
    reason, seconds = db.session.execute(select(Provider.paused_reason, left).where(Provider.name == NAME)).one()
    db.session.rollback()
    return reason, max(0.0, float(seconds or 0))


def list_unread(control: Control, kind: str = "reset") -> None:
    control.fault(NAME, "list", kind)
    with pytest.raises(ProviderDown):
        polling.poll(NAME)


def test_after_a_purchase_without_an_answer_the_next_customer_is_not_made_to_wait(
    alice: User, bob: User, control: Control
) -> None:
    control.fault(NAME, "buy", "reset_after")
    assert shop.buy(alice).state == "in_doubt"
    assert rest() == ("no_answer", pytest.approx(20, abs=3))
    with pytest.raises(activations.NothingOnSale, match="You have paid nothing"):
        activations.buy(bob, "whatsapp", "NG", "any", 10**9, shop.key())
    assert shop.wallet(bob) == (500_000, 0)
    polling.poll(NAME)  # the order is found, and what was read does not shorten this rest
    assert rest()[0] == "no_answer"


@pytest.mark.parametrize("kind", ["reset", "error", "html"])
def test_one_list_that_cannot_be_read_is_an_accident_and_two_are_an_outage(control: Control, kind: str) -> None:
    list_unread(control, kind)
    assert rest() == ("silent", 0)
    assert routing.routes("whatsapp", "NG")
    list_unread(control, kind)
    assert rest() == ("silent", pytest.approx(90, abs=3))
    assert routing.routes("whatsapp", "NG") == []
    polling.poll(NAME)
    assert rest() == (None, 0)
    assert routing.routes("whatsapp", "NG")


def test_a_list_read_in_between_makes_it_two_accidents(control: Control) -> None:
    for _time in range(2):
        list_unread(control)
        polling.poll(NAME)
    list_unread(control)
    assert rest() == ("silent", 0)


def test_an_accident_of_long_ago_counts_no_more(control: Control) -> None:
    list_unread(control)
    with transaction():
        ago = timedelta(minutes=5)
        db.session.execute(update(Provider).where(Provider.name == NAME).values(paused_until=func.now() - ago))
    list_unread(control)
    assert rest() == ("silent", 0)


def test_a_purchase_and_then_a_list_without_an_answer_are_an_outage(alice: User, control: Control) -> None:
    control.fault(NAME, "buy", "reset")
    shop.buy(alice)
    list_unread(control)
    assert rest() == ("silent", pytest.approx(90, abs=3))


def test_a_longer_rest_is_not_cut_short(control: Control) -> None:
    with transaction():
        until = {"paused_reason": "account_blocked", "paused_until": func.now() + timedelta(minutes=30)}
        db.session.execute(update(Provider).where(Provider.name == NAME).values(until))
    for _time in range(2):
        list_unread(control)
    polling.poll(NAME)
    assert rest() == ("account_blocked", pytest.approx(1800, abs=5))


def test_being_told_to_slow_down_is_no_silence(control: Control) -> None:
    for _time in range(2):
        list_unread(control, "rate_limited")
    assert rest() == (None, 0)


def test_the_sweep_finds_out_without_anybody_waiting(control: Control) -> None:
    """Nobody has bought anything, so nobody polls."""
    for _time in range(2):
        control.fault(NAME, "list", "error")
        due_now()
        assert settling.sweep_due() == 0
    assert rest()[0] == "silent"
    due_now()
    assert settling.sweep_due() == 1
    assert rest() == (None, 0)
    assert timedelta(seconds=20) < routing.SILENT_PAUSE - settling.SWEEP_EVERY, "a sweep takes its time to find out"


def due_now() -> None:
    with transaction():
        later = func.now() + timedelta(hours=1)
        db.session.execute(update(Provider).values(sweep_due_at=later))
        db.session.execute(update(Provider).where(Provider.name == NAME).values(sweep_due_at=func.now()))
