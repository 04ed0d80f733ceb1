"""The life of an activation: bought, in doubt, waiting, received, finished, or given back.

The transition table is `models.TRANSITIONS`. Every state change here happens in one transaction together with the
money it means: T1 hold, T2 the provider's answer, T3 the SMS and the capture, T4 the release. No transaction is open
while a provider is being asked. What the worker does when an answer is missing is in settling.py; cancelling and the
end of the window are in closing.py.
"""

from collections.abc import Sequence
from datetime import timedelta
from time import monotonic

from flask import current_app
from flask_babel import gettext as _
from sqlalchemy import func, select, update
from sqlalchemy.exc import IntegrityError

from namaskah import live
from namaskah.auth import account_locks
from namaskah.auth.models import User
from namaskah.db import database_time, db, transaction, violated
from namaskah.errors import UserError
from namaskah.jobs import defer
from namaskah.numbers import messages, pricing, registry, routing, strays, windows
from namaskah.numbers.models import OPEN, TRANSITIONS, Activation, ActivationEvent, Country, Service
from namaskah.providers.base import NotSold, Order, OutcomeUnknown, Sms
from namaskah.wallet import debts, ledger

# A provider answers a purchase within its ten-second deadline or not at all; after this long without an outcome the
# process that asked is gone, and the worker takes the activation over.
BUYING_SECONDS = 30
# A customer waits for the answer: no further provider is tried after this long.
PATIENCE = 15.0  # seconds
LARGEST_ID = 2**63 - 1  # what the database calls a number; an address may hold any
# The poll settles doubt (settling.settle). No doubt lasts longer than this, even with the provider silent: the money
# goes back, and should an order turn up later it is a stray.
LONGEST_DOUBT = timedelta(minutes=8)
# At the end of its window an activation is ended by the poll, many with one listing call. This much later, when the
# provider does not list, the worker takes it up by itself.
GRACE = timedelta(seconds=8)


class NothingOnSale(UserError):
    """No provider offers this now."""

    status = 409


class PriceMoved(UserError):
    """The price went up between the page and the click. `details["price_minor"]` is the new one."""

    status = 409


class NotEnoughMoney(UserError):
    """The wallet does not hold the price. `details["missing_minor"]` says how much is missing."""

    status = 402


class TooMany(UserError):
    """The customer has as many numbers waiting, or bought as many today, as one customer may."""

    status = 429


class NotNow(UserError):
    """The act does not fit the state the activation is in by now."""

    status = 409


def get_activation(activation_id: int, user_id: int) -> Activation:
    """A customer's own activation. Raises UserError (404) for unknown ids and for those of others alike."""
    found = db.session.get(Activation, min(activation_id, LARGEST_ID), populate_existing=True)
    if found is None or found.user_id != user_id:
        raise UserError(_("There is no such activation in your account."), status=404)
    return found


def buy(
    user: User,
    service: str,
    country: str,
    operator: str,
    max_price_minor: int,
    key: str,
    replaces: Activation | None = None,
) -> Activation:
    """Buy one number for a service, paying at most the price the customer was shown.

    `key` is the one-time key of the form: the second call with it returns the first one's activation, whatever state
    that is in. The result is waiting, failed (money back) or in doubt (settled by the worker). Raises NothingOnSale,
    PriceMoved, NotEnoughMoney, TooMany or debts.InDebt, always before any money moved.
    """
    known = find_by_key(user.id, key)
    if known:
        return known
    avoid = replaces.provider_name if replaces else None
    on_sale = (route for route in routing.routes(service, country, operator) if _affordable(route, route.price_minor))
    routes = sorted(on_sale, key=lambda route: route.provider == avoid)
    if not routes:
        raise NothingOnSale(_("No number is free there just now. You have paid nothing. Try another country."))
    price = next((route.price_minor for route in routes if route.price_minor <= max_price_minor), None)
    if price is None:
        raise PriceMoved(
            _("The price has just gone up. You have paid nothing; look at the new price."),
            price_minor=routes[0].price_minor,
        )
    activation = _open(user, service, country, operator, price, key, routes[0], replaces)
    if activation is None:
        return _must_find_by_key(user.id, key)
    usable = [route for route in routes if _affordable(route, price)]
    # A dearer one steps in at this price, and costs us margin, only after the others have said no.
    usable.sort(key=lambda route: (route.provider == avoid, route.price_minor > price))
    _try_providers(activation, usable)
    live.publish(user.id, "wallet")
    return activation


