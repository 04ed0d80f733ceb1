"""What tests of buying share: a purchase, the worker's work done by hand, moved time, and both sides' books."""

import json
import uuid
from collections import Counter
from typing import Any

import pytest
from sqlalchemy import text, update

from namaskah import worker
from namaskah.auth.models import User
from namaskah.db import db, transaction
from namaskah.jobs import split
from namaskah.numbers import activations, polling, registry, routing, settling
from namaskah.numbers.models import Activation, ActivationEvent, Provider, StrayOrder
from namaskah.providers import fivesim, sms_activate
from namaskah.providers.base import ProviderDown
from namaskah.providers.listing import Lister
from namaskah.wallet import ledger
from tests.support import Control, make_user

PROVIDERS = ("fivesim", "herosms")
# The same goods in each provider's own words, for the sandbox's stock.
WHATSAPP_IN_NIGERIA = {"fivesim": "nigeria/whatsapp", "herosms": "19/wa"}


def key() -> str:
    return uuid.uuid4().hex


def buy(user: User, **more: Any) -> Activation:
    """Now, also from a provider that left the last purchase without an answer: its rest has tests of its own."""
    rested = update(Provider).where(Provider.paused_reason == routing.UNANSWERED)
    with transaction():
        db.session.execute(rested.values(paused_until=None, paused_reason=None))
    wanted: dict[str, Any] = {"service": "whatsapp", "country": "NG", "operator": "any", "max_price_minor": 10**9}
    return activations.buy(user, **(wanted | {"key": key()} | more))


def only(*names: str) -> None:
    """Buy from these providers alone."""
    with transaction():
        db.session.execute(update(Provider).where(Provider.name.not_in(names)).values(weight=0))


def prefer(name: str) -> None:
    """Ask this provider first, the others after it."""
    with transaction():
        db.session.execute(update(Provider).where(Provider.name == name).values(weight=100_000))


def sold_out(control: Control, *names: str) -> None:
    control.settings(stock={name: {WHATSAPP_IN_NIGERIA[name]: 0} for name in names})


def fresh(activation: Activation) -> Activation:
    """The row as it is in the database now."""
    db.session.rollback()
    return db.session.get_one(Activation, activation.id, populate_existing=True)


def later(seconds: float) -> None:
    """So much time passes for us (the sandbox's clock stays: see Control.expire and its settings)."""
    db.session.rollback()
    moved = {
        "activations": "created_at attempt_at due_at expires_at cancel_from cancel_requested_at received_at ended_at"
        " asked_again_at",
        "stray_orders": "created_at due_at",
        "providers": "poll_due_at sweep_due_at",
    }
    with transaction():
        for table, columns in moved.items():
            changes = ", ".join(f"{name} = {name} - make_interval(secs => :seconds)" for name in columns.split())
            db.session.execute(text(f"UPDATE {table} SET {changes}"), {"seconds": seconds})
    for name in registry._silent_until:
        registry._silent_until[name] -= seconds


def end_windows(seconds_ago: float = 10) -> None:
    """The windows of all waiting activations ended so long ago, and nobody has polled since."""
    db.session.rollback()
    ended = text(f"now() - interval '{seconds_ago} seconds'")
    with transaction():
        db.session.execute(
            update(Activation).where(Activation.state == "waiting").values(expires_at=ended, due_at=text("now()"))
        )


