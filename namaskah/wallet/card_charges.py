"""Charging kept cards: our reference is on disk first, then the gateway is asked, and what came of it is settled as for
every top-up. An answer that is not clear is settled by verify; the same reference never takes money twice."""

import logging

from flask_babel import gettext as _

from namaskah.auth import account_locks, encryption
from namaskah.auth.models import User
from namaskah.db import leave_database, transaction
from namaskah.errors import UserError
from namaskah.wallet import cards, topups
from namaskah.wallet.auto_wishes import CARD_REFUSED, NOT_OPENED
from namaskah.wallet.models import TopUp
from namaskah.wallet.paystack import DuplicateReference, GatewayDown, GatewayRefused
from namaskah.wallet.paystack_cards import CardGateway, CardRefused

log = logging.getLogger(__name__)

# Two tries under one reference: banks take their time, and somebody may be waiting.
DEADLINES = (10.0, 6.0)


def gateway() -> CardGateway:
    """The gateway of this installation. Raises UserError (503) when none is configured."""
    paystack = topups.gateway()
    return CardGateway(paystack.secret_key, paystack.base_url)


def pay(user: User, card_id: int, amount_minor: int, key: str) -> TopUp:
    """Top up with a kept card. The same `key` gives the same top-up, and one charge, however often it is sent.

    The result may be any state of a top-up; an `opened` one with an address waits for the cardholder there. Raises
    UserError before anything was charged, KeyUsed when the key came with other content.
    """
    gateway()
    topups.require_amount(amount_minor)
    user_id = user.id
    card = cards.get(user_id, card_id)
    if cards.is_expired(card):
        raise UserError(_("This card has expired. Nothing was charged; pay with another one."), status=422)
    with transaction():
        # A deletion takes the same lock: no charge begins behind its back.
        if not account_locks.lock(user_id).is_active:
            raise UserError(_("Your account is closed. Nothing was charged."), status=403)
        top_up, is_ours = topups.record(user_id, amount_minor, key, origin="card", card_id=card.id)
    if not is_ours:
        return top_up
    try:
        return charge(top_up.reference)
    except GatewayRefused as error:
        return topups.give_up(top_up.reference, NOT_OPENED, error.reason)


def charge(reference: str) -> TopUp:
    """Charge the card of an opened top-up; calling it again is safe. What is not clear afterwards stays open: the sweep
    asks on.

    Raises GatewayRefused when the gateway will not speak with us (a wrong key): that is no word about the card.
    """
    paystack, top_up = gateway(), topups.get_top_up(reference)
    if top_up.state != "opened":
        return top_up  # given up or settled since: another one may be under way in its place
    try:
        card = cards.get(top_up.user_id, top_up.card_id or 0)
        what = (cards.code_of(card), str(card.email), top_up.asked_minor, top_up.currency)
    except (cards.CardGone, encryption.Unreadable):
        log.warning("top-up %s: its card can be charged no more", reference)
        return topups.give_up(reference, CARD_REFUSED, "the card is not kept any more")
    leave_database()
    is_first = True
    for deadline in DEADLINES:
        try:
            address = paystack.charge(reference, *what, deadline)
        except GatewayDown as error:
            log.warning("top-up %s: the charge got no clear answer (%s)", reference, error)
            is_first = False
            continue
        except CardRefused as error:
            if is_first:
                return topups.give_up(reference, CARD_REFUSED, error.reason)
            break  # the try before may have got through all the same
        except DuplicateReference:
            break
        if address is not None:
            return topups.ask_cardholder(reference, address)
        break
    return _settled(reference)


def _settled(reference: str) -> TopUp:
    try:
        return topups.settle(reference)
    except (GatewayDown, GatewayRefused) as error:
        log.warning("top-up %s: charged or not, the gateway does not tell (%s)", reference, error)
        return topups.get_top_up(reference)
