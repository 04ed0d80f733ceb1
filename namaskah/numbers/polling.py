"""Where SMS come from: one listing call a provider and tick, or the provider's own push.

Never one call per waiting activation where the protocol can list: a thousand customers cost the provider one request.
"""

from datetime import UTC, datetime, timedelta

from flask import current_app
from sqlalchemy import and_, func, or_, select

from namaskah.db import db
from namaskah.numbers import activations, registry
from namaskah.numbers.models import Activation, Provider
from namaskah.numbers.turns import take_turn
from namaskah.providers.base import Order, OrderStatus, ProviderDown, Sms

TICK = timedelta(seconds=2)
# A code that comes after the money went back is still shown; it is looked for this long.
LATE = timedelta(minutes=30)
# Orders that the listing does not show are asked for one by one, a few at each tick.
SINGLES = 3


def poll_due() -> int:
    """Read the open orders of one provider that has somebody waiting; returns how many new messages there were.

    The provider's row is the turn: whoever moves `poll_due_at` forward polls, the other workers don't.
    """
    waiting = select(1).where(Activation.provider_name == Provider.name, Activation.state.in_(("waiting", "received")))
    name = take_turn(Provider.poll_due_at, TICK, waiting.exists())
    return poll(name) if name else 0


def poll(name: str) -> int:
    """Read one provider's orders now and take what is new for our activations."""
    try:
        orders = {order.provider_ref: order for order in registry.ask(name).list_orders()}
    except ProviderDown as error:
        current_app.logger.warning("%s not polled: %s", name, error)
        return 0
    new = 0
    missing = []
    for activation in _watched(name):
        order = orders.get(activation.provider_ref or "")
        if order:
            new += _take(activation, order)
        elif activation.state == "waiting" and _listed_by_now(activation):
            missing.append(activation)
    return new + sum(_poll_single(activation) for activation in missing[:SINGLES])


def receive_push(name: str, provider_ref: str, sms: Sms) -> int:
    """A provider pushed a message (its webhook, already authenticated); returns how many were new."""
    activation = db.session.scalar(
        select(Activation).where(Activation.provider_name == name, Activation.provider_ref == provider_ref)
    )
    return activations.receive(activation.id, [sms]) if activation else 0


def _watched(name: str) -> list[Activation]:
    return list(
        db.session.scalars(
            select(Activation)
            .where(
                Activation.provider_name == name,
                or_(
                    Activation.state.in_(("waiting", "received")),
                    and_(Activation.provider_ref.is_not(None), Activation.ended_at > func.now() - LATE),
                ),
            )
            .order_by(Activation.due_at)
            .execution_options(populate_existing=True)
        )
    )


def _listed_by_now(activation: Activation) -> bool:
    adapter = registry.find(activation.provider_name)
    lag = timedelta(seconds=adapter.rules.listing_lag_seconds if adapter else 0) + timedelta(seconds=5)
    return datetime.now(UTC) - activation.attempt_at > lag


def _poll_single(activation: Activation) -> int:
    try:
        order = registry.ask(activation.provider_name).get_order(activation.provider_ref or "")
    except ProviderDown as error:
        current_app.logger.info("activation %s not read: %s", activation.id, error)
        return 0
    return _take(activation, order) if order else 0


def _take(activation: Activation, order: Order) -> int:
    """What an order says about its activation: messages, or that the provider has ended it without one."""
    if order.messages:
        return activations.receive(activation.id, order.messages)
    if order.status is OrderStatus.REFUNDED and activation.state == "waiting":
        over = activation.expires_at is not None and activation.expires_at <= datetime.now(UTC) + timedelta(seconds=30)
        if activation.cancel_reason:
            activations.give_back(activation, "cancelled", activation.cancel_reason, closed_at_provider=True)
        else:
            reason = "no_code" if over else "provider_closed"
            activations.give_back(activation, "expired", reason, closed_at_provider=True)
    return 0