def find_by_key(user_id: int, key: str) -> Activation | None:
    """The activation a form with this one-time key made, if it made one."""
    return db.session.scalar(
        select(Activation)
        .where(Activation.user_id == user_id, Activation.key == key)
        .execution_options(populate_existing=True)
    )


def _must_find_by_key(user_id: int, key: str) -> Activation:
    found = find_by_key(user_id, key)
    assert found is not None, "the unique key was taken a moment ago"
    return found


def _affordable(route: routing.Route, price: int) -> bool:
    return route.cost_micros <= pricing.max_cost_micros(price, route.currency, route.exchange_rate)


def _open(
    user: User,
    service: str,
    country: str,
    operator: str,
    price: int,
    key: str,
    route: routing.Route,
    replaces: Activation | None,
) -> Activation | None:
    """T1: the activation and the hold, together. None when another request with the same key was first."""
    activation = Activation(
        user_id=user.id,
        key=key,
        service_code=service,
        country_code=country,
        operator=operator,
        price_minor=price,
        currency=current_app.config["WALLET_CURRENCY"],
        provider_name=route.provider,
        replaces_id=replaces.id if replaces else None,
        attempt_at=func.now(),
        due_at=func.now() + timedelta(seconds=BUYING_SECONDS),
    )
    try:
        with transaction():
            # One purchase of a customer at a time: the limits below are counted, and a count needs a lock.
            buyer = account_locks.lock(user.id)
            if find_by_key(user.id, key):
                return None
            _check_limits(buyer)
            debts.require_none(buyer.id)
            db.session.add(activation)
            db.session.flush()
            ledger.hold(user.id, activation.reference, price)
            note(activation, "bought")
    except ledger.InsufficientFunds:
        missing = price - ledger.balance(user.id).spendable_minor
        raise NotEnoughMoney(
            _("Your balance does not cover this number. You have paid nothing; top up and try again."),
            missing_minor=max(missing, 1),
        ) from None
    except IntegrityError as error:
        if violated(error) in {"uq_activations_user_id_key", "uq_activations_replaces_id"}:
            return None
        raise
    return activation


def _check_limits(user: User) -> None:
    if not user.is_active:
        raise TooMany(_("Your account is closed for purchases. You have paid nothing."), status=403)
    mine = select(func.count()).where(Activation.user_id == user.id)
    waiting = db.session.scalar(mine.where(Activation.state.in_(OPEN), Activation.received_at.is_(None))) or 0
    if waiting >= current_app.config["MAX_OPEN_ACTIVATIONS"]:
        raise TooMany(_("You have many numbers waiting already. Finish or cancel one first; you have paid nothing."))
    # Whether the newest of so many is of the last day: who has bought a hundred thousand waits for no count of them.
    newest = select(Activation.created_at).where(Activation.user_id == user.id).order_by(Activation.id.desc())
    limit = current_app.config["DAILY_BUY_LIMIT"]
    earliest = newest.offset(max(limit - 1, 0)).limit(1).subquery()
    if db.session.scalar(select(earliest.c.created_at > func.now() - timedelta(days=1))) or limit < 1:
        raise TooMany(_("You have reached today's limit of numbers. You have paid nothing; come back tomorrow."))


