"""Paystack's payments against our top-ups, both ways."""

import logging
from collections.abc import Iterator
from datetime import datetime

from sqlalchemy import select

from namaskah.db import db, leave_database
from namaskah.reconciliation.findings import Found
from namaskah.wallet import reversals, topups
from namaskah.wallet.models import TopUp
from namaskah.wallet.paystack import Payment

log = logging.getLogger(__name__)

SIDE = "paystack"
SCALE = 2


def compare(since: datetime) -> tuple[int, list[Found]]:
    """How many payments were compared, and what does not agree, of checkouts opened `since` then.

    What Paystack has as paid and we have not is settled first: a lost webhook is no difference. Raises GatewayDown or
    GatewayRefused.
    """
    paystack = topups.gateway()
    found: list[Found] = []
    seen: set[str] = set()
    next_page: str | None = None
    while True:
        leave_database()
        page, next_page = paystack.list_paid(since, next_page)
        ours = _ours(payment.reference for payment in page)
        for payment in page:
            seen.add(payment.reference)
            found += _compare_one(payment, ours.get(payment.reference))
        if not next_page:
            break
    for top_up in _credited_since(since):
        if top_up.reference not in seen:
            seen.add(top_up.reference)
            found += _not_listed(top_up)
    return len(seen), found


def _compare_one(payment: Payment, top_up: TopUp | None) -> Iterator[Found]:
    if top_up is None:
        yield _found("unknown_payment", payment.reference, payment.currency, payment.amount_minor, None)
        return
    if top_up.state != "paid":
        top_up = topups.settle(payment.reference)
    if top_up.state != "paid":
        yield _found("not_credited", payment.reference, payment.currency, payment.amount_minor, 0)
        return
    if top_up.paid_minor != payment.amount_minor:
        yield _found("amount", payment.reference, payment.currency, payment.amount_minor, top_up.paid_minor)
    if payment.fees_minor is not None and payment.fees_minor != top_up.fees_minor:
        yield _found("fees", payment.reference, payment.currency, payment.fees_minor, top_up.fees_minor)


def _not_listed(top_up: TopUp) -> Iterator[Found]:
    """Credited, but not among the paid ones: paid a moment ago, sent back since, or never there."""
    reference, currency, ours = top_up.reference, top_up.currency, top_up.paid_minor
    leave_database()
    payment = topups.gateway().verify(reference)
    if payment is None:
        yield _found("unknown_there", reference, currency, None, ours)
    elif payment.status != "success":
        reversals.note(reference, payment.status)
        if reversals.explains_reversal(top_up) or (payment.status == "reversed" and top_up.reversal_note):
            return  # something of ours is why, or a person has said why on the top-up's page
        yield _found("reversed", reference, currency, 0, ours)


def _found(kind: str, reference: str, currency: str, theirs: int | None, ours: int | None) -> Found:
    return Found(SIDE, kind, reference[:100], currency[:3], SCALE, theirs, ours)


def _ours(references: Iterator[str]) -> dict[str, TopUp]:
    rows = db.session.scalars(
        select(TopUp).where(TopUp.reference.in_(list(references))).execution_options(populate_existing=True)
    )
    return {top_up.reference: top_up for top_up in rows}


def _credited_since(since: datetime) -> list[TopUp]:
    wanted = select(TopUp).where(TopUp.created_at >= since, TopUp.state == "paid")
    return list(db.session.scalars(wanted.execution_options(populate_existing=True)))
