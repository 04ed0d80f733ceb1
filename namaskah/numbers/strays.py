"""What a provider charged and owes, and orders that must be given back: the bookkeeping, without any call.

An order at a provider is known to the ledger as "order:<provider>:<ref>". The worker closes strays (settling.py).
"""

from datetime import timedelta

from sqlalchemy import delete, func, select, update
from sqlalchemy.dialects.postgresql import insert as pg_insert

from namaskah.db import db
from namaskah.numbers import registry
from namaskah.numbers.models import Activation, StrayOrder
from namaskah.wallet import ledger


def order_reference(provider: str, provider_ref: str) -> str:
    """How the ledger knows an order of a provider."""
    return f"order:{provider}:{provider_ref}"


def book_cost(activation: Activation) -> None:
    """The provider took the cost of this activation's order."""
    book("provider_charge", activation.provider_name, activation.provider_ref, activation.cost_micros)


def book_refund(activation: Activation, *, closed: bool, ban: bool) -> None:
    """The order of an activation whose money went back: the provider owes its cost, or has returned it (`closed`).
    Unless it has, the order becomes a stray."""
    provider, ref, cost = activation.provider_name, activation.provider_ref, activation.cost_micros
    if ref is None:
        return
    book("provider_refund_due", provider, ref, cost)
    if closed:
        book("provider_refund", provider, ref, cost)
    else:
        _insert(provider, ref, "released", cost, activation_id=activation.id, ban=ban)


def add(provider: str, provider_ref: str, reason: str, cost_micros: int | None, wait: timedelta = timedelta()) -> None:
    """Remember an order that no activation owns, to be given back once `wait` is over."""
    if _insert(provider, provider_ref, reason, cost_micros, wait=wait):
        book("provider_charge", provider, provider_ref, cost_micros)
        book("provider_refund_due", provider, provider_ref, cost_micros)


def claim(provider: str, provider_ref: str, cost_micros: int | None) -> None:
    """An activation owns this order after all: it is no stray, and its cost was no loss."""
    gone = db.session.scalar(
        delete(StrayOrder)
        .where(
            StrayOrder.provider_name == provider,
            StrayOrder.provider_ref == provider_ref,
            StrayOrder.closed_at.is_(None),
        )
        .returning(StrayOrder.id)
    )
    if gone:
        book("provider_kept", provider, provider_ref, cost_micros)


def close(stray: StrayOrder, outcome: str, booking: str | None) -> None:
    """A stray has come to its end; `booking` is the ledger verb that says who keeps its cost."""
    closed = db.session.scalar(
        update(StrayOrder)
        .where(StrayOrder.id == stray.id, StrayOrder.closed_at.is_(None))
        .values(closed_at=func.now(), outcome=outcome)
        .returning(StrayOrder.id)
    )
    if closed and booking:
        book(booking, stray.provider_name, stray.provider_ref, stray.cost_micros)


def unclaimed(provider: str, refs: list[str]) -> set[str]:
    """Which of a provider's order ids belong to no activation."""
    owned = db.session.scalars(
        select(Activation.provider_ref).where(Activation.provider_name == provider, Activation.provider_ref.in_(refs))
    )
    return set(refs) - {ref for ref in owned if ref}


def book(verb: str, provider: str, provider_ref: str | None, cost_micros: int | None) -> None:
    """One ledger verb for an order's cost; orders that cost nothing, or whose cost nobody told, move nothing."""
    adapter = registry.find(provider)
    if provider_ref and cost_micros:
        currency = adapter.currency if adapter else "USD"
        getattr(ledger, verb)(provider, currency, order_reference(provider, provider_ref), cost_micros)


def _insert(
    provider: str,
    provider_ref: str,
    reason: str,
    cost_micros: int | None,
    *,
    activation_id: int | None = None,
    ban: bool = False,
    wait: timedelta = timedelta(),
) -> bool:
    inserted = db.session.scalar(
        pg_insert(StrayOrder)
        .values(
            provider_name=provider,
            provider_ref=provider_ref,
            reason=reason,
            cost_micros=cost_micros,
            activation_id=activation_id,
            ban=ban,
            due_at=func.now() + wait,
        )
        .on_conflict_do_nothing(index_elements=["provider_name", "provider_ref"])
        .returning(StrayOrder.id)
    )
    return inserted is not None
