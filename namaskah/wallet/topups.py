"""Money in: a top-up is opened here, paid at the gateway, and credited once the gateway itself has told us so.

    opened ──► paid                      verified: amount, currency and mode are what we asked for
       ├─────► pending ──► paid | …      the payer's bank is still at it
       ├─────► failed, abandoned ──► …   so far; the payer may still pay on the same checkout
       ├─────► mismatch ──► paid, closed paid, but not what we asked for, or for an account that was deleted since:
       │                                 a person decides (mismatches.py)
       └─────► expired                   nothing for 72 hours; a payment confirmed later is still credited

The return page, the webhook and the sweep all call `settle()`. It asks the gateway outside any transaction and then
decides under the row's lock, so any number of them at once credit once. What each state means to the customer is in
endings.py; what finds payments nobody has told us of, in sweeping.py.
"""

import logging
import re
import secrets
from datetime import datetime, timedelta
from typing import Any

from flask import current_app
from flask_babel import gettext as _
from sqlalchemy import Interval, func, literal_column, select
from sqlalchemy.dialects.postgresql import insert as pg_insert

from namaskah import live, mail
from namaskah.auth import account_locks
from namaskah.auth.models import User
from namaskah.claims import claim_due
from namaskah.db import db, leave_database, require_transaction, transaction
from namaskah.errors import UserError
from namaskah.wallet import auto_wishes, cards, debts, invoices, ledger, quotes
from namaskah.wallet.auto_wishes import NOT_OPENED
from namaskah.wallet.card_models import SavedCard
from namaskah.wallet.models import TopUp
from namaskah.wallet.paystack import (
    DuplicateReference,
    GatewayDown,
    GatewayRefused,
    Payment,
    Paystack,
    SubjectUnknown,
)

log = logging.getLogger(__name__)

RETURN_PATH = "/wallet/top-up/return"
PAGE_PATH = "/wallet/top-ups/"
# Ours, and those that Paystack gives by itself: a payment found there keeps its own (unknown_payments.py).
REFERENCE = re.compile("[A-Za-z0-9._=-]{1,40}")
# Two tries under one reference, together within what a person waits for.
INITIALIZE_DEADLINES = (6.0, 4.0)
# Growing with its age: who pays at once is seen at once when the webhook is lost.
NEXT_GAP = literal_column(
    "least(greatest((now() - created_at) / 4, interval '1 minute'), interval '1 hour')", Interval()
)
GIVE_UP_AFTER = timedelta(hours=72)
FINAL = ("paid", "closed")
# A card's charge may be on its way to the gateway still when that says it knows none: so long until we believe it.
UNHEARD_AFTER = timedelta(minutes=5)
# Nobody has the address at which the bank waits for the cardholder: the answer that told it got lost.
UNCONFIRMED_AFTER = timedelta(minutes=10)
STATES = {
    "failed": "failed",
    "reversed": "failed",  # sent back to the payer before we had credited it
    "abandoned": "abandoned",
    "pending": "pending",
    "processing": "pending",
    "ongoing": "pending",
    "queued": "pending",
}


class UnknownTopUp(SubjectUnknown):
    """We never opened a top-up with this reference."""


class KeyUsed(UserError):
    """The form's one-time key belongs to another top-up."""

    status = 409


class AccountGone(UserError):
    """The payer's account was deleted meanwhile: nobody could spend the money there, and nobody would hear of it."""

    status = 409


def gateway() -> Paystack:
    """The gateway of this installation. Raises UserError (503) when none is configured."""
    if not current_app.config["PAYSTACK_SECRET_KEY"]:
        raise UserError(_("Top-ups are closed at the moment. Your balance is untouched."), status=503)
    return Paystack(current_app.config["PAYSTACK_SECRET_KEY"], current_app.config["PAYSTACK_BASE_URL"])


def get_top_up(reference: str) -> TopUp:
    """The top-up as last settled. Raises UnknownTopUp."""
    query = select(TopUp).filter_by(reference=reference)
    found = db.session.scalar(query.execution_options(populate_existing=True))
    if found is None:
        raise UnknownTopUp(reference)
    return found


