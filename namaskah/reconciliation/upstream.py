"""A provider's orders and balance against our activations and books."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from flask import current_app
from sqlalchemy import func, select, text

from namaskah.db import db, leave_database
from namaskah.numbers import registry
from namaskah.numbers.models import CAPTURED, Activation, StrayOrder
from namaskah.providers.base import Order, OrderStatus, Provider
from namaskah.reconciliation.findings import Found
from namaskah.wallet import ledger

SCALE = 6
# Our books may move between reading them and hearing the balance; a quiet moment comes soon.
TRIES = 3

OWED = """
    SELECT split_part(due.reference, ':', 2) AS provider, a.currency, count(*) AS orders, -sum(e.amount) AS micros,
           min(due.created_at) AS oldest,
           -coalesce(sum(e.amount) FILTER (WHERE due.created_at < now() - interval '7 days'), 0) AS old_micros
      FROM ledger_transactions due
      JOIN ledger_entries e ON e.transaction_id = due.id
      JOIN ledger_accounts a ON a.id = e.account_id AND a.kind = 'provider_receivable'
     WHERE due.kind = 'provider_refund_due'
       AND NOT EXISTS (SELECT FROM ledger_transactions done WHERE done.idempotency_key IN
                       ('provider_refund:' || due.reference, 'provider_kept:' || due.reference))
     GROUP BY 1, 2 ORDER BY 1
"""


@dataclass(frozen=True)
class Owed:
    """What a provider owes for orders that ended without a code, in millionths; `old_micros` for over a week."""

    provider: str
    currency: str
    orders: int
    micros: int
    oldest: datetime
    old_micros: int


def compare(name: str) -> tuple[int, list[Found]]:
    """How many orders were compared with this provider, and what does not agree. Raises ProviderDown."""
    adapter = registry.ask(name)
    leave_database()
    listing = adapter.list_orders()
    found = list(_compare_orders(adapter, listing.orders))
    return len(listing.orders), [*found, *_compare_balance(adapter)]


def owed() -> list[Owed]:
    """What is owed to us, by provider."""
    return [Owed(**row) for row in db.session.execute(text(OWED)).mappings()]


def _compare_orders(adapter: Provider, orders: tuple[Order, ...]) -> Iterator[Found]:
    # Looked at first: one that gets its answer from here on is among ours below.
    under_way = _open_purchases(adapter.name)
    ours = {
        activation.provider_ref: activation
        for activation in db.session.scalars(
            select(Activation)
            .where(
                Activation.provider_name == adapter.name,
                Activation.provider_ref.in_([order.provider_ref for order in orders]),
            )
            .execution_options(populate_existing=True)
        )
    }
    strays = set(db.session.scalars(select(StrayOrder.provider_ref).where(StrayOrder.provider_name == adapter.name)))
    for order in orders:
        activation = ours.get(order.provider_ref)
        if activation is None:
            # A purchase whose answer is on its way owns one; a stray has its own list, and is being closed.
            if order.provider_ref not in strays and not under_way and order.status is not OrderStatus.REFUNDED:
                yield _found(adapter, "unknown_order", order.provider_ref, order.cost_micros, None)
        elif order.cost_micros is not None and order.cost_micros != activation.cost_micros:
            yield _found(adapter, "order_cost", order.provider_ref, order.cost_micros, activation.cost_micros)
        elif order.status is OrderStatus.REFUNDED and activation.state in CAPTURED:
            yield _found(adapter, "refunded_there", order.provider_ref, 0, activation.cost_micros)


def _compare_balance(adapter: Provider) -> Iterator[Found]:
    for _try in range(TRIES):
        before = ledger.provider_float_micros(adapter.name, adapter.currency)
        leave_database()
        theirs = registry.ask(adapter.name).balance_micros()
        ours = ledger.provider_float_micros(adapter.name, adapter.currency)
        if before == ours:
            break
    unexplained = theirs - ours
    if -_unbooked(adapter.name) <= unexplained <= 0:
        return  # orders that nobody has booked yet explain it
    yield _found(adapter, "balance", adapter.name, theirs, ours)


def _unbooked(name: str) -> int:
    """What orders may have cost at this provider that our books do not know of yet, in millionths."""
    doubtful = select(func.sum(Activation.cost_micros)).where(
        Activation.provider_name == name, Activation.state.in_(("buying", "in_doubt"))
    )
    unclaimed = select(func.sum(StrayOrder.cost_micros)).where(
        StrayOrder.provider_name == name, StrayOrder.closed_at.is_(None), StrayOrder.tries == 0
    )
    return int(db.session.scalar(doubtful) or 0) + int(db.session.scalar(unclaimed) or 0)


def _open_purchases(name: str) -> bool:
    wanted = select(Activation.id).where(Activation.provider_name == name, Activation.state.in_(("buying", "in_doubt")))
    return db.session.scalar(wanted.limit(1)) is not None


def _found(adapter: Provider, kind: str, subject: str, theirs: int | None, ours: int | None) -> Found:
    current_app.logger.warning("%s: %s differs (%s there, %s here)", adapter.name, subject, theirs, ours)
    return Found(adapter.name, kind, subject[:100], adapter.currency, SCALE, theirs, ours)
