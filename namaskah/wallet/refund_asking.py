"""Asking the gateway for refunds, and what has come of them.

A refund cannot be asked for twice: the gateway knows no reference of ours that would make the second time harmless.
So it is in doubt from before the call until there is an answer. Who comes upon one in doubt reads all refunds of the
payment first; ours has our reference in its note. Only when a whole list, read long enough after the call, does not
have it, it is asked for again.
"""

import logging
from datetime import timedelta

from flask import current_app
from flask_babel import gettext as _
from sqlalchemy import Interval, func, literal_column, select

from namaskah.claims import claim_due
from namaskah.db import db, leave_database
from namaskah.errors import UserError
from namaskah.wallet import refund_reading, refunds
from namaskah.wallet.paystack import GatewayDown, GatewayRefused
from namaskah.wallet.paystack_refunds import PaystackRefunds, Refund
from namaskah.wallet.refund_models import GatewayRefund

log = logging.getLogger(__name__)

# A call that was still on its way, and the gateway's own list behind its books, are both over by then.
LISTING_LAG = timedelta(minutes=15)
NEXT_GAP = literal_column(
    "least(greatest((now() - created_at) / 4, interval '1 minute'), interval '1 hour')", Interval()
)
WITHOUT_OURS = "Paystack has a refund of this amount that does not carry our reference: say whether it is this one"


def gateway() -> PaystackRefunds:
    """The gateway's refunds. Raises UserError (503) when none is configured."""
    if not current_app.config["PAYSTACK_SECRET_KEY"]:
        raise UserError(_("There is no Paystack key, so nothing can be asked of Paystack."), status=503)
    return PaystackRefunds(current_app.config["PAYSTACK_SECRET_KEY"], current_app.config["PAYSTACK_BASE_URL"])


def ask(reference: str) -> GatewayRefund:
    """Bring a refund one step on: begin it, find it, or see how it is. Any number at once begin it once.

    Raises GatewayDown or GatewayRefused when the gateway does not tell; then nothing has changed but the time.
    """
    refund = refund_reading.get_refund(reference)
    desk = gateway()
    if refund.state == "asked":
        return _begin(desk, refund)
    if refund.gateway_id is None:
        return _look(desk, refund)
    number = refund.gateway_id
    leave_database()
    return refunds.note(reference, desk.fetch(number))


def try_to_ask(reference: str) -> GatewayRefund:
    """The same, for whoever waits at a page: without an answer the refund stays as it is, and the worker goes on."""
    try:
        return ask(reference)
    except (GatewayDown, GatewayRefused) as error:
        log.warning("refund %s: the gateway does not tell (%s)", reference, error)
        return refund_reading.get_refund(reference)


def sweep_due(limit: int = 20) -> int:
    """Worker: bring refunds on whose time has come; returns how many were. Stops when the gateway does not answer."""
    if not current_app.config["PAYSTACK_SECRET_KEY"]:
        return 0
    for done in range(limit):
        reference = claim_due(GatewayRefund.check_at, NEXT_GAP, GatewayRefund.reference)
        if reference is None:
            return done
        try:
            ask(reference)
        except GatewayDown as error:
            log.warning("refund %s: the gateway does not answer (%s)", reference, error)
            return done
        except GatewayRefused as error:
            log.error("refund %s: the gateway refuses to tell (%s)", reference, error)
            refunds.note_problem(reference, f"Paystack: {error.reason}")
            return done
    return limit


def withdraw(reference: str, who: str, *, is_none_of_them: bool = False) -> GatewayRefund:
    """Call a refund off that has not begun at the gateway. `is_none_of_them`: a person has looked at the payment's
    other refunds there. Raises UserError when it has begun, or when that is not certain."""
    refund = refund_reading.get_refund(reference)
    tries, payment = refund.tries, refund.top_up.reference
    if refund.state == "doubt":
        is_certain = _has_waited(refund)
        leave_database()
        try:
            rows = gateway().of_payment(payment)
        except (GatewayDown, GatewayRefused):
            raise UserError(
                _("Paystack does not answer, so nothing was called off. Try again later."), status=503
            ) from None
        if mine := _ours(refund, rows):
            refunds.note(reference, mine)
        elif not is_certain or (_strangers(refund, rows) and not is_none_of_them):
            raise UserError(
                _("It is not certain yet that Paystack has not begun it. Nothing was called off."), status=409
            )
    refund = refunds.cancel(reference, tries, "called off", who)
    if refund.state != "cancelled":
        raise UserError(_("Paystack has begun it, so it can no longer be called off."), status=409)
    return refund


