"""Whatever is killed whenever: nothing is charged twice, nothing stays open, our books are the providers' books."""

import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from urllib.error import HTTPError

import pytest
from sqlalchemy import func, select, text

from namaskah.db import db, transaction
from namaskah.numbers.models import Activation, StrayOrder
from namaskah.wallet import ledger
from tests import support
from tests.chaos.stand import Stand, stand
from tests.chaos.storm import PROVIDERS, Storm, differences, explain, unsettled, wallet_difference

SEED = int(os.environ.get("SEED", time.time_ns() % 100_000))


@pytest.fixture
def installed(settings: dict[str, str], worker_number: int, tmp_path: Path) -> Iterator[Stand]:
    with stand(settings, f"namaskah_chaos_{worker_number}", tmp_path) as made:
        yield made


def later(seconds: float) -> None:
    """So much time passes for us: every time that a decision looks at is moved into the past."""
    columns = {
        "activations": ("attempt_at", "due_at", "expires_at", "cancel_from"),
        "stray_orders": ("due_at",),
        "providers": ("poll_due_at", "sweep_due_at"),
    }
    with transaction():
        for table, names in columns.items():
            changes = ", ".join(f"{name} = {name} - make_interval(secs => :seconds)" for name in names)
            db.session.execute(text(f"UPDATE {table} SET {changes}"), {"seconds": seconds})


def check_ledger(made: Stand) -> str:
    """What the command of the same name prints: nothing."""
    command = [sys.executable, "-m", "flask", "--app", "wsgi", "ledger", "check"]
    environment = os.environ | made.environment
    done = subprocess.run(command, cwd=support.ROOT, env=environment, capture_output=True, text=True)
    return done.stdout + (done.stderr if done.returncode else "")


def end_all_windows(made: Stand) -> None:
    """Every order of the sandbox has run its time."""
    for provider in PROVIDERS:
        for order in made.control.orders(provider):
            if order["status"] in {"pending", "received", "retry"}:
                try:
                    made.control.expire(provider, order["id"])
                except HTTPError as error:
                    if error.code != 409:  # the worker, still at it, has ended it since
                        raise


def report(storm: Storm, settled_in: float) -> str:
    states = Counter(dict(db.session.execute(select(Activation.state, func.count()).group_by(Activation.state)).all()))
    ends = dict(db.session.execute(select(StrayOrder.outcome, func.count()).group_by(StrayOrder.outcome)).all())
    db.session.rollback()
    return (
        f"\nseed {storm.seed}: {sum(states.values())} activations {dict(states)}, strays {ends},"
        f" settled {settled_in:.0f} s after the last fault,"
        f" slowest start of the web server {storm.slowest_start:.0f} s\n{dict(sorted(storm.counts.items()))}"
    )


def assert_all_is_right(storm: Storm, made: Stand) -> None:
    different = differences(made.control)
    print("\n".join(map(explain, different)))
    assert different == []
    assert check_ledger(made) == ""
    assert wallet_difference(storm) == 0
    twice = text("SELECT key FROM activations GROUP BY user_id, key HAVING count(*) > 1")
    assert db.session.scalars(twice).all() == []
    db.session.rollback()


def test_forty_purchases_and_four_kills(installed: Stand) -> None:
    """The short one: our clock is moved, so that doubts end now instead of minutes later."""
    installed.control.settings(listing_lag_seconds=1, early_cancel_seconds=0)
    storm = Storm(installed, SEED, purchases=40, kills=4, seconds_between_kills=(1.5, 3.5), pause=0.6)
    print(f"\nseed {SEED}")
    storm.prepare()
    storm.run()
    started = time.monotonic()
    time.sleep(11)  # whoever asks a provider now has its answer, or its deadline
    for _ in range(8):
        later(100)
        time.sleep(2)
        if not [state for state, _count in unsettled() if state in ("buying", "in_doubt")]:
            break
    end_all_windows(installed)
    later(1500)
    # A slow machine takes its time for an activation whose provider is polled in turns: patience costs nothing here.
    for _ in range(40):
        later(120)
        time.sleep(2)
        if not unsettled():
            break
    print(report(storm, time.monotonic() - started))
    assert unsettled() == []
    assert_all_is_right(storm, installed)


@pytest.mark.soak
@pytest.mark.timeout(600)
def test_two_hundred_purchases_and_twenty_kills(installed: Stand) -> None:
    """The long one: real time, windows of a minute."""
    installed.control.settings(window_seconds=60, listing_lag_seconds=2, early_cancel_seconds=0)
    storm = Storm(installed, SEED, purchases=200, kills=20, seconds_between_kills=(2, 7), pause=1.2)
    print(f"\nseed {SEED}")
    storm.prepare()
    storm.run()
    started = time.monotonic()
    try:
        support.wait_until(lambda: unsettled() == [], 180, "the end of every activation and stray")
    finally:
        print(report(storm, time.monotonic() - started))
    assert_all_is_right(storm, installed)


def test_a_charge_nobody_booked_is_seen(installed: Stand) -> None:
    """The check itself: an order bought behind our back differs in orders and in costs, a gift in wallets."""
    storm = Storm(installed, SEED, purchases=0, kills=0, seconds_between_kills=(0, 0))
    storm.browsers = []
    assert (differences(installed.control), wallet_difference(storm)) == ([], 0)
    world = installed.control.sandbox.world
    account = world.accounts["fivesim"]
    offer = next(iter(account.shelf.offers))
    order = account.buy(offer[0], offer[1])
    found = differences(installed.control)
    assert len(found) == 2
    assert found[0].startswith(f"fivesim {order.id} is charged")
    user = support.make_user("gift@example.com")
    with transaction():
        ledger.adjust(user.id, "gift:1", 700, "test", "a gift")
    assert wallet_difference(storm) == 700