def open_top_up(user: User, amount_minor: int, key: str, *, keep_card: bool = False) -> TopUp:
    """Open a checkout for this many minor units, and for Paystack's fee on top where the customer bears it. The same
    `key` gives the same top-up, however often it is sent.
    `keep_card`: the payer wants the card kept, if it is paid with one that may be charged again.


    When the gateway does not open one the top-up is returned as `failed`: nothing was taken, a new form starts anew.
    Raises UserError outside the limits or without a gateway, KeyUsed when the key came with other content.
    """
    paystack = gateway()
    require_amount(amount_minor)
    email, user_id = user.email, user.id
    with transaction():
        top_up, is_ours_to_open = record(user_id, amount_minor, key, keep_card=keep_card)
    if not is_ours_to_open:
        return top_up
    return _open_checkout(paystack, top_up, email)


def require_amount(amount_minor: int) -> None:
    """Raises UserError for an amount outside the limits of a top-up."""
    if not quotes.is_allowed(amount_minor):
        raise UserError(_("This amount is outside the limits of a top-up. Choose another one."))


def record(user_id: int, amount_minor: int, key: str, **more: Any) -> tuple[TopUp, bool]:
    """The key's top-up, and whether this very call has made it. Our reference is on disk before the gateway hears it:
    nothing can be paid that we do not know of. `more` are columns of the new one: origin, card_id, keep_card.

    Needs an open transaction. Raises KeyUsed when the key came with other content.
    """
    require_transaction()
    known = select(TopUp).filter_by(key=key).execution_options(populate_existing=True)
    # Looked for first: inserting the same key would wait for whoever settles that row, and who may wait for us.
    top_up = db.session.scalar(known)
    opened = None if top_up else _insert(user_id=user_id, amount_minor=amount_minor, key=key, **more)
    top_up = top_up or opened or db.session.scalars(known).one()
    if (top_up.user_id, top_up.amount_minor, top_up.card_id) != (user_id, amount_minor, more.get("card_id")):
        raise KeyUsed(_("This form was sent before, with another amount. Look at it once more and send it again."))
    return top_up, opened is not None


def _insert(amount_minor: int, **more: Any) -> TopUp | None:
    """A new top-up; None when its key came in at the same moment from elsewhere."""
    return db.session.scalar(
        pg_insert(TopUp)
        .values(
            reference=f"NK-{secrets.token_hex(10)}",
            amount_minor=amount_minor,
            surcharge_minor=quotes.quote(amount_minor).surcharge_minor,
            currency=current_app.config["WALLET_CURRENCY"],
            check_at=func.now() + timedelta(minutes=1),
            **more,
        )
        .on_conflict_do_nothing(index_elements=["key"])
        .returning(TopUp)
    )


def settle(reference: str) -> TopUp:
    """Ask the gateway what came of a top-up and act on it; one that was paid, or closed by a person, stays as it is.

    Raises UnknownTopUp, GatewayDown or GatewayRefused; then nothing has changed and the sweep asks again.
    """
    top_up = get_top_up(reference)
    if top_up.state in FINAL:
        return top_up
    paystack = gateway()
    leave_database()
    payment = paystack.verify(reference)
    with transaction():
        top_up = lock(reference)
        before = top_up.state
        _apply(top_up, payment, paystack.domain)
        if top_up.state != before:
            _tell(top_up, before)
    return top_up


def give_up(reference: str, status: str, why: str) -> TopUp:
    """It was not opened (NOT_OPENED) or its card not charged (CARD_REFUSED). The sweep goes on asking: should the
    gateway have taken money all the same, it is credited."""
    with transaction():
        top_up = lock(reference)
        if (before := top_up.state) == "opened":
            top_up.state, top_up.gateway_status, top_up.gateway_message = "failed", status, why
            _tell(top_up, before)
    return top_up


def ask_cardholder(reference: str, address: str) -> TopUp:
    """The bank wants its customer to confirm the charge at this address. One that was to go by itself is over with
    that, though it may still be paid there."""
    with transaction():
        top_up = lock(reference)
        if (before := top_up.state) in ("opened", "pending"):
            top_up.checkout_url = address
            if top_up.origin == "auto":
                top_up.state = "abandoned"
            _tell(top_up, before)
    return top_up


