"""Payments that the gateway has sent back after we credited them: noticed, shown to the operator, never guessed at.

The ledger is not moved here. What has taken the money back (a refund of ours, a dispute) moves it by its own verb; a
reversal that nothing of ours explains is looked at by a person.
"""

import logging

from flask_babel import gettext as _
from sqlalchemy import func, select

from namaskah.auth import audit
from namaskah.db import db, transaction
from namaskah.errors import UserError
from namaskah.wallet import disputes, refund_reading, topups
from namaskah.wallet.models import TopUp

log = logging.getLogger(__name__)

AT_ONCE = 200
LONGEST_REASON = 500


def note(reference: str, status: str) -> bool:
    """Keep what the gateway says now of a payment that we have credited; returns whether that is news.

    A reversal that was taken back itself (the payer's bank gave in) is forgotten.
    """
    with transaction():
        top_up = topups.lock(reference)
        is_back = {"reversed": True, "success": False}.get(status)
        if top_up.state != "paid" or is_back is None or is_back == (top_up.reversed_at is not None):
            return False
        top_up.reversed_at = db.session.scalar(select(func.now())) if is_back else None
        top_up.gateway_status, top_up.reversal_note = status, None
        if is_back and not explains_reversal(top_up):
            log.error("top-up %s was credited, and the gateway has sent the payment back since", reference)
    return True


def explains_reversal(top_up: TopUp) -> bool:
    """Whether something of ours is why a credited payment went back: then nobody needs to look at it."""
    return disputes.was_taken_back(top_up) or refund_reading.processed_minor(top_up) == top_up.paid_minor


def needs_a_person(top_up: TopUp) -> bool:
    """Whether it went back, nothing of ours is why, and nobody has found out yet."""
    return top_up.reversed_at is not None and top_up.reversal_note is None and not explains_reversal(top_up)


def explain(reference: str, actor: str, reason: str) -> None:
    """A person has found out why it went back, and booked what had to be booked. Raises UserError without a reason, or
    when it has not gone back."""
    words = reason.replace("\0", "").strip()[:LONGEST_REASON]
    if not words:
        raise UserError(_("Say in a few words why. Nothing was done."), status=422)
    with transaction():
        top_up = topups.lock(reference)
        if top_up.reversed_at is None:
            raise UserError(_("This payment has not gone back. Nothing was done."), status=409)
        top_up.reversal_note = words
        audit.record("top_up_reversal_explained", top_up.user_id, actor, top_up=reference, reason=words)


def unexplained(limit: int = AT_ONCE) -> list[TopUp]:
    """Credited payments that went back for no reason of ours, newest first."""
    gone = select(TopUp).where(TopUp.reversed_at.is_not(None), TopUp.reversal_note.is_(None))
    found = db.session.scalars(gone.order_by(TopUp.id.desc()).limit(limit))
    return [top_up for top_up in found if needs_a_person(top_up)]
