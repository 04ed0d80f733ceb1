"""Payments that the gateway has and no top-up of ours accounts for: begun after the backup that was had back, or past
our checkout. A person finds out whose it is, and it is credited like any other.

It becomes a top-up under the gateway's own reference, written and credited in one transaction, so none is ever seen
half. Its unique reference decides: whoever comes second, whatever is heard of it later, finds it as any other top-up.
"""

from collections.abc import Callable
from dataclasses import dataclass

from flask import current_app
from flask_babel import gettext as _
from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import insert as pg_insert

from namaskah import live
from namaskah.auth import account_locks, audit
from namaskah.auth.models import User
from namaskah.db import db, require_transaction, transaction
from namaskah.wallet import inbox, mismatches, quotes, refund_asking, topups
from namaskah.wallet.mismatches import Undecidable
from namaskah.wallet.models import TopUp
from namaskah.wallet.paystack import GatewayDown, GatewayRefused, Payment
from namaskah.wallet.quotes import Quote

# Who else may have booked a payment enters here whether it knows the reference: a person is warned.
booked_elsewhere: list[Callable[[str], bool]] = []


@dataclass(frozen=True)
class Found:
    """A payment as the gateway tells it now, and what it would bring: the customer's part and the fee on top."""

    payment: Payment
    quote: Quote


def find(reference: str) -> TopUp | None:
    """The top-up that accounts for it, if there is one by now."""
    try:
        return topups.get_top_up(reference) if topups.REFERENCE.fullmatch(reference) else None
    except topups.UnknownTopUp:
        return None


def ask(reference: str) -> Found:
    """Ask the gateway what of it could be credited now. Raises UserError, which says why nothing can."""
    if not topups.REFERENCE.fullmatch(reference):
        raise Undecidable(
            _("No top-up can have this reference, so nothing can be credited for it. Send the money back at Paystack.")
        )
    payment = _require_paid(mismatches.verify(reference))
    quote = quotes.of_payment(payment.amount_minor)
    if quote.credit_minor <= 0:
        raise Undecidable(_("Nothing would be left of it after Paystack’s fee: nothing was credited."))
    if _goes_back(reference):
        raise Undecidable(
            _("Some of this payment has gone back at Paystack, or is on its way there: nothing was credited.")
        )
    return Found(payment, quote)


def credit(reference: str, user_id: int, seen: Quote, actor: str, reason: str) -> bool:
    """Credit it to this account; False when that was done before.

    `seen` is what the person has looked at. Raises UserError when nothing is credited: without a reason, another
    account has it, not paid, another amount than that, another currency or mode, on its way back, no such account.
    """
    why = mismatches.require_reason(reason)
    if _is_done(reference, user_id):
        return False
    _require_account(db.session.scalar(select(User).where(User.id == user_id)))
    found = ask(reference)
    if found.quote != seen:
        raise Undecidable(_("Paystack names another amount than this page did: nothing was credited. Look again."))
    with transaction():
        top_up = _adopt(found, user_id, actor, why)
        if top_up is None:  # somebody was first
            _is_done(reference, user_id)
            return False
        _require_account(account_locks.find_and_lock(user_id))
        topups.credit(top_up, found.payment, db.session.scalars(select(func.now())).one())
        inbox.look_again(reference)  # what was heard of it and was nobody's
        live.publish_on_commit(user_id, "wallet")
        amounts = {"paid": found.payment.amount_minor, "credited": found.quote.credit_minor}
        audit.record("unknown_payment_credited", user_id, actor, top_up=reference, reason=why, **amounts)
    return True


def _is_done(reference: str, user_id: int) -> bool:
    """Whether it is in this account's wallet. Raises Undecidable when it is somebody else's, or not credited here."""
    known = find(reference)
    if known is None:
        return False
    if known.user_id != user_id:
        raise Undecidable(_("Another account has this payment already. Nothing was credited now."))
    if known.state != "paid":
        raise Undecidable(_("A top-up of ours accounts for this payment: decide on its own page. Nothing was done."))
    return True


def _adopt(found: Found, user_id: int, actor: str, reason: str) -> TopUp | None:
    """The payment as a top-up of ours, begun when it was paid; None when somebody was first, who is waited for."""
    require_transaction()
    payment = found.payment
    return db.session.scalar(
        pg_insert(TopUp)
        .values(
            reference=payment.reference,
            user_id=user_id,
            key=f"unknown:{payment.reference}",  # no form's key has a colon
            amount_minor=found.quote.credit_minor,
            surcharge_minor=found.quote.surcharge_minor,
            currency=payment.currency,
            gateway_status=payment.status,
            gateway_message=payment.gateway_response,
            channel=payment.channel,
            created_at=func.least(func.now(), payment.paid_at),
            decided_at=func.now(),
            decided_by=actor[:100],
            decision=reason,
        )
        .on_conflict_do_nothing(index_elements=["reference"])
        .returning(TopUp)
    )


def _require_paid(payment: Payment | None) -> Payment:
    if payment is None:
        raise Undecidable(_("Paystack knows no payment with this reference: nothing was credited."))
    if payment.status != "success":
        raise Undecidable(
            _("Paystack does not have this as paid now, but as “%(word)s”: nothing was credited.", word=payment.status)
        )
    if payment.domain != topups.gateway().domain:
        raise Undecidable(_("This was paid in Paystack’s other mode (test or live): nothing was credited."))
    if payment.currency != current_app.config["WALLET_CURRENCY"]:
        raise Undecidable(
            _("This was paid in another currency than the wallet’s: nothing was credited. Send it back at Paystack.")
        )
    return payment


def _goes_back(reference: str) -> bool:
    """Whether some of it was refunded at the gateway, or is being: until that is over it is still told as paid."""
    try:
        return any(each.status != "failed" for each in refund_asking.gateway().of_payment(reference))
    except (GatewayDown, GatewayRefused) as error:
        raise mismatches.silent(error) from None


def _require_account(owner: User | None) -> None:
    if owner is None or owner.deleted_at is not None:
        raise Undecidable(_("There is no such account (any more): nothing was credited."))
