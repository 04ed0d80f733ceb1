"""What the worker does about answers that never came: orders in doubt, purchases cut off, strays at providers.

Every verb takes its turn by moving a due time forward in the database, so any number of workers may run them, and one
that is killed loses nothing but that turn.
"""

from collections import Counter
from datetime import datetime, timedelta

from flask import current_app
from sqlalchemy import func, select, update

from namaskah import live
from namaskah.claims import claim_due
from namaskah.db import database_time, db, transaction
from namaskah.numbers import activations, closing, messages, registry, strays
from namaskah.numbers.models import OPEN, Activation, Provider, StrayOrder
from namaskah.numbers.turns import apart, list_orders, pace, take_turn
from namaskah.providers.base import CloseOutcome, Closing, Listing, Order, OrderStatus, ProviderDown

# A provider may take ten seconds over each of a closing's calls.
TURN = timedelta(seconds=60)
# After its listing lag a provider's list is complete; this much on top before we believe that nothing was bought.
CERTAIN_AFTER = timedelta(seconds=60)
# So long after its window an activation has waited in too long a queue for a provider that must not be hurried: the
# money goes back now, and its order, as a stray, waits for the provider instead.
OVERDUE = timedelta(seconds=40)
# Our clock and the provider's may differ by this much.
CLOCK_SKEW = timedelta(minutes=5)
# An order nobody owns may still be on its way into an activation for this long.
STRAY_AFTER = timedelta(minutes=2)
SWEEP_EVERY = timedelta(seconds=60)

# Providers that threads of this process are asking just now: the next thread sees to the others first, so that a slow
# provider does not hold up everybody else's customers.
_being_asked: Counter[str] = Counter()


def advance_due() -> int:
    """Take one activation that is due a step further, whatever it waits for; returns how many were taken (0 or 1)."""
    busy = [name for name, threads in _being_asked.items() if threads > 0]
    asked_last = (Activation.provider_name.in_(busy),)
    taken = claim_due(Activation.due_at, TURN, Activation, Activation.state.in_(OPEN), first=asked_last)
    if taken is None:
        return 0
    _advance(taken)
    return 1


def _advance(activation: Activation) -> None:
    name = activation.provider_name
    if activation.state == "buying":
        # The process that was buying is gone; nobody knows whether the provider was asked. The poll finds out.
        activations.doubt(activation, "cut_off")
    elif activation.state == "in_doubt":
        current_app.logger.warning("activation %s: %s never told what became of it", activation.id, name)
        activations.fail(activation, "nothing_bought")
    elif activation.state == "waiting" and _is_overdue(activation):
        closing.conclude(activation, closed_at_provider=False)
    elif activation.state == "waiting":
        _being_asked[name] += 1
        try:
            pace(name)
            closing.close(activation)
        finally:
            _being_asked[name] -= 1
    elif activation.state == "received":
        with transaction():
            if activations.move(activation, ("received",), state="finished", ended_at=func.now()):
                activations.note(activation, "finished")
        live.publish(activation.user_id, "activation", activation.id)


def _is_overdue(activation: Activation) -> bool:
    return activation.expires_at is not None and activation.expires_at < database_time() - OVERDUE


def settle(name: str, listing: Listing, listed_at: datetime) -> None:
    """Find out what became of a provider's purchases in doubt: attach its orders, or give the money back.

    `listing` was asked for at `listed_at`; only a whole one proves that nothing was bought. Orders of one service and
    country are alike: any that nobody owns will do, the oldest for the oldest; a unique index keeps two activations
    from taking the same one.
    """
    doubtful = db.session.scalars(
        select(Activation)
        .where(Activation.provider_name == name, Activation.state == "in_doubt")
        # Who may have one operator's number alone chooses before those for whom any will do.
        .order_by(Activation.operator == "any", Activation.attempt_at, Activation.id)
        .execution_options(populate_existing=True)
    ).all()
    if not doubtful:
        return
    alive = _alive(listing)
    # A number that a customer has been shown already is nobody else's, however the provider has mixed up its ids.
    shown = set(
        db.session.scalars(
            select(Activation.phone).where(
                Activation.provider_name == name, Activation.state.in_(("waiting", "received"))
            )
        )
    )
    free = [ref for ref in strays.free(name, list(alive)) if alive[ref].phone not in shown]
    # One protocol's list has no usable times; its ids grow.
    in_order = sorted(free, key=lambda ref: (alive[ref].created_at or listed_at, len(ref), ref))
    for activation in doubtful:
        with apart(f"activation {activation.id}"):
            db.session.refresh(activation)
            if activation.state != "in_doubt":  # another poll was first, with another order: this one is still free
                continue
            order = next((alive[ref] for ref in in_order if _fits(activation, alive[ref])), None)
            if order is not None:
                in_order.remove(order.provider_ref)
                if activations.accept(activation, order, is_found=True) and order.messages:
                    activations.receive(activation.id, order.messages)
            elif listing.is_whole and _is_certain(activation, listed_at):
                activations.fail(activation, "nothing_bought")


