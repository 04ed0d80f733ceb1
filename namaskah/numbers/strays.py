"""What a provider charged and owes, and orders that must be given back: the bookkeeping, without any call.

An order at a provider is known to the ledger as "order:<provider>:<ref>"; each of its verbs is done once for an order.
So nothing is booked for an order that merely looks unwanted: an activation may claim it yet, and be refunded later. Its
cost is booked as owed when the giving back begins (`begin_closing`), and from then on nobody can claim it.
The worker closes strays (settling.py).
"""

from datetime import timedelta

from flask_babel import lazy_gettext as _l
from sqlalchemy import and_, delete, func, or_, select, update
from sqlalchemy.dialects.postgresql import insert as pg_insert

from namaskah.db import db
from namaskah.numbers.models import Activation, Provider, StrayOrder
from namaskah.wallet import ledger

# The outcome of an order that its provider denies knowing: who keeps its cost is open until a person says so.
NOT_FOUND = "not_found"
# Why an order is given back, as the operator reads it.
REASONS = {
    "released": _l("the customer has the money back"),
    "unclaimed": _l("no activation of ours belongs to it"),
    "too_dear": _l("it cost more than was agreed"),
    "too_late": _l("it was sold after we had given up"),
}


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
    _insert(provider, provider_ref, reason, cost_micros, wait=wait)


def claim(provider: str, provider_ref: str) -> bool:
    """An activation takes this order: it is no stray after all. False when it is being given back already."""
    this = (StrayOrder.provider_name == provider, StrayOrder.provider_ref == provider_ref)
    db.session.execute(delete(StrayOrder).where(*this, StrayOrder.reason == "unclaimed", StrayOrder.tries == 0))
    return db.session.scalar(select(StrayOrder.id).where(*this)) is None


def begin_closing(stray: StrayOrder) -> bool:
    """Before a stray is given back, under the lock of its row: what it cost is owed to us from now on.

    False, and the stray is forgotten, when an activation owns the order: it was seen between two commits.
    """
    provider, ref = stray.provider_name, stray.provider_ref
    if stray.activation_id is None:
        if not unclaimed(provider, [ref]):
            db.session.delete(stray)
            return False
        book("provider_charge", provider, ref, stray.cost_micros)
        book("provider_refund_due", provider, ref, stray.cost_micros)
    return True


def close(stray_id: int, outcome: str, booking: str | None) -> None:
    """A stray has come to its end; `booking` is the ledger verb that says who keeps its cost."""
    closed = db.session.scalar(
        update(StrayOrder)
        .where(StrayOrder.id == stray_id, StrayOrder.closed_at.is_(None))
        .values(closed_at=func.now(), outcome=outcome)
        .returning(StrayOrder)
    )
    if closed and booking:
        book(booking, closed.provider_name, closed.provider_ref, closed.cost_micros)


def unclaimed(provider: str, refs: list[str]) -> set[str]:
    """Which of a provider's order ids belong to no activation."""
    owned = db.session.scalars(
        select(Activation.provider_ref).where(Activation.provider_name == provider, Activation.provider_ref.in_(refs))
    )
    return set(refs) - {ref for ref in owned if ref}


def free(provider: str, refs: list[str]) -> set[str]:
    """Which of a provider's order ids an activation in doubt may take: owned by none, and not being given back."""
    given_back = db.session.scalars(
        select(StrayOrder.provider_ref).where(
            StrayOrder.provider_name == provider,
            StrayOrder.provider_ref.in_(refs),
            or_(StrayOrder.reason != "unclaimed", StrayOrder.tries > 0),
        )
    )
    return unclaimed(provider, refs) - set(given_back)


def book(verb: str, provider: str, provider_ref: str | None, cost_micros: int | None) -> None:
    """One ledger verb for an order's cost; orders that cost nothing, or whose cost nobody told, move nothing."""
    if provider_ref and cost_micros:
        # From its row, not from its adapter: a provider whose credentials are gone still owes what it owes.
        currency = db.session.get_one(Provider, provider).currency
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
) -> None:
    row = pg_insert(StrayOrder).values(
        provider_name=provider,
        provider_ref=provider_ref,
        reason=reason,
        cost_micros=cost_micros,
        activation_id=activation_id,
        ban=ban,
        due_at=func.now() + wait,
    )
    # It may be there as merely unclaimed; what we know now weighs more. One that is being given back stays as it is.
    known = {name: row.excluded[name] for name in ("reason", "cost_micros", "activation_id", "ban", "due_at")}
    waiting = and_(StrayOrder.reason == "unclaimed", StrayOrder.tries == 0, row.excluded.reason != "unclaimed")
    db.session.execute(
        row.on_conflict_do_update(index_elements=["provider_name", "provider_ref"], set_=known, where=waiting)
    )