def cut_list(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """This provider's list has pages of two orders, and we read one of them."""
    for module in (fivesim, sms_activate):
        monkeypatch.setattr(module, "PAGE", 2)
    monkeypatch.setattr(fivesim, "SMALL_PAGE", 2)
    monkeypatch.setattr(registry.find(name), "_lister", Lister(name, "id", max_pages=1))


def work(rounds: int = 1) -> None:
    """What the worker does, by hand: lists every provider, takes up all that is due, runs the jobs."""
    db.session.rollback()
    for _round in range(rounds):
        for name in PROVIDERS:
            poll(name)
        while settling.advance_due():
            pass
        while settling.close_strays_due():
            pass
        run_jobs()


def poll(name: str) -> int:
    """Poll a provider; nothing when it is down."""
    try:
        return polling.poll(name)
    except ProviderDown:
        return 0


def sweep() -> None:
    with transaction():
        db.session.execute(update(Provider).values(sweep_due_at=text("now()")))
    while settling.sweep_due():
        pass


def book_balances() -> None:
    """Our books begin with what the providers hold of our money."""
    for name in registry.names():
        adapter = registry.ask(name)
        money = adapter.balance_micros()
        with transaction():
            ledger.provider_balance(name, adapter.currency, f"opening:{name}", money, "for a test")


def jobs() -> list[tuple[int, str, dict[str, Any]]]:
    """Jobs that wait, in order."""
    db.session.rollback()
    rows = db.session.execute(
        text("SELECT id, task_name, args FROM procrastinate_jobs WHERE status = 'todo' ORDER BY id")
    ).all()
    db.session.rollback()
    return [(row[0], row[1], row[2] if isinstance(row[2], dict) else json.loads(row[2])) for row in rows]


def run_jobs() -> None:
    for number, name, arguments in jobs():
        try:
            worker.TASKS[name](**split(arguments)[1])
        except ProviderDown:
            continue
        with transaction():
            db.session.execute(text("DELETE FROM procrastinate_events WHERE job_id = :id"), {"id": number})
            db.session.execute(text("DELETE FROM procrastinate_jobs WHERE id = :id"), {"id": number})


def end_everything(control: Control) -> None:
    """Let time pass, with healthy providers, until nothing is open on either side."""
    control.no_faults()
    control.settings(early_cancel_seconds=0)
    for name in PROVIDERS:
        for order in control.orders(name):
            if order["status"] in {"pending", "received", "retry"}:
                control.expire(name, order["id"])
    for _round in range(6):
        later(700)
        work()
        sweep()
    open_now = db.session.scalars(db.select(Activation.state).where(Activation.state.in_(activations.OPEN))).all()
    strays = db.session.scalars(db.select(StrayOrder.reason).where(StrayOrder.closed_at.is_(None))).all()
    assert (list(open_now), list(strays)) == ([], [])


def paid(name: str) -> tuple[int, int]:
    """By our books, in millionths, for orders alone: what a provider has of our money for good, and what it owes us."""
    found: Counter[str] = Counter()
    rows = db.session.execute(
        text(
            "SELECT a.kind, sum(amount) FROM ledger_accounts a JOIN ledger_entries e ON e.account_id = a.id"
            " JOIN ledger_transactions t ON t.id = e.transaction_id"
            " WHERE provider = :name AND t.reference LIKE 'order:%' GROUP BY a.kind"
        ),
        {"name": name},
    )
    for kind, amount in rows:
        found[kind] = int(amount)
    return found["provider_float"], -found["provider_receivable"]


def assert_books_agree(control: Control) -> None:
    """What the sandbox kept of our money is what our ledger says it kept, and it owes nothing."""
    db.session.rollback()
    for name in PROVIDERS:
        kept = {str(order["id"]): order["cost_micros"] for order in control.orders(name) if order["charged"]}
        assert paid(name) == (sum(kept.values()), 0), (name, paid(name), kept, paid_by_order(name))
    db.session.rollback()


def paid_by_order(name: str) -> dict[str, list[str]]:
    """What the ledger says of each of a provider's orders, for a test that fails."""
    found: dict[str, list[str]] = {}
    rows = db.session.execute(
        text("SELECT reference, kind FROM ledger_transactions WHERE reference LIKE :like ORDER BY id"),
        {"like": f"order:{name}:%"},
    )
    for reference, kind in rows:
        found.setdefault(reference.rpartition(":")[2], []).append(kind)
    return found


def wallet(user: User) -> tuple[int, int]:
    """Available and held."""
    db.session.rollback()
    balance = ledger.balance(user.id)
    return balance.available_minor, balance.held_minor


def ledger_lines(activation: Activation) -> list[str]:
    """Kinds of the ledger transactions of an activation, in order."""
    rows = db.session.execute(
        text("SELECT kind FROM ledger_transactions WHERE reference = :reference ORDER BY id"),
        {"reference": f"activation:{activation.id}"},
    )
    return [row[0] for row in rows]


def events(activation: Activation) -> list[str]:
    rows = db.session.scalars(
        db.select(ActivationEvent)
        .where(ActivationEvent.activation_id == activation.id)
        .order_by(ActivationEvent.id)
        .execution_options(populate_existing=True)
    )
    return [row.kind for row in rows]


def rich_user() -> User:
    """Somebody who can buy a hundred numbers."""
    return make_user(f"rich{uuid.uuid4().hex[:8]}@example.com", money=100_000_000)
