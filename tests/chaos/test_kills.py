"""Whatever is killed whenever, PostgreSQL and Redis among it: nothing is charged twice, nothing that was answered is
lost, nothing stays open, our books are the books of the providers and of the gateway.

The long one (`make soak`) is drawn from SEED and takes STEPS steps, KILLS kills and MINUTES minutes, as the environment
says: 10,000, 1,000 and 30.
"""

import os
import subprocess
import sys
import tempfile
import time
import urllib.error
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import cast

import pytest
from sqlalchemy import func, select, text

from namaskah.db import db, transaction
from namaskah.numbers.models import Activation, StrayOrder
from namaskah.wallet import ledger
from tests import support
from tests.chaos.own_servers import OwnServers, own_servers
from tests.chaos.stand import Browser, Stand, stand
from tests.chaos.storm import PROVIDERS, Storm, differences, explain, lost, unsettled, wallet_difference

SEED = int(os.environ.get("SEED", time.time_ns() % 100_000))
STEPS, KILLS, MINUTES = (int(os.environ.get(name, usual)) for name, usual in
                         {"STEPS": "10000", "KILLS": "1000", "MINUTES": "30"}.items())  # fmt: skip


@pytest.fixture
def servers() -> Iterator[OwnServers]:
    with tempfile.TemporaryDirectory(prefix="namaskah-chaos-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        with own_servers(folder) as made:
            yield made


@pytest.fixture
def installed(servers: OwnServers, settings: dict[str, str], tmp_path: Path) -> Iterator[Stand]:
    with stand(servers.settings(settings), "namaskah_chaos", tmp_path) as made:
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
                with suppress(urllib.error.HTTPError):  # the worker has just given it back
                    made.control.expire(provider, order["id"])


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
    assert lost(storm) == []
    assert check_ledger(made) == ""
    assert wallet_difference(storm) == 0
    twice = text("SELECT key FROM activations GROUP BY user_id, key HAVING count(*) > 1")
    assert db.session.scalars(twice).all() == []
    db.session.rollback()


def test_one_kill_of_each_kind(installed: Stand, servers: OwnServers) -> None:
    """The short one: our clock is moved, so that doubts end now instead of minutes later."""
    installed.control.settings(listing_lag_seconds=1, early_cancel_seconds=0)
    storm = Storm(installed, servers, SEED, steps=60, kills=5, seconds_between_kills=(1, 2.5), pause=0.6)
    print(f"\nseed {SEED}")
    storm.prepare()
    storm.run()
    started = time.monotonic()
    # Whoever asks a provider now has its answer, or its deadline.
    lately = "attempt_at > now() - interval '11 seconds'"
    asked = text(f"SELECT count(*) FROM activations WHERE state = 'buying' AND {lately}")
    support.wait_until(lambda: (db.session.rollback(), db.session.scalar(asked))[1] == 0, 15, "the last answer")
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
        time.sleep(1)
        if not unsettled() and not lost(storm):
            break
    print(report(storm, time.monotonic() - started))
    assert unsettled() == []
    assert_all_is_right(storm, installed)


@pytest.mark.soak
@pytest.mark.timeout(60 * MINUTES + 3600)
def test_a_thousand_kills(installed: Stand, servers: OwnServers) -> None:
    """The long one: real time, windows of a minute. A whole web server takes seconds to start, so most kills are of
    what is up again sooner."""
    installed.control.settings(window_seconds=60, listing_lag_seconds=2, early_cancel_seconds=0)
    victims = ("child",) * 8 + ("worker",) * 6 + ("redis",) * 3 + ("postgres",) * 2 + ("web",)
    between = 60 * MINUTES / KILLS
    storm = Storm(installed, servers, SEED, STEPS, KILLS, (0, 2 * between), victims, pause=0.3, presses=400)
    print(f"\nseed {SEED}")
    storm.prepare()
    began = time.monotonic()
    storm.run()
    started = time.monotonic()
    try:
        support.wait_until(lambda: not unsettled() and not lost(storm), 900, "the end of everything that was open")
    finally:
        print(f"{storm.counts['steps']} steps and {storm.kills} kills in {(started - began) / 60:.0f} minutes")
        print(report(storm, time.monotonic() - started))
    assert_all_is_right(storm, installed)


@pytest.fixture
def plain(settings: dict[str, str], worker_number: int, tmp_path: Path) -> Iterator[Stand]:
    """On the servers of all tests: nothing is killed here."""
    with stand(settings, f"namaskah_chaos_{worker_number}", tmp_path) as made:
        yield made


def test_what_nobody_booked_is_seen(plain: Stand) -> None:
    """The checks themselves: an order bought behind our back differs in orders and in costs, a gift in wallets, and
    what was answered and is not there is missed."""
    installed, none = plain, cast(OwnServers, None)
    storm = Storm(installed, none, SEED, steps=0, kills=0, seconds_between_kills=(0, 0))
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
    storm.paid.append("NK-lost")
    storm.bought.append((cast(Browser, None), "/activations/77"))
    assert lost(storm) == ["/activations/77", "NK-lost"]