def _try_providers(activation: Activation, routes: Sequence[routing.Route]) -> None:
    """Ask one provider after the other, as long as each says a definite no."""
    started, refusal = monotonic(), "no_stock"
    for route in routes:
        if monotonic() - started > PATIENCE or not _start_attempt(activation, route):
            break
        try:
            order = _ask(activation, route)
        except NotSold as error:
            refusal = "no_stock" if error.reason in {"no_stock", "price_moved"} else "provider_refused"
            routing.learn(route, error)
            with transaction():
                note(activation, "refused", route.provider, error.reason)
        except OutcomeUnknown as error:
            routing.unanswered(route.provider, error)
            doubt(activation, error.reason)
            return
        else:
            accept(activation, order)
            return
    fail(activation, refusal)


def _start_attempt(activation: Activation, route: routing.Route) -> bool:
    """Write down whom we are about to ask, before asking. False when the worker has taken the activation over."""
    with transaction():
        return move(
            activation,
            ("buying",),
            provider_name=route.provider,
            cost_micros=route.cost_micros,
            exchange_rate=route.exchange_rate,
            attempt_at=func.now(),
            due_at=func.now() + timedelta(seconds=BUYING_SECONDS),
        )


def _ask(activation: Activation, route: routing.Route) -> Order:
    """One purchase at one provider. An order dearer than we can sell at is given back and counts as a definite no."""
    service, country = provider_codes(activation, route.provider)
    ceiling = max_cost_micros(activation, route.currency)
    order = registry.ask(route.provider).buy(service, country, route.operator, ceiling)
    if (order.cost_micros or 0) > ceiling:
        with transaction():
            strays.add(route.provider, order.provider_ref, "too_dear", order.cost_micros)
        raise NotSold("price_moved", f"asked {ceiling}, got {order.cost_micros}")
    return order


def provider_codes(activation: Activation, provider: str) -> tuple[str, str]:
    """What a provider calls this activation's service and country."""
    adapter = registry.find(provider)
    assert adapter is not None, provider
    service = db.session.get_one(Service, activation.service_code)
    country = db.session.get_one(Country, activation.country_code)
    return getattr(service, adapter.protocol), getattr(country, adapter.protocol)


def max_cost_micros(activation: Activation, currency: str) -> int:
    """The most an activation's number may cost us, by the rate its provider was asked with. Raises pricing.NoRate."""
    return pricing.max_cost_micros(activation.price_minor, currency, activation.exchange_rate)


class _NotOurs(Exception):
    """The order a provider answered with is being given back already."""


def accept(activation: Activation, order: Order, *, is_found: bool = False) -> bool:
    """T2: the provider gave a number. True when the activation has it now.

    It may be too late (the worker settled the activation meanwhile): then the order is given back, unless it was only
    found (`is_found`) in the list, for it may be another's that is in doubt; the sweep sees to it. The provider may
    have answered with an order that belongs to another activation, or to none any more: then ours is in doubt and its
    own is looked for. Where the provider does not say what it took, it is what its offer said.
    """
    adapter = registry.find(activation.provider_name)
    assert adapter is not None, activation.provider_name
    now = database_time()
    expires = windows.end(order, now, timedelta(seconds=adapter.rules.window_seconds), is_found=is_found)
    cost = order.cost_micros if order.cost_micros is not None else activation.cost_micros or 0
    try:
        with transaction():
            taken = move(
                activation,
                ("buying", "in_doubt"),
                state="waiting",
                provider_ref=order.provider_ref,
                phone=order.phone,
                cost_micros=cost,
                expires_at=expires,
                due_at=expires + GRACE,
                cancel_from=now + timedelta(seconds=adapter.rules.cancel_lock_seconds),
                tries=0,
            )
            if taken:
                if not strays.claim(activation.provider_name, order.provider_ref):
                    raise _NotOurs
                strays.book_cost(activation)
                note(activation, "number", activation.provider_name)
            elif not is_found and strays.unclaimed(activation.provider_name, [order.provider_ref]):
                strays.add(activation.provider_name, order.provider_ref, "too_late", cost)
    except (IntegrityError, _NotOurs) as error:
        if isinstance(error, IntegrityError) and violated(error) != "uq_activations_provider_name_provider_ref":
            raise
        db.session.refresh(activation)
        doubt(activation, "duplicate_order")
        return False
    live.publish(activation.user_id, "activation", activation.id)
    return taken


