"""The clock of a web server or a worker is wrong: what is due, over or too early is decided by PostgreSQL's alone."""

import re
import sys
from collections.abc import Iterator
from datetime import datetime, timedelta, tzinfo
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text, update

from namaskah.auth.models import User
from namaskah.db import db, transaction
from namaskah.numbers import closing
from namaskah.numbers.models import Activation
from namaskah.wallet import topups
from namaskah.wallet.models import TopUp
from tests.money.ledger_check import assert_money_is_right
from tests.numbers import shop
from tests.numbers.shop import buy, fresh
from tests.support import Control
from tests.wallet.counter import Counter

SHIFTS = [timedelta(hours=2), timedelta(hours=-2), timedelta(days=1), timedelta(days=-1)]
AMOUNT = 250_000
PACKAGE = Path(__file__).parents[2] / "namaskah"


def wrong_clock(shift: timedelta) -> type[datetime]:
    """`datetime` as a module of ours would know it on a machine whose clock is off by `shift`."""

    class Wrong(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> Any:
            return datetime.now(tz) + shift

    return Wrong


@pytest.fixture(params=SHIFTS, ids=str)
def shift(request: pytest.FixtureRequest, alice: User, control: Control) -> Iterator[timedelta]:
    """Every module of the product has this clock; the sandbox, which is somebody else's machine, keeps the right one.
    People of the test are made before, and books compared after."""
    with pytest.MonkeyPatch.context() as patch:
        wrong = wrong_clock(request.param)
        changed = 0
        for name, module in list(sys.modules.items()):
            is_ours = name.startswith("namaskah.") and not name.startswith("namaskah.sandbox")
            if is_ours and getattr(module, "datetime", None) is datetime:
                patch.setattr(module, "datetime", wrong)
                changed += 1
        assert changed > 10
        yield request.param
    shop.end_everything(control)
    shop.assert_books_agree(control)
    assert_money_is_right()


def test_what_decides_about_money_looks_at_no_clock_of_its_own() -> None:
    rooms = [*(PACKAGE / "numbers").glob("*.py"), *(PACKAGE / "reconciliation").glob("*.py")]
    rooms += [PACKAGE / f"wallet/{name}.py" for name in ("ledger", "topups", "events", "invoices", "house")]
    own = re.compile(r"datetime\.(now|utcnow)\(|\btime\.time\(|date\.today\(")
    assert len(rooms) > 30
    assert [file.name for file in rooms if own.search(file.read_text())] == []


@pytest.mark.parametrize("name", shop.PROVIDERS)
def test_a_window_is_as_long_as_it_is(name: str, shift: timedelta, alice: User, control: Control) -> None:
    shop.only(name)
    activation = buy(alice)
    seconds = {"fivesim": 900, "herosms": 1200}[name]
    left = text("SELECT extract(epoch FROM expires_at - now()) FROM activations")
    assert seconds - 15 < db.session.scalar(left) <= seconds + 1
    shop.later(seconds - 60)
    shop.work(rounds=2)
    assert fresh(activation).state == "waiting", "the customer's time is not over"
    assert shop.wallet(alice) == (1_000_000 - activation.price_minor, activation.price_minor)
    control.expire(name, activation.provider_ref or "")
    shop.later(75)
    shop.work(rounds=2)
    assert fresh(activation).state == "expired", "the money goes back no later than it should"
    assert shop.wallet(alice) == (1_000_000, 0)


def test_a_window_ends_by_itself_in_time(shift: timedelta, alice: User, control: Control) -> None:
    """The provider does not answer: what the worker does alone goes by the right clock too."""
    activation = buy(alice)
    control.fault(activation.provider_name, "*", "reset", times=0)
    shop.later(800)
    shop.work()
    assert fresh(activation).state == "waiting"
    shop.later(1250 - 800)
    shop.work(rounds=3)
    assert fresh(activation).state == "expired"
    control.no_faults()


def test_a_code_is_paid_for_once(shift: timedelta, alice: User, control: Control) -> None:
    activation = buy(alice)
    control.sms(activation.provider_name, activation.provider_ref or "", "Your code is 482913")
    shop.work(rounds=2)
    assert fresh(activation).state == "received"
    assert shop.ledger_lines(activation) == ["hold", "capture"]
    closing.ask_again(fresh(activation))
    shop.work()
    assert fresh(activation).state == "received", "its window is open"


def test_a_cancel_that_must_wait_waits_as_long_as_the_provider_wants(
    shift: timedelta, alice: User, control: Control
) -> None:
    control.settings(early_cancel_seconds=90)
    shop.only("herosms")
    activation = buy(alice)
    closing.cancel(activation)
    shop.work()
    assert fresh(activation).state == "waiting"
    with transaction():  # by our rules it may be given back now; the provider says that it may not
        db.session.execute(update(Activation).values(cancel_from=text("now()"), due_at=text("now()")))
    shop.work()
    waits = text("SELECT extract(epoch FROM due_at - now()) FROM activations")
    assert 60 < db.session.scalar(waits) <= 91
    control.settings(early_cancel_seconds=0)
    shop.later(95)
    shop.work()
    assert fresh(activation).state == "cancelled"
    assert shop.wallet(alice) == (1_000_000, 0)


def test_nothing_is_given_back_on_a_guess(shift: timedelta, alice: User, control: Control) -> None:
    shop.only("herosms")
    control.fault("herosms", "buy", "reset")
    activation = buy(alice)
    shop.work(rounds=2)
    assert fresh(activation).state == "in_doubt", "a list could not show it yet"
    shop.later(95)
    shop.work()
    assert fresh(activation).state == "failed"
    assert shop.wallet(alice) == (1_000_000, 0)


def test_a_doubt_still_finds_its_order(shift: timedelta, alice: User, control: Control) -> None:
    for name in shop.PROVIDERS:
        shop.only(name)
        with transaction():
            db.session.execute(text("UPDATE providers SET weight = 100 WHERE name = :name"), {"name": name})
        control.fault(name, "buy", "reset_after")
        activation = buy(alice)
        assert activation.state == "in_doubt"
        shop.work()
        assert fresh(activation).state == "waiting"


def test_an_order_nobody_wants_is_asked_about_later_and_not_without_end(
    shift: timedelta, alice: User, control: Control
) -> None:
    activation = buy(alice)
    control.fault(activation.provider_name, "*", "reset", times=0)
    shop.later(1400)
    shop.work(rounds=2)
    assert fresh(activation).state == "expired"
    waits = text("SELECT extract(epoch FROM due_at - now()) FROM stray_orders")
    assert 0 < db.session.scalar(waits) <= 600
    control.no_faults()


def test_a_payment_is_credited_and_an_unpaid_top_up_not_given_up_early(
    shift: timedelta, alice: User, counter: Counter
) -> None:
    paid = topups.open_top_up(alice, AMOUNT, shop.key()).reference
    unpaid = topups.open_top_up(alice, AMOUNT, shop.key()).reference
    counter.pay(paid)
    with transaction():
        db.session.execute(update(TopUp).values(check_at=text("now()")))
    assert topups.sweep_due() == 2
    assert topups.get_top_up(paid).state == "paid"
    assert topups.get_top_up(unpaid).state == "abandoned"
    assert topups.get_top_up(unpaid).check_at is not None
    assert shop.wallet(alice) == (1_000_000 + AMOUNT, 0)
