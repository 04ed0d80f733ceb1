"""How an activation ends: the customer is done, gives the number back, or the window goes by.

A provider refuses to take a number back in its first minutes (`cancel_from`): the wish is kept on the row and the
worker carries it out when it may, so the customer can leave the page.
"""

from datetime import datetime, timedelta

from flask import current_app
from flask_babel import gettext as _
from sqlalchemy import func

from namaskah import live
from namaskah.auth.models import User
from namaskah.db import database_time, db, transaction
from namaskah.errors import UserError
from namaskah.jobs import defer
from namaskah.numbers import activations, messages, registry
from namaskah.numbers.activations import GRACE, NotNow, give_back, move, note, receive
from namaskah.numbers.models import Activation
from namaskah.providers.base import CloseOutcome, Closing, OrderStatus, ProviderDown

# A customer's refund does not wait for a provider that has failed to answer this often in a row.
MAX_TRIES = 3
RETRY = timedelta(seconds=5)
# Nor for a queue at a provider that answers nobody.
LONGEST_WAIT = timedelta(minutes=1)
# A provider says "too early" without saying until when.
TOO_EARLY_RETRY = timedelta(seconds=15)
# Nobody waits for a replacement any longer than this.
REPLACE_WITHIN = timedelta(minutes=10)


def cancel(activation: Activation, reason: str = "customer_cancelled", *, replace: bool = False) -> None:
    """The customer gives the number back (`number_used`: because the service knows it already).

    Done at once when the provider allows it, else as soon as it does. Raises NotNow when an SMS came or it is over.
    """
    # Asked once and put off: pressing again neither hurries the provider nor counts as another of its silences.
    now = database_time()
    is_under_way = activation.cancel_requested_at is not None and activation.due_at > now
    due_at = func.least(func.greatest(Activation.cancel_from, func.now() + RETRY), Activation.expires_at)
    with transaction():
        wanted = move(
            activation,
            ("waiting",),
            cancel_requested_at=func.coalesce(Activation.cancel_requested_at, func.now()),
            cancel_reason=reason,
            replace_wanted=replace,
            due_at=Activation.due_at if is_under_way else due_at,
        )
        if wanted:
            note(activation, "cancel_wanted", detail=reason)
    if not wanted:
        raise NotNow(_not_cancellable(activation))
    live.publish(activation.user_id, "activation", activation.id)
    if not is_under_way and (activation.cancel_from is None or activation.cancel_from <= now):
        close(activation)
        if replace and activation.state == "cancelled":
            replace_number(activation.id)


def _not_cancellable(activation: Activation) -> str:
    if activation.state in {"received", "finished"}:
        return _("A code came before you cancelled, so this number is paid for. The code is on its page.")
    if activation.state in {"buying", "in_doubt"}:
        return _("We are still getting the number. Your money is held; try again in a moment.")
    return _("This activation is over already; its money is back in your wallet.")


def finish(activation: Activation) -> None:
    """The customer has what they came for. Raises NotNow unless a code came; a second time does nothing."""
    with transaction():
        done = move(activation, ("received",), state="finished", ended_at=func.now())
        if done:
            note(activation, "finished")
            defer("finish_order", provider=activation.provider_name, provider_ref=activation.provider_ref)
    if not done and activation.state != "finished":
        raise NotNow(_("There is no code yet, so there is nothing to finish. Your money is held or already back."))
    live.publish(activation.user_id, "activation", activation.id)


def finish_order(provider: str, provider_ref: str) -> None:
    """Job: tell the provider that the customer is done. Raises ProviderDown, and the queue tries again."""
    if registry.find(provider):
        registry.ask(provider).finish(provider_ref)


def ask_again(activation: Activation) -> None:
    """The customer wants another code on the same number; free while the window is open. Raises NotNow."""
    name, ref = activation.provider_name, activation.provider_ref or ""
    if activation.state != "received" or _is_over(activation):
        raise NotNow(_("This number takes no more messages. You can buy a new one."))
    try:
        with registry.asking(name) as adapter:
            agreed = adapter.ask_again(ref)
    except ProviderDown as error:
        current_app.logger.info("another code for activation %s not asked: %s", activation.id, error)
        raise UserError(_("The provider did not answer. Nothing was charged; try again."), status=503) from None
    if not agreed:
        raise NotNow(_("The provider allows only one code on this number. You have paid for it once."))
    with transaction():
        if move(activation, ("received",), asked_again_at=func.now()):
            note(activation, "asked_again")
    live.publish(activation.user_id, "activation", activation.id)


def stop_waiting(activation: Activation) -> None:
    """The other code that was asked for has come, and is the one we have: the page waits for no other."""
    asked_at = activation.asked_again_at
    with transaction():
        locked = db.session.get_one(Activation, activation.id, with_for_update=True, populate_existing=True)
        # Asked once more meanwhile, it waits on.
        if locked.asked_again_at == asked_at and move(locked, ("received",), asked_again_at=None):
            note(locked, "code", locked.provider_name)
    live.publish(activation.user_id, "activation", activation.id)


