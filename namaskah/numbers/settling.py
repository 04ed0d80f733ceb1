"""What the worker does about answers that never came: orders in doubt, purchases cut off, strays at providers.

Every verb takes its turn by moving a due time forward in the database, so any number of workers may run them, and one
that is killed loses nothing but that turn.
"""

from datetime import UTC, datetime, timedelta

from flask import current_app
from sqlalchemy import func, select, update

from namaskah.db import db, transaction
from namaskah.numbers import activations, closing, registry, strays
from namaskah.numbers.models import OPEN, Activation, Provider, StrayOrder
from namaskah.numbers.turns import take_turn
from namaskah.providers.base import CloseOutcome, Order, OrderStatus, ProviderDown
from namaskah.providers.base import Provider as Adapter

TURN = timedelta(seconds=30)
# After its listing lag a provider's list is complete; this much on top before we believe that nothing was bought.
CERTAIN_AFTER = timedelta(seconds=60)
# No doubt lasts longer, even with the provider silent: the customer's money goes back, and should an order turn up
# later it is a stray.
LONGEST_DOUBT = timedelta(minutes=8)
# Our clock and the provider's may differ by this much.
CLOCK_SKEW = timedelta(minutes=5)
# An order nobody owns may still be on its way into an activation for this long.
STRAY_AFTER = timedelta(minutes=2)
SWEEP_EVERY = timedelta(seconds=60)


