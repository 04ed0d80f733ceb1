"""What an operator books about money at a provider: what was paid in there, and who keeps the cost of an order that the
provider itself does not settle (it denies knowing it, or never takes it back)."""

from flask_babel import gettext as _
from sqlalchemy import ColumnElement, and_, or_, select

from namaskah.auth import audit
from namaskah.db import db, transaction
from namaskah.errors import UserError
from namaskah.numbers import strays
from namaskah.numbers.models import Provider, StrayOrder
from namaskah.wallet import ledger


def pay_in(name: str, micros: int, reference: str, who: str) -> bool:
    """Money was paid in at a provider (below zero: taken out), in millionths of its currency. False when the payment of
    this reference is booked already. Raises UserError for a provider that is none."""
    provider = db.session.get(Provider, name)
    if provider is None:
        raise UserError(_("There is no such provider."), status=404)
    with transaction():
        booked = ledger.provider_balance(name, provider.currency, f"paid_in:{name}:{reference}", micros, f"by {who}")
        if booked:
            audit.record("provider_paid_in", None, who, provider=name, micros=micros, reference=reference)
    return booked


def unsettled() -> list[StrayOrder]:
    """Orders whose cost a provider owes us, as far as we know, the oldest first."""
    wanted = select(StrayOrder).where(_is_owed(), StrayOrder.cost_micros > 0).order_by(StrayOrder.id)
    return list(db.session.scalars(wanted.execution_options(populate_existing=True)))


def settle(name: str, provider_ref: str, *, is_returned: bool, who: str, reason: str) -> None:
    """A person has found out who keeps the cost of such an order: it `is_returned`, or the provider keeps it. The
    worker asks for it no more. Raises UserError where there is nothing to decide."""
    with transaction():
        stray = db.session.scalar(
            select(StrayOrder)
            .where(StrayOrder.provider_name == name, StrayOrder.provider_ref == provider_ref, _is_owed())
            .with_for_update()
            .execution_options(populate_existing=True)
        )
        if stray is None:
            raise UserError(_("No such order waits to be given back or to be decided."), status=404)
        stray.closed_at = None  # one that its provider denied knowing was closed without saying who keeps its cost
        db.session.flush()
        outcome, booking = ("refunded", "provider_refund") if is_returned else ("kept", "provider_kept")
        strays.close(stray.id, outcome, booking)
        audit.record("provider_order_settled", None, who, provider=name, order=provider_ref, reason=reason)


def _is_owed() -> ColumnElement[bool]:
    """Its giving back has begun, and so its cost is booked as owed; before that an activation may claim it yet."""
    is_open = or_(StrayOrder.closed_at.is_(None), StrayOrder.outcome == strays.NOT_FOUND)
    return and_(StrayOrder.tries > 0, is_open)