def close(activation: Activation) -> None:
    """End a waiting activation now: tell the provider, look once more for an SMS, give the money back.

    Called for a cancel that may be carried out, and at the end of a window that the poll did not end. Puts itself off
    (`due_at`) when the provider says it is too early or does not answer, but not past MAX_TRIES.
    """
    try:
        closing = _tell_provider(activation)
    except ProviderDown as error:
        # While the window runs a code may still come: a provider that was not asked has not been silent.
        tries = activation.tries + (error.reason != registry.RESTING or _is_over(activation))
        if tries < MAX_TRIES and not _has_waited_long(activation):
            _put_off(activation, func.now() + RETRY, tries=tries)
            return
        current_app.logger.warning("activation %s closed without its provider: %s", activation.id, error)
        closing = None
    if closing and closing.outcome is CloseOutcome.HAS_SMS:
        return
    if closing and closing.outcome is CloseOutcome.TOO_EARLY and not _is_over(activation):
        until = allowed_again_at(closing)
        _put_off(activation, func.least(until, Activation.expires_at + GRACE), tries=0, cancel_from=until)
        return
    closed = closing is not None and closing.outcome in {CloseOutcome.CLOSED, CloseOutcome.ALREADY_CLOSED}
    conclude(activation, closed_at_provider=closed)


def allowed_again_at(closing: Closing) -> datetime:
    """When to ask again after "too early": as the provider says, else a little later; never at once."""
    return database_time() + max(closing.retry_after or TOO_EARLY_RETRY, RETRY)


def conclude(activation: Activation, *, closed_at_provider: bool) -> bool:
    """A waiting activation is over without an SMS: give the money back, with the reason its row tells."""
    if activation.cancel_reason:
        return give_back(activation, "cancelled", activation.cancel_reason, closed_at_provider=closed_at_provider)
    # Their clock and ours may differ a little: an order they end half a minute before its time has run its time.
    reason = "no_code" if _is_over(activation, timedelta(seconds=30)) else "provider_closed"
    return give_back(activation, "expired", reason, closed_at_provider=closed_at_provider)


def replace_number(activation_id: int) -> None:
    """Buy another number in place of one that was no good, at the same price at most; nothing when none is on sale.

    Job, and also done at once for a customer who looks on. Both may run: the key of the new activation is made from
    the old one's id. Without a new one the old page says what to do.
    """
    activation = db.session.get_one(Activation, activation_id, populate_existing=True)
    ended = activation.ended_at
    if ended is None or ended < database_time() - REPLACE_WITHIN:
        return
    user = db.session.get_one(User, activation.user_id)
    service, country, operator = activation.service_code, activation.country_code, activation.operator
    key = replacement_key(activation_id)
    try:
        activations.buy(user, service, country, operator, activation.price_minor, key, replaces=activation)
    except UserError as error:
        current_app.logger.info("no replacement for activation %s: %s", activation_id, type(error).__name__)


def find_replacement(activation: Activation) -> Activation | None:
    """The activation that was bought in place of this one."""
    return activations.find_by_key(activation.user_id, replacement_key(activation.id))


def replacement_key(activation_id: int) -> str:
    """The one-time key of a replacement: there is one at most. (Keys of forms are 32 hex digits.)"""
    return f"replace:{activation_id}"


def _tell_provider(activation: Activation) -> Closing:
    """Ask the provider to close the order; where an SMS got in first, take it. Raises ProviderDown."""
    # Read before the provider is asked: touching the row between its calls would hold a connection through them.
    name, ref = activation.provider_name, activation.provider_ref or ""
    reason = activation.cancel_reason
    with registry.asking(name) as adapter:
        ban = reason == "number_used" and adapter.rules.can_ban
        closing = adapter.ban(ref) if ban else adapter.cancel(ref)
        look = closing.outcome is CloseOutcome.HAS_SMS or reason is None
        order = adapter.get_order(ref) if look else None
    if order and order.status is OrderStatus.REFUNDED:
        return Closing(CloseOutcome.ALREADY_CLOSED)
    if order and (found := messages.only_own(order, activation).messages):
        receive(activation.id, found)
        return Closing(CloseOutcome.HAS_SMS)
    if closing.outcome is CloseOutcome.HAS_SMS:
        # It says there is an SMS and shows none: read again before anything is decided.
        raise ProviderDown("bad_answer", "an SMS that cannot be read")
    return closing


def _put_off(activation: Activation, until: object, **changes: object) -> None:
    with transaction():
        move(activation, ("waiting",), due_at=until, **changes)
    live.publish(activation.user_id, "activation", activation.id)


def _has_waited_long(activation: Activation) -> bool:
    wanted_at = activation.cancel_requested_at
    since = max(filter(None, (wanted_at, activation.cancel_from)), default=None) if wanted_at else None
    return since is not None and since < database_time() - LONGEST_WAIT


def _is_over(activation: Activation, margin: timedelta = timedelta()) -> bool:
    return activation.expires_at is None or activation.expires_at <= database_time() + margin
