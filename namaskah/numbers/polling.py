"""Where SMS come from: one listing call a provider and tick, or the provider's own push.

Never one call per waiting activation where the protocol can list: a thousand customers cost the provider one request.
The same listing ends activations whose window is over, and settles those in doubt.
"""

from datetime import datetime, timedelta
from time import monotonic

from flask import current_app
from sqlalchemy import ColumnElement, and_, func, or_, select

from namaskah.db import database_time, db
from namaskah.numbers import activations, closing, codes, messages, registry, settling
from namaskah.numbers.models import RELEASED, Activation, Provider
from namaskah.numbers.turns import apart, list_orders, next_turn, pace, take_turn
from namaskah.providers.base import Order, OrderStatus, ProviderDown, Sms

# A provider is listed this often while somebody waits for one of its numbers, and less often if it wants fewer calls.
TICK = timedelta(seconds=0.8)
# Who polls a provider has this long for it; the others see to the other providers meanwhile.
LEASE = timedelta(seconds=15)
# A provider that does not answer is left alone for this long.
RETRY = timedelta(seconds=3)
# A code that comes after the money went back is still shown: it is looked for this long, this often.
LATE = timedelta(minutes=30)
LATE_TICK = timedelta(seconds=20)
# Orders that the listing does not show are asked for one by one, a few at each tick, each in its turn.
SINGLES = 3
# When each of them was asked for last, by provider. Another worker has its own turns; all that costs is a call.
_asked_at: dict[str, dict[int, float]] = {}


def poll_due() -> int:
    """Read the open orders of one provider that has somebody waiting; returns how many new messages there were."""
    mine = Activation.provider_name == Provider.name
    waiting = select(1).where(mine, Activation.state.in_(("in_doubt", "waiting", "received")))
    late = select(1).where(mine, _was_released_lately())
    long_ago = Provider.poll_due_at < func.now() - LATE_TICK
    name = take_turn(Provider.poll_due_at, LEASE, or_(waiting.exists(), and_(late.exists(), long_ago)))
    if name is None:
        return 0
    after = RETRY
    try:
        new = poll(name)
        after = _tick(name)
        return new
    except ProviderDown as error:
        current_app.logger.warning("%s not polled: %s", name, error)
        return 0
    finally:
        next_turn(Provider.poll_due_at, name, after)


def poll(name: str) -> int:
    """Read one provider's orders now and do what they mean for our activations. Returns how many messages were new.

    Raises ProviderDown when the list cannot be read.
    """
    listed_at = database_time()
    listing = list_orders(name, Provider.poll_due_at, LEASE)
    orders = {order.provider_ref: order for order in listing.orders}
    watched = _watched(name)
    known = messages.known([activation.id for activation in watched])
    new, missing = 0, []
    for activation in watched:
        with apart(f"activation {activation.id}"):
            order = orders.get(activation.provider_ref or "")
            if order is None and activation.state == "waiting" and _listed_by_now(activation, listed_at):
                missing.append(activation)
            else:
                new += _take(activation, order, known[activation.id], listed_at, is_all=listing.is_whole)
    singles = SINGLES if _allows_bursts(name) else 1
    for place, activation in enumerate(_longest_unasked_first(name, missing)):
        with apart(f"activation {activation.id}"):
            order, is_told = _ask_for(activation) if place < singles else (None, False)
            is_all = is_told or listing.is_whole
            new += _take(activation, order, known[activation.id], listed_at, is_all=is_all)
    settling.settle(name, listing, listed_at)
    return new


def receive_push(name: str, provider_ref: str, sms: Sms) -> int:
    """A provider pushed a message (its webhook, already authenticated); returns how many were new."""
    activation = db.session.scalar(
        select(Activation).where(Activation.provider_name == name, Activation.provider_ref == provider_ref)
    )
    return activations.receive(activation.id, [sms]) if activation else 0


def _was_released_lately() -> ColumnElement[bool]:
    return and_(
        Activation.state.in_(RELEASED),
        Activation.provider_ref.is_not(None),
        Activation.ended_at > func.now() - LATE,
    )


def _watched(name: str) -> list[Activation]:
    return list(
        db.session.scalars(
            select(Activation)
            .where(
                Activation.provider_name == name,
                or_(Activation.state.in_(("waiting", "received")), _was_released_lately()),
            )
            .order_by(Activation.expires_at, Activation.id)
            .execution_options(populate_existing=True)
        )
    )


