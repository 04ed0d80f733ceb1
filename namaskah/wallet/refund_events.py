"""What the gateway says of refunds by itself: a reason to ask about ours, never more."""

from sqlalchemy import select

from namaskah.db import db
from namaskah.wallet import refund_asking
from namaskah.wallet.models import GatewayEvent, TopUp
from namaskah.wallet.paystack import GatewayDown, SubjectUnknown, parse_amount
from namaskah.wallet.refund_models import GatewayRefund

EVENTS = tuple(f"refund.{word}" for word in ("pending", "processing", "processed", "failed", "needs-attention"))


def handle(event: GatewayEvent) -> str:
    """Ask about every refund of ours that the event can be about; gives the states they have afterwards.

    Raises SubjectUnknown when there is none (somebody refunded at the gateway's own pages), GatewayDown or
    GatewayRefused while the gateway does not tell.
    """
    references = _meant(event)
    if not references:
        raise SubjectUnknown(event.reference or "")
    return " ".join(refund_asking.ask(reference).state for reference in references)[:64]


def _meant(event: GatewayEvent) -> list[str]:
    """An event names the payment and an amount, seldom the refund itself."""
    data = event.body.get("data")
    told = data if isinstance(data, dict) else {}
    query = select(GatewayRefund.reference).join(TopUp, TopUp.id == GatewayRefund.top_up_id)
    query = query.where(TopUp.reference == event.reference).order_by(GatewayRefund.id)
    if told.get("amount") is not None:
        query = query.where(GatewayRefund.amount_minor == _amount(told["amount"]))
    if told.get("id") is not None:
        gateway_id = GatewayRefund.gateway_id
        query = query.where(gateway_id.is_(None) | (gateway_id == str(told["id"])[:32]))
    return list(db.session.scalars(query))


def _amount(value: object) -> int:
    try:
        return parse_amount(value)
    except GatewayDown:
        return -1  # no refund of ours has it