def _alive(listing: Listing) -> dict[str, Order]:
    return {o.provider_ref: o for o in listing.orders if o.status in {OrderStatus.WAITING, OrderStatus.RECEIVED}}


def _is_certain(activation: Activation, listed_at: datetime) -> bool:
    """Whether a list asked for at that time must show what this purchase bought, if it bought anything."""
    adapter = registry.find(activation.provider_name)
    assert adapter is not None, activation.provider_name
    return listed_at - activation.attempt_at > timedelta(seconds=adapter.rules.listing_lag_seconds) + CERTAIN_AFTER


def _fits(activation: Activation, order: Order) -> bool:
    """Whether an order may be what this purchase bought: the same goods, not older, and not dearer than was allowed."""
    name = activation.provider_name
    adapter = registry.find(name)
    assert adapter is not None, name
    return (
        (order.service, order.country) == activations.provider_codes(activation, name)
        and (activation.operator == "any" or order.operator in {None, activation.operator})
        and (order.created_at is None or order.created_at >= activation.attempt_at - CLOCK_SKEW)
        and (order.cost_micros or 0) <= activations.max_cost_micros(activation, adapter.currency)
    )


def sweep_due() -> int:
    """Look through one provider's open orders for any that no activation owns; they become strays, closed a little
    later unless an activation in doubt takes them first."""
    name = take_turn(Provider.sweep_due_at, SWEEP_EVERY)
    if name is None:
        return 0
    try:
        # Whole or not: a sweep acts on what it sees and concludes nothing from what it does not.
        listing = list_orders(name, Provider.sweep_due_at, SWEEP_EVERY)
    except ProviderDown as error:
        current_app.logger.warning("open orders of %s not read: %s", name, error)
        return 0
    alive = _alive(listing)
    with transaction():
        for ref in strays.unclaimed(name, list(alive)):
            strays.add(name, ref, "unclaimed", alive[ref].cost_micros, wait=STRAY_AFTER)
    return 1


def close_strays_due() -> int:
    """Give one stray order back to its provider; returns how many were taken up (0 or 1)."""
    with transaction():
        stray = db.session.scalar(
            select(StrayOrder)
            .where(StrayOrder.due_at <= func.now(), StrayOrder.closed_at.is_(None))
            .order_by(StrayOrder.due_at)
            .limit(1)
            .with_for_update(skip_locked=True)
            .execution_options(populate_existing=True)
        )
        if stray is None:
            return 0
        if strays.begin_closing(stray):
            # Asked again later and later, up to ten minutes apart, for as long as the provider does not answer.
            stray.tries += 1
            stray.due_at = database_time() + min(stray.tries, 20) * timedelta(seconds=30)
        else:
            return 1
    _close_stray(stray)
    return 1


def _close_stray(stray: StrayOrder) -> None:
    # Read before the provider is asked: touching the row between its calls would hold a connection through them.
    id, name, ref, activation_id, ban = (
        stray.id,
        stray.provider_name,
        stray.provider_ref,
        stray.activation_id,
        stray.ban,
    )
    pace(name)
    try:
        with registry.asking(name) as adapter:
            answer = adapter.ban(ref) if ban and adapter.rules.can_ban else adapter.cancel(ref)
            order = adapter.get_order(ref) if answer.outcome is CloseOutcome.HAS_SMS else None
    except ProviderDown as error:
        current_app.logger.info("stray %s of %s not closed yet: %s", ref, name, error)
        return
    if order and activation_id:
        order = messages.only_own(order, db.session.get_one(Activation, activation_id))
        if order.messages:
            activations.receive(activation_id, order.messages)
    with transaction():
        _book_closing(id, answer)


def _book_closing(stray_id: int, answer: Closing) -> None:
    if answer.outcome is CloseOutcome.TOO_EARLY:
        again = update(StrayOrder).where(StrayOrder.id == stray_id)
        db.session.execute(again.values(due_at=closing.allowed_again_at(answer)))
    elif answer.outcome is CloseOutcome.HAS_SMS:
        strays.close(stray_id, "kept", "provider_kept")
    elif answer.outcome is CloseOutcome.NOT_FOUND:
        # Whether it ever charged us is unknown: what it owes stays open, with its age, until a person looks.
        strays.close(stray_id, strays.NOT_FOUND, None)
    else:
        strays.close(stray_id, "refunded", "provider_refund")