def attach(reference: str, gateway_id: str, who: str) -> GatewayRefund:
    """A person says which of the payment's refunds at the gateway is this one. Raises UserError when it cannot be."""
    refund = refund_reading.get_refund(reference)
    payment = refund.top_up.reference
    leave_database()
    try:
        rows = gateway().of_payment(payment)
    except (GatewayDown, GatewayRefused):
        raise UserError(_("Paystack does not answer, so nothing has changed. Try again later."), status=503) from None
    found = next((row for row in rows if row.id == gateway_id.strip()), None)
    if found is None:
        raise UserError(_("Paystack has no refund of this payment with that number."), status=422)
    noted = refunds.note(reference, found, who)
    if noted.gateway_id != found.id:
        raise UserError(_("That refund cannot be this one: %(why)s", why=noted.problem), status=422)
    return noted


def _begin(desk: PaystackRefunds, refund: GatewayRefund) -> GatewayRefund:
    """Ask for it, if nobody else does at this moment."""
    reference, tries = refund.reference, refund.tries
    payment, amount_minor, currency = refund.top_up.reference, refund.amount_minor, refund.currency
    if not refunds.claim_call(reference, refund.state, tries):
        return refund_reading.get_refund(reference)
    leave_database()
    try:
        answer = desk.create(payment, amount_minor, currency, reference)
    except GatewayDown as error:
        log.warning("refund %s: no clear answer (%s)", reference, error)
        return refund_reading.get_refund(reference)
    except GatewayRefused as error:
        log.error("refund %s was refused (%s)", reference, error)
        if tries == 0:
            return refunds.cancel(reference, 1, f"Paystack: {error.reason}")
        # An earlier call may have got through and be the very reason for this no.
        return refunds.note_problem(reference, f"Paystack: {error.reason}")
    return refunds.note(reference, answer)


def _look(desk: PaystackRefunds, refund: GatewayRefund) -> GatewayRefund:
    """Find one that we asked for without learning what came of it; ask again when it certainly never began."""
    may_ask_again = refund.state == "doubt" and _has_waited(refund)
    payment = refund.top_up.reference
    leave_database()
    rows = desk.of_payment(payment)
    if mine := _ours(refund, rows):
        return refunds.note(refund.reference, mine)
    if may_ask_again and not _strangers(refund, rows):
        return _begin(desk, refund)
    if may_ask_again:
        return refunds.note_problem(refund.reference, WITHOUT_OURS)
    return refund_reading.get_refund(refund.reference)


def _has_waited(refund: GatewayRefund) -> bool:
    now = db.session.scalars(select(func.now())).one()
    return refund.asked_at is not None and now - refund.asked_at > LISTING_LAG


def _ours(refund: GatewayRefund, rows: list[Refund]) -> Refund | None:
    """The one with our reference. Were there two, the one that pays counts, and somebody must know."""
    mine = sorted(
        (row for row in rows if row.our_reference == refund.reference), key=lambda row: row.status == "failed"
    )
    if len(mine) > 1:
        log.error("refund %s is there %d times at the gateway", refund.reference, len(mine))
    return mine[0] if mine else None


def _strangers(refund: GatewayRefund, rows: list[Refund]) -> bool:
    """Whether one of them, made by hand or without its note, might be ours."""
    known = set(db.session.scalars(select(GatewayRefund.gateway_id).filter_by(top_up_id=refund.top_up_id)))
    return any(
        row.our_reference is None
        and row.amount_minor == refund.amount_minor
        and row.status != "failed"
        and row.id not in known
        for row in rows
    )