def sweep_due(limit: int = 20) -> int:
    """Worker: settle top-ups whose time to ask has come, one after the other; gives how many were.

    Stops at the first sign that the gateway is away, instead of piling up calls that each run into the deadline. What
    it could not settle has its next time already and does not count: the worker pauses, then tries another one.
    """
    if not current_app.config["PAYSTACK_SECRET_KEY"]:
        return 0
    for done in range(limit):
        reference = claim_due(TopUp.check_at, NEXT_GAP, TopUp.reference)
        if reference is None:
            return done
        try:
            settle(reference)
        except GatewayDown as error:
            log.warning("top-up %s: the gateway does not answer (%s)", reference, error)
            return done
        except GatewayRefused as error:
            log.error("top-up %s: the gateway refuses to tell (%s)", reference, error)
            return done
    return limit


def _open_checkout(paystack: Paystack, top_up: TopUp, email: str) -> TopUp:
    """Ask for the checkout, at most twice and always under the one reference.

    An answer that got lost cannot be asked for again: the gateway then says "duplicate" and tells no address. Nobody
    has that address, so nobody can pay there, and the top-up may end as failed.
    """
    why = "the gateway did not answer"
    leave_database()
    for deadline in INITIALIZE_DEADLINES:
        try:
            return _opened(top_up.reference, _initialize(paystack, top_up, email, deadline))
        except GatewayDown as error:
            log.warning("top-up %s: initialize got no clear answer (%s)", top_up.reference, error)
        except DuplicateReference:
            why = "the address of the checkout was lost on its way"
            break
        except GatewayRefused as error:
            log.error("top-up %s: initialize was refused (%s)", top_up.reference, error)
            why = error.reason
            break
    return give_up(top_up.reference, NOT_OPENED, why)


def _initialize(paystack: Paystack, top_up: TopUp, email: str, deadline: float) -> str:
    base = current_app.config["BASE_URL"]
    return paystack.initialize(
        top_up.reference,
        email,
        top_up.asked_minor,
        top_up.currency,
        callback_url=base + RETURN_PATH,
        cancel_url=base + PAGE_PATH + top_up.reference,
        deadline=deadline,
    )


def _opened(reference: str, checkout_url: str) -> TopUp:
    with transaction():
        top_up = lock(reference)
        top_up.checkout_url = checkout_url
        if top_up.gateway_status == NOT_OPENED:  # the answer took so long that the sweep had given it up
            top_up.state, top_up.gateway_status = "opened", None
    return top_up


def _tell(top_up: TopUp, before: str) -> None:
    """Of a new state: the payer's open pages, and whatever charges by itself."""
    live.publish_on_commit(top_up.user_id, "wallet")
    if top_up.origin == "auto":
        auto_wishes.note_outcome(top_up, before)


def lock(reference: str) -> TopUp:
    """The row, read anew and ours until the transaction ends; ledger accounts are locked after it, never before.

    Needs an open transaction.
    """
    require_transaction()
    query = select(TopUp).filter_by(reference=reference).with_for_update()
    return db.session.scalars(query.execution_options(populate_existing=True)).one()


def _apply(top_up: TopUp, payment: Payment | None, domain: str) -> None:
    """Under the row's lock: what the gateway said becomes state, and at most once money."""
    require_transaction()
    if top_up.state in FINAL:
        return  # somebody else has settled it while we asked
    now = db.session.scalars(select(func.now())).one()
    if payment is not None:
        _note(top_up, payment, domain, now)
    elif top_up.checkout_url is None and top_up.state == "opened" and _is_unheard(top_up, now):
        # Whoever opened it was killed between our commit and the call, or the call never got through.
        top_up.state, top_up.gateway_status = "failed", NOT_OPENED
    if top_up.state not in ("paid", "mismatch") and now - top_up.created_at >= GIVE_UP_AFTER:
        top_up.state = "failed" if top_up.state == "failed" else "expired"
        top_up.check_at = None


def _is_unheard(top_up: TopUp, now: datetime) -> bool:
    return top_up.origin == "checkout" or now - top_up.created_at >= UNHEARD_AFTER