def _tick(name: str) -> timedelta:
    adapter = registry.find(name)
    return max(TICK, timedelta(seconds=2 * adapter.rules.min_seconds_between_calls)) if adapter else TICK


def _allows_bursts(name: str) -> bool:
    adapter = registry.find(name)
    return adapter is not None and adapter.rules.min_seconds_between_calls * SINGLES < TICK.total_seconds()


def _listed_by_now(activation: Activation, listed_at: datetime) -> bool:
    adapter = registry.find(activation.provider_name)
    lag = timedelta(seconds=adapter.rules.listing_lag_seconds if adapter else 0) + timedelta(seconds=5)
    return listed_at - activation.attempt_at > lag


def _longest_unasked_first(name: str, missing: list[Activation]) -> list[Activation]:
    """Else the same few would be asked for at every tick, and the others never."""
    before = _asked_at.get(name, {})
    _asked_at[name] = {activation.id: before[activation.id] for activation in missing if activation.id in before}
    return sorted(missing, key=lambda activation: before.get(activation.id, 0.0))


def _ask_for(activation: Activation) -> tuple[Order | None, bool]:
    """The order by itself, None when the provider does not know it; and whether the provider answered at all."""
    id, name, ref = activation.id, activation.provider_name, activation.provider_ref or ""
    _asked_at[name][id] = monotonic()
    pace(name)
    try:
        with registry.asking(name) as adapter:
            return adapter.get_order(ref), True
    except ProviderDown as error:
        current_app.logger.info("activation %s not read: %s", id, error)
        return None, False


def _take(activation: Activation, order: Order | None, known: set[str], listed_at: datetime, *, is_all: bool) -> int:
    """What an order says about its activation: that the provider has ended it and paid us back, new messages (late
    ones, if it has), or nothing; and if nothing by the end of its window, the money goes back, whatever the provider
    still has to do. Not, though, where an order was neither listed nor asked for, and that is not all the provider
    has to tell (`is_all`): its code may be there."""
    is_all = is_all or order is not None
    if order is not None:
        order = messages.only_own(order, activation)
    service = activation.service_code
    fresh = [sms for sms in order.messages if messages.fingerprint(sms, service) not in known] if order else []
    is_refunded = order is not None and order.status is OrderStatus.REFUNDED
    is_over = activation.expires_at is not None and activation.expires_at <= listed_at and not fresh
    if activation.state == "waiting" and (is_refunded or (is_over and is_all)):
        closing.conclude(activation, closed_at_provider=is_refunded)
    if order and not fresh and _came_again(activation, order, known, listed_at):
        closing.stop_waiting(activation)
    return activations.receive(activation.id, _with_code(activation, fresh)) if fresh else 0


def _with_code(activation: Activation, fresh: list[Sms]) -> list[Sms]:
    """Of what came since the last look some providers list the newest message alone. When that holds no code it may be
    the greeting after it: then they are asked for all of them. (A code is not held up for what came before it.)"""
    adapter, service = registry.find(activation.provider_name), activation.service_code
    if adapter is None or not adapter.rules.lists_last_message_alone:
        return fresh
    if any(codes.find_code(sms.text, sms.code, service) for sms in fresh):
        return fresh
    id, name, ref = activation.id, activation.provider_name, activation.provider_ref or ""
    pace(name)
    try:
        with registry.asking(name) as asked:
            return list(asked.all_messages(ref)) or fresh
    except ProviderDown as error:
        current_app.logger.info("other messages of activation %s not read: %s", id, error)
        return fresh


def _came_again(activation: Activation, order: Order, known: set[str], listed_at: datetime) -> bool:
    """Whether another code was asked for and the service sent the one we have, which makes no new message."""
    asked_at, adapter = activation.asked_again_at, registry.find(activation.provider_name)
    if asked_at is None or adapter is None or not order.messages:
        return False
    if adapter.rules.hides_old_messages:
        # Any message it gives is the new one, unless the list is older than our wish.
        return listed_at - asked_at > timedelta(seconds=adapter.rules.listing_lag_seconds)
    # The old one stays in the list: there must be one more, and it must have come since.
    is_newer = any(sms.received_at and sms.received_at > asked_at for sms in order.messages)
    return is_newer and len(order.messages) > len(known)