def fail(activation: Activation, reason: str) -> bool:
    """T4 for a purchase that bought nothing: the whole hold goes back."""
    with transaction():
        moved = move(
            activation, ("buying", "in_doubt"), state="failed", end_reason=reason, ended_at=func.now(), cost_micros=None
        )
        if moved:
            ledger.release(activation.user_id, activation.reference, activation.price_minor, note=reason)
            note(activation, "money_back", detail=reason)
    live.publish(activation.user_id, "activation", activation.id)
    return moved


def doubt(activation: Activation, reason: str) -> None:
    """The provider may or may not have sold: keep the hold, ask nobody else, let the worker find out."""
    with transaction():
        if move(activation, ("buying",), state="in_doubt", due_at=Activation.attempt_at + LONGEST_DOUBT):
            note(activation, "in_doubt", activation.provider_name, reason)
    live.publish(activation.user_id, "activation", activation.id)


def receive(activation_id: int, found: Sequence[Sms]) -> int:
    """T3: store messages the provider has for an activation; the first one takes the held money.

    Returns how many were new. Webhook and poll may bring the same message: one copy is kept, one capture made. After
    the money went back a message is stored and shown, flagged late, and moves nothing.
    """
    with transaction():
        activation = db.session.get_one(Activation, activation_id, with_for_update=True, populate_existing=True)
        late = activation.end_reason is not None
        new = sum(messages.store(activation, sms, late) for sms in found)
        if new:
            note(activation, "late_sms" if late else "code", activation.provider_name)
        if new and activation.state == "waiting":
            move(activation, ("waiting",), state="received", received_at=func.now(), due_at=activation.expires_at)
            ledger.capture(activation.user_id, activation.reference, activation.price_minor)
        elif new and activation.asked_again_at:
            move(activation, OPEN, asked_again_at=None)
    if new:
        live.publish(activation.user_id, "activation", activation.id)
    return new


def give_back(activation: Activation, state: str, reason: str, *, closed_at_provider: bool) -> bool:
    """T4: the window is over or the customer cancelled. The customer's money returns now, whatever the provider does.

    What the provider owes us for it is booked; unless it has confirmed the closing, the worker closes the stray.
    A replacement that was asked for is a job, and so survives whatever happens to this process."""
    with transaction():
        moved = move(activation, ("waiting",), state=state, end_reason=reason, ended_at=func.now())
        if moved:
            ledger.release(activation.user_id, activation.reference, activation.price_minor, note=reason)
            note(activation, "money_back", detail=reason)
            strays.book_refund(activation, closed=closed_at_provider, ban=reason == "number_used")
            if activation.replace_wanted:
                defer("replace_number", activation_id=activation.id)
    live.publish(activation.user_id, "activation", activation.id)
    return moved


def move(activation: Activation, allowed: Sequence[str], **changes: object) -> bool:
    """Change a row if it is still in one of the `allowed` states; False when somebody else was first.

    The one place that writes `state`, checked against the transition table.
    """
    target = changes.get("state")
    if target is not None:
        wrong = [state for state in allowed if str(target) not in TRANSITIONS[state]]
        if wrong:
            raise ValueError(f"no way from {wrong[0]} to {target}")
    moved = db.session.scalar(
        update(Activation)
        .where(Activation.id == activation.id, Activation.state.in_(allowed))
        .values(**changes)
        .returning(Activation.id)
        .execution_options(synchronize_session=False)
    )
    db.session.refresh(activation)
    return moved is not None


def note(activation: Activation, kind: str, provider: str | None = None, detail: str = "") -> None:
    """A line in the activation's timeline."""
    db.session.add(ActivationEvent(activation_id=activation.id, kind=kind, provider_name=provider, detail=detail[:200]))