def _note(top_up: TopUp, payment: Payment, domain: str, now: datetime) -> None:
    if top_up.state == "mismatch" and payment.status not in ("success", "reversed"):
        return  # an older answer that was long on its way: it must not hide from a person what has been paid
    is_on_its_way = payment.status != "success" and STATES.get(payment.status, "pending") == "pending"
    if is_on_its_way and auto_wishes.has_successor(top_up):
        return  # given up, and heard of so late that another one is under way: one at a time is; asked again later
    top_up.gateway_status, top_up.channel = payment.status, payment.channel
    top_up.gateway_message = payment.gateway_response
    if payment.status != "success":
        if payment.status not in STATES:
            log.error("top-up %s: unknown status %r at the gateway", top_up.reference, payment.status)
        top_up.state = STATES.get(payment.status, "pending")
        waits_in_vain = payment.status == "ongoing" and top_up.origin != "checkout" and top_up.checkout_url is None
        if waits_in_vain and now - top_up.created_at >= UNCONFIRMED_AFTER:
            top_up.state = "abandoned"
        return
    difference = _difference(top_up, payment, domain)
    told = (
        f"paid {payment.amount_minor} {payment.currency} in {payment.domain} mode,"
        f" asked {top_up.asked_minor} {top_up.currency} in {domain} mode"
    )
    if difference is None:
        try:
            credit(top_up, payment, now)
            return
        except AccountGone:
            told = f"the account is deleted, {told}"
    if top_up.state != "mismatch":
        log.error("top-up %s needs a person: %s, %s", top_up.reference, difference or "nobody's", told)
    top_up.state, top_up.difference, top_up.gateway_message, top_up.check_at = "mismatch", difference, told, None
    top_up.seen_minor, top_up.seen_currency = payment.amount_minor, payment.currency[:16]


def _difference(top_up: TopUp, payment: Payment, domain: str) -> str | None:
    """In what was paid otherwise than asked (one of DIFFERENCES), or None.

    Neither too little nor too much is credited by itself. We fix the amount when we open the checkout, so a different
    one means something is wrong that software cannot judge: a part payment, fees passed on to payers in Paystack's
    settings, or a reference somebody else's request got hold of. A person credits what was paid, or closes it.
    """
    if payment.domain != domain:
        return "wrong_mode"
    if payment.currency != top_up.currency:
        return "wrong_currency"
    if payment.amount_minor != top_up.asked_minor:
        return "underpaid" if payment.amount_minor < top_up.asked_minor else "overpaid"
    return None if top_up.currency == current_app.config["WALLET_CURRENCY"] else "other_wallet"


def credit(top_up: TopUp, payment: Payment, now: datetime) -> None:
    """State, ledger, receipt and mail in the open transaction that holds the top-up's lock: all of it or nothing.

    The customer has what was chosen, less what is owed after a dispute. What was paid on top for the gateway's fee
    meets, in our books, the fee that the gateway says it took: the difference is the house's, either way.
    Raises AccountGone, with nothing done.
    """
    require_transaction()
    fees, reference = payment.fees_minor or 0, f"top_up:{top_up.reference}"
    credited = payment.amount_minor - top_up.surcharge_minor
    # A deletion takes the same lock.
    if account_locks.lock(top_up.user_id).deleted_at is not None:
        raise AccountGone(_("The account is deleted: nothing was credited. Send the money back at Paystack."))
    ledger.top_up(top_up.user_id, reference, credited, fees)
    if top_up.surcharge_minor:
        ledger.surcharge(reference, top_up.surcharge_minor)
    debts.pay(top_up.user_id)
    top_up.state, top_up.paid_minor, top_up.fees_minor = "paid", payment.amount_minor, fees
    top_up.settled_at, top_up.check_at = now, None
    user = db.session.get_one(User, top_up.user_id)
    balance_minor = ledger.balance(user.id).spendable_minor
    receipt = invoices.issue_receipt(top_up, payment.paid_at)
    if top_up.origin == "auto":
        card = db.session.get(SavedCard, top_up.card_id)
        named = cards.name(card) if card else ""
        mail.auto_top_up_paid(user, credited, balance_minor, receipt.full_number, named)
    elif user.receipt_letters:
        mail.top_up_paid(user, credited, balance_minor, receipt.full_number)
    if top_up.keep_card and user.is_active:
        cards.keep(user.id, payment)
