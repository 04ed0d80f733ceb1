"""The database is gone, and an operator has it back with the commands of docs/backups.md; its time and size are told at
the end of the tests' output. What happened after the backup is found at Paystack and the providers: credited or paid
once where we can know whose it is, named where we cannot."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import pytest
from flask import Flask
from sqlalchemy import select, text, update

from bench.big_ledger import fill
from namaskah import create_app
from namaskah.auth.models import User
from namaskah.backups import databases, sets
from namaskah.db import db, transaction
from namaskah.numbers import pricelists, settling
from namaskah.numbers.models import Activation, Provider, StrayOrder
from namaskah.reconciliation import findings, runs
from namaskah.sandbox import Sandbox
from namaskah.sandbox.charges import webhook_body
from namaskah.wallet import events, ledger, topups, unknown_payments
from namaskah.wallet.quotes import Quote
from tests import support
from tests.backups.conftest import Place
from tests.money.ledger_check import assert_money_is_right
from tests.numbers import shop
from tests.support import Control
from tests.wallet.counter import Counter

MANY = 2_000
TABLES = ("users", "activations", "top_ups", "ledger_transactions", "ledger_entries", "ledger_accounts", "audit_events")


@dataclass
class Host:
    """A machine with the settings of production, and a shell on it."""

    url: str
    environment: dict[str, str]

    def flask(self, *words: str) -> str:
        """What the command prints; it must succeed."""
        command = [sys.executable, "-m", "flask", "--app", "wsgi", *words]
        environment = os.environ | self.environment
        done = subprocess.run(command, cwd=support.ROOT, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def counted(self) -> dict[str, Any]:
        """Rows of what matters, and the money of each kind."""
        with databases.connection(self.url) as opened:
            found: dict[str, Any] = {table: opened.scalar(text(f"SELECT count(*) FROM {table}")) for table in TABLES}
            money = "SELECT a.kind, sum(e.amount) FROM ledger_entries e JOIN ledger_accounts a ON a.id = e.account_id"
            found["money"] = dict(opened.execute(text(f"{money} GROUP BY a.kind")).all())
        return found


@contextmanager
def installation_at(settings: dict[str, str], url: str) -> Iterator[Flask]:
    """The whole application on another database."""
    app = create_app(support.load_settings(settings | {"DATABASE_URL": url}))
    with app.app_context():
        yield app
        db.session.remove()
        db.engine.dispose()


@pytest.fixture
def host(place: Place, settings: dict[str, str]) -> Iterator[Host]:
    """With a database of thousands of purchases."""
    name = f"namaskah_destroyed_{os.getpid()}"
    url = support.clone_template(os.environ["TEST_DATABASE_URL"], name)
    with installation_at(settings, url) as app:
        pricelists.load()
        heavy = support.make_user("heavy@example.com")
        fill(app, MANY, 50, heavy.id, [("whatsapp", "NG"), ("telegram", "KE")])
    backups = {
        "BACKUP_STORE": str(place.root),
        "BACKUP_RECIPIENTS": ",".join(place.app.config["BACKUP_RECIPIENTS"]),
        "BACKUP_PROGRAMS": place.app.config["BACKUP_PROGRAMS"],
    }
    yield Host(url, settings | {"DATABASE_URL": url} | backups)
    with databases.maintenance(url) as server:
        databases.drop(server, name)


def test_destroyed_and_had_back_as_an_operator_does_it(place: Place, host: Host, record_property: Any) -> None:
    made = host.flask("backup", "create")
    before, name = host.counted(), databases.name_of(host.url)
    with databases.maintenance(host.url) as server:
        databases.drop(server, name)
        assert name not in server.scalars(text("SELECT datname FROM pg_database")).all()
        databases.create(server, name)
    identity = str(place.identity)
    started = time.monotonic()
    restored = host.flask("backup", "restore", "newest", "--identity", identity)
    restored_in = time.monotonic() - started
    assert "WRONG" not in restored and "Start one worker" in restored
    assert host.counted() == before
    started = time.monotonic()
    assert host.flask("backup", "drill", "--identity", identity).endswith("The drill succeeded.\n")
    drilled_in = time.monotonic() - started
    size = made.partition(": ")[2].strip()
    record_property(
        "told",
        f"backup of {MANY:,} activations ({before['ledger_entries']:,} entries): {size}; destroyed;"
        f" restored and checked in {restored_in:.1f} s, drilled in {drilled_in:.1f} s, commands' own start included",
    )


# ── An hour is missing ───────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def counter(app: Flask, sandbox: Sandbox) -> Counter:
    return Counter(sandbox)


@pytest.fixture
def booked_balances(app: Flask) -> None:
    shop.book_balances()


def opened(user: User, amount_minor: int) -> str:
    return topups.open_top_up(user, amount_minor, uuid4().hex).reference


def announce(counter: Counter, reference: str) -> None:
    """Paystack sends its webhook, the signature of which was right, and the worker acts on it."""
    stored = events.receive_event(webhook_body(counter.transaction(reference), counter.world.till.domain))
    events.handle_event(stored.id)


def sweep() -> None:
    with transaction():
        db.session.execute(update(Provider).values(sweep_due_at=text("now()"), paused_until=None))
    while settling.sweep_due():
        pass


def differences() -> set[tuple[str, str, str]]:
    runs.compare_now("a test")
    found = {(each.side, each.kind, each.subject) for each in findings.open_differences()}
    db.session.rollback()
    return found


@pytest.mark.usefixtures("booked_balances")
def test_what_happened_after_the_backup_is_credited_once_or_named(
    place: Place, settings: dict[str, str], alice: User, counter: Counter, control: Control, new_database: str
) -> None:
    """S32. Before the backup a checkout was opened and a number bought. After it the checkout is paid, the code comes;
    another checkout is opened and paid, two more numbers are bought, one of them gets its code. Then all is lost."""
    shop.only("fivesim")
    user_id = alice.id
    known, first = opened(alice, 200_000), shop.buy(alice)
    held = ledger.balance(user_id)
    db.session.rollback()
    name = place.make().name

    counter.pay(known)
    topups.settle(known)
    control.sms("fivesim", first.provider_ref or "", "Your code is 482913")
    unknown = opened(alice, 300_000)
    counter.pay(unknown)
    topups.settle(unknown)
    waiting, coded = shop.buy(alice), shop.buy(alice)
    control.sms("fivesim", coded.provider_ref or "", "Your code is 739120")
    shop.poll("fivesim")
    assert shop.fresh(first).state == shop.fresh(coded).state == "received"
    first_id, coded_ref, waiting_ref = first.id, coded.provider_ref, waiting.provider_ref
    db.session.rollback()

    asked, letters = control.calls()["counts"], len(control.mails("alice@example.com"))
    restored = place.run("restore", name, "--into", new_database, "--identity", str(place.identity))
    assert restored.exit_code == 0, restored.output
    assert (control.calls()["counts"], len(control.mails("alice@example.com"))) == (asked, letters), "nobody is called"

    with installation_at(settings, databases.named(place.app.config["DATABASE_URL"], new_database)):
        assert ledger.balance(user_id) == held
        for _time in range(2):  # whatever comes twice counts once
            announce(counter, known)
            announce(counter, unknown)
            shop.poll("fivesim")
            sweep()
            shop.later(130)
            while settling.close_strays_due():
                pass
            found = differences()
        now = ledger.balance(user_id)
        db.session.rollback()
        assert topups.get_top_up(known).state == "paid"
        assert db.session.get_one(Activation, first_id, populate_existing=True).state == "received"
        assert (now.available_minor, now.held_minor) == (held.available_minor + 200_000, 0)
        assert found == {("paystack", "unknown_payment", unknown)}, "whose it is, a person must find out"
        assert unknown_payments.credit(unknown, user_id, Quote(300_000, 0), "user:1", "its payer has written to us")
        announce(counter, unknown)
        assert differences() == set(), "and once a person has credited it, it is as any other"
        assert ledger.balance(user_id).available_minor == now.available_minor + 300_000
        kept = db.session.scalars(select(StrayOrder).filter_by(provider_ref=coded_ref)).one()
        assert (kept.outcome, kept.activation_id) == ("kept", None), "its cost is booked, its customer is not known"
        given_back = [order for order in control.orders("fivesim") if str(order["id"]) == waiting_ref]
        assert [order["status"] for order in given_back] == ["canceled"]
        assert support.broken_invariants() == []
    assert [found.name for found in sets.listed(place.store)] == [name]
    assert_money_is_right()