def advance_due(limit: int = 10) -> int:
    """Take the activations that are due a step further, whatever they wait for; returns how many were taken up."""
    due = (
        select(Activation.id)
        .where(Activation.due_at <= func.now(), Activation.state.in_(OPEN))
        .order_by(Activation.due_at)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    with transaction():
        taken = db.session.scalars(
            update(Activation)
            .where(Activation.id.in_(due.scalar_subquery()))
            .values(due_at=func.now() + TURN)
            .returning(Activation.id)
        ).all()
    for activation_id in taken:
        activation = db.session.get_one(Activation, activation_id, populate_existing=True)
        _advance(activation)
    return len(taken)


def _advance(activation: Activation) -> None:
    if activation.state == "buying":
        _cut_off(activation)
    elif activation.state == "in_doubt":
        settle(activation)
    elif activation.state == "waiting":
        closing.close(activation)
    elif activation.state == "received":
        with transaction():
            if activations.move(activation, ("received",), state="finished", ended_at=func.now()):
                activations.note(activation, "finished")


def _cut_off(activation: Activation) -> None:
    """The process that was buying is gone; nobody knows whether the provider was asked."""
    with transaction():
        if activations.move(activation, ("buying",), state="in_doubt", due_at=func.now()):
            activations.note(activation, "in_doubt", activation.provider_name, "cut_off")
    settle(activation)


def settle(activation: Activation) -> None:
    """Find out what became of a purchase in doubt: attach the provider's order, or give the money back.

    Orders of one service and country are alike: any that nobody owns will do, the oldest first; a unique index keeps
    two activations from taking the same one.
    """
    age = datetime.now(UTC) - activation.attempt_at
    adapter = registry.find(activation.provider_name)
    if adapter is None:
        activations.fail(activation, "nothing_bought")
        return
    try:
        order = _unclaimed_order(activation, adapter)
    except ProviderDown as error:
        current_app.logger.warning("activation %s stays in doubt: %s", activation.id, error)
        if age > LONGEST_DOUBT:
            activations.fail(activation, "nothing_bought")
        return
    if order is not None:
        if activations.accept(activation, order) and order.messages:
            activations.receive(activation.id, order.messages)
    elif age > timedelta(seconds=adapter.rules.listing_lag_seconds) + CERTAIN_AFTER:
        activations.fail(activation, "nothing_bought")
    else:
        with transaction():
            activations.move(activation, ("in_doubt",), due_at=func.now() + timedelta(seconds=5))


def _unclaimed_order(activation: Activation, adapter: Adapter) -> Order | None:
    wanted = activations.provider_codes(activation, activation.provider_name)
    since = activation.attempt_at - CLOCK_SKEW
    orders = [
        order
        for order in registry.ask(adapter.name).list_orders()
        if (order.service, order.country) == wanted
        and order.status in {OrderStatus.WAITING, OrderStatus.RECEIVED}
        and (order.created_at is None or order.created_at >= since)
    ]
    free = strays.unclaimed(adapter.name, [order.provider_ref for order in orders])
    free -= _being_closed(adapter.name)
    orders = [order for order in orders if order.provider_ref in free]
    # One protocol's list has no usable times; its ids grow.
    return min(
        orders, key=lambda order: (order.created_at or since, len(order.provider_ref), order.provider_ref), default=None
    )


def _being_closed(provider: str) -> set[str]:
    """Orders we have decided to give back: not to be handed to anybody."""
    return set(
        db.session.scalars(
            select(StrayOrder.provider_ref).where(
                StrayOrder.provider_name == provider, StrayOrder.reason != "unclaimed", StrayOrder.closed_at.is_(None)
            )
        )
    )


def sweep_due() -> int:
    """Look through one provider's open orders for any that no activation owns; they become strays, closed a little
    later unless an activation in doubt takes them first."""
    name = take_turn(Provider.sweep_due_at, SWEEP_EVERY)
    if name is None:
        return 0
    try:
        orders = registry.ask(name).list_orders()
    except ProviderDown as error:
        current_app.logger.warning("open orders of %s not read: %s", name, error)
        return 0
    alive = {o.provider_ref: o for o in orders if o.status in {OrderStatus.WAITING, OrderStatus.RECEIVED}}
    with transaction():
        for ref in strays.unclaimed(name, list(alive)):
            strays.add(name, ref, "unclaimed", alive[ref].cost_micros, wait=STRAY_AFTER)
    return 1


def close_strays_due(limit: int = 10) -> int:
    """Give stray orders back to their providers; returns how many were taken up."""
    due = (
        select(StrayOrder.id)
        .where(StrayOrder.due_at <= func.now(), StrayOrder.closed_at.is_(None))
        .order_by(StrayOrder.due_at)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    with transaction():
        taken = db.session.scalars(
            update(StrayOrder)
            .where(StrayOrder.id.in_(due.scalar_subquery()))
            # Asked again later and later, up to ten minutes apart, for as long as the provider does not answer.
            .values(
                tries=StrayOrder.tries + 1,
                due_at=func.now() + func.least(StrayOrder.tries + 1, 20) * timedelta(seconds=30),
            )
            .returning(StrayOrder)
        ).all()
    for stray in taken:
        _close_stray(stray)
    return len(taken)


def _close_stray(stray: StrayOrder) -> None:
    adapter = registry.find(stray.provider_name)
    if adapter is None:
        return
    if stray.activation_id is None and not strays.unclaimed(stray.provider_name, [stray.provider_ref]):
        with transaction():
            strays.claim(stray.provider_name, stray.provider_ref, stray.cost_micros)
        return
    try:
        adapter = registry.ask(stray.provider_name)
        closing_answer = (adapter.ban if stray.ban and adapter.rules.can_ban else adapter.cancel)(stray.provider_ref)
        order = adapter.get_order(stray.provider_ref) if closing_answer.outcome is CloseOutcome.HAS_SMS else None
    except ProviderDown as error:
        current_app.logger.info("stray %s of %s not closed yet: %s", stray.provider_ref, stray.provider_name, error)
        return
    if order and order.messages and stray.activation_id:
        activations.receive(stray.activation_id, order.messages)
    with transaction():
        _book_closing(stray, closing_answer.outcome, closing_answer.retry_at)


def _book_closing(stray: StrayOrder, outcome: CloseOutcome, retry_at: datetime | None) -> None:
    if outcome is CloseOutcome.TOO_EARLY:
        soon = datetime.now(UTC) + timedelta(seconds=15)
        db.session.execute(update(StrayOrder).where(StrayOrder.id == stray.id).values(due_at=retry_at or soon))
    elif outcome is CloseOutcome.HAS_SMS:
        strays.close(stray, "kept", "provider_kept")
    elif outcome is CloseOutcome.NOT_FOUND:
        # Whether it ever charged us is unknown: what it owes stays open, with its age, until a person looks.
        strays.close(stray, "not_found", None)
    else:
        strays.close(stray, "refunded", "provider_refund")
