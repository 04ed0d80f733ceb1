"""Payments that came otherwise than asked for: a person asks again, credits what was paid, or closes without credit.

Decided under the top-up's lock, once: of two people at the same moment the second is told what the first has done.
"""

from datetime import datetime

from flask import current_app
from flask_babel import gettext as _
from sqlalchemy import func, select

from namaskah import live
from namaskah.auth import audit
from namaskah.db import db, leave_database, transaction
from namaskah.errors import UserError
from namaskah.wallet import reversals, topups
from namaskah.wallet.models import TopUp
from namaskah.wallet.paystack import GatewayDown, GatewayRefused, Payment

LONGEST_REASON = 500


class Undecidable(UserError):
    """Nothing was credited and nothing was closed: the sentence says why."""

    status = 409


def ask_again(reference: str) -> TopUp:
    """Ask the gateway now; of a credited payment, whether it was sent back since. Raises UserError when it tells
    nothing, or topups.UnknownTopUp."""
    top_up = topups.get_top_up(reference)
    if top_up.state not in topups.FINAL:
        try:
            return topups.settle(reference)
        except (GatewayDown, GatewayRefused) as error:
            raise silent(error) from None
    payment = verify(reference)
    if payment is not None:
        reversals.note(reference, payment.status)
    return topups.get_top_up(reference)


def accept(reference: str, seen_minor: int, actor: str, reason: str) -> bool:
    """Credit what was paid, whatever was asked for; False when that was done before.

    `seen_minor` is the amount the person has looked at. Raises UserError when nothing can be credited: without a
    reason, closed by somebody, no payment, another amount than that, another currency or mode, no account any more.
    """
    words = require_reason(reason)
    if _is_done(topups.get_top_up(reference), "paid"):
        return False
    payment = verify(reference)
    with transaction():
        top_up = topups.lock(reference)
        if _is_done(top_up, "paid"):
            return False
        paid = _creditable(top_up, payment, seen_minor)
        _decide(top_up, actor, words)
        top_up.surcharge_minor = 0  # all that was paid is the customer's, whatever was asked for on top
        topups.credit(top_up, paid, _now())
        live.publish_on_commit(top_up.user_id, "wallet")
        audit.record("top_up_accepted", top_up.user_id, actor, top_up=reference, amount=paid.amount_minor, reason=words)
    return True


def close(reference: str, actor: str, reason: str) -> bool:
    """End it without credit; False when that was done before. Raises UserError without a reason, or when it was
    credited, or is no mismatch. No money moves here: whoever closes it has sent it back at the gateway."""
    words = require_reason(reason)
    topups.get_top_up(reference)
    with transaction():
        top_up = topups.lock(reference)
        if _is_done(top_up, "closed"):
            return False
        _decide(top_up, actor, words)
        top_up.state, top_up.check_at = "closed", None
        audit.record("top_up_closed", top_up.user_id, actor, top_up=reference, reason=words)
    return True


def _is_done(top_up: TopUp, wanted: str) -> bool:
    """Whether a person has decided so before. Raises Undecidable when there is nothing to decide (any more)."""
    if top_up.state == wanted and top_up.decided_at is not None:
        return True
    if top_up.state == "closed":
        raise Undecidable(_("Somebody has closed this payment without credit. Nothing was credited now."))
    if top_up.state == "paid":
        raise Undecidable(_("This payment is in the customer’s wallet already. Nothing was done now."))
    if top_up.state != "mismatch":
        raise Undecidable(_("There is nothing to decide: no payment that differs is known. Nothing was done."))
    return False


def _creditable(top_up: TopUp, payment: Payment | None, seen_minor: int) -> Payment:
    config = current_app.config
    if payment is None or payment.status != "success":
        raise Undecidable(_("Paystack does not have this as paid now, so nothing was credited. Ask Paystack again."))
    if payment.domain != topups.gateway().domain:
        raise Undecidable(_("This was paid in Paystack’s other mode (test or live): nothing was credited. Close it."))
    if payment.currency != top_up.currency or payment.currency != config["WALLET_CURRENCY"]:
        raise Undecidable(
            _("This was paid in another currency than the wallet’s: nothing was credited. Send it back at Paystack.")
        )
    if payment.amount_minor != seen_minor or payment.amount_minor <= 0:
        raise Undecidable(_("Paystack names another amount than this page did: nothing was credited. Look again."))
    return payment


def _decide(top_up: TopUp, actor: str, reason: str) -> None:
    top_up.decided_at, top_up.decided_by, top_up.decision = _now(), actor[:100], reason


def verify(reference: str) -> Payment | None:
    """What the gateway says of a payment now. Raises UserError (503) when it does not tell."""
    paystack = topups.gateway()
    leave_database()
    try:
        return paystack.verify(reference)
    except (GatewayDown, GatewayRefused) as error:
        raise silent(error) from None


def silent(error: Exception) -> UserError:
    """What a person is told of a gateway that gave no usable answer."""
    return UserError(
        _("Paystack gave no answer, so nothing was changed. Try again in a minute. (%(error)s)", error=str(error)),
        status=503,
    )


def require_reason(reason: str) -> str:
    """The reason as it is kept. Raises UserError (422) when there is none."""
    words = reason.replace("\0", "").strip()[:LONGEST_REASON]
    if not words:
        raise UserError(_("Say in a few words why. Nothing was done."), status=422)
    return words


def _now() -> datetime:
    return db.session.scalars(select(func.now())).one()
