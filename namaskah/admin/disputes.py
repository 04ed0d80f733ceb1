"""Disputes as the operator sees them: which there are, how much time is left, and what has happened to each."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from flask import abort
from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l
from sqlalchemy import case, func, select

from namaskah.auth.models import User
from namaskah.db import db
from namaskah.wallet.dispute_models import Dispute, DisputePaper

SHOWN = 100
# Time left to answer → how it looks.
TONES = ((timedelta(hours=12), "bad"), (timedelta(hours=48), "warn"))
STATES = {
    "awaiting_merchant_feedback": _l("Waits for our answer"),
    "awaiting_bank_feedback": _l("Waits for the bank"),
    "pending": _l("Pending"),
    "resolved": _l("Over"),
}
OUTCOMES = {"won": _l("Won: the payment stands"), "lost": _l("Lost: the money went back")}
CATEGORIES = {
    "chargeback": _l("Chargeback"),
    "fraud": _l("Fraud: the payer says it was not them"),
    "general": _l("Question of the payer"),
}


@dataclass(frozen=True)
class Step:
    """Something that happened, for the timeline."""

    at: datetime
    text: str
    kind: str = ""


def tone(dispute: Dispute, now: datetime) -> str:
    """How near the deadline is, as a colour; nothing where nobody waits for us."""
    if dispute.due_at is None or not waits_for_us(dispute):
        return ""
    return next((name for left, name in TONES if dispute.due_at - now <= left), "info")


def waits_for_us(dispute: Dispute) -> bool:
    """Whether it is lost unless somebody here answers."""
    return dispute.state == "awaiting_merchant_feedback" and dispute.answer is None


def listed() -> Sequence[Dispute]:
    """What waits for us first, by its deadline; then the other open ones; then the newest of those that are over."""
    wanted = select(Dispute).order_by(
        Dispute.outcome.is_not(None),
        Dispute.state != "awaiting_merchant_feedback",
        Dispute.answer.is_not(None),
        case((Dispute.outcome.is_(None), Dispute.due_at)),
        Dispute.id.desc(),
    )
    return db.session.scalars(wanted.limit(SHOWN)).all()


def open_count() -> tuple[int, int]:
    """How many disputes are open, and how many of them wait for us."""
    waiting = (Dispute.state == "awaiting_merchant_feedback") & Dispute.answer.is_(None)
    row = db.session.execute(select(func.count(), func.count().filter(waiting)).where(Dispute.outcome.is_(None))).one()
    return row[0], row[1]


def find(dispute_id: int) -> Dispute:
    """One dispute, read anew; 404 for others."""
    found = db.session.get(Dispute, min(dispute_id, 2**63 - 1), populate_existing=True)
    return found or abort(404)


def customers_of(found: Sequence[Dispute]) -> dict[int, User]:
    """Whose money it is, by the account's number."""
    ids = {dispute.user_id for dispute in found}
    return {user.id: user for user in db.session.scalars(select(User).where(User.id.in_(ids)))}


def customer_of(dispute: Dispute) -> User:
    """Whose money it is."""
    return db.session.get_one(User, dispute.user_id)


def papers_of(dispute: Dispute) -> Sequence[DisputePaper]:
    """What was sent, oldest first."""
    return db.session.scalars(select(DisputePaper).filter_by(dispute_id=dispute.id).order_by(DisputePaper.id)).all()


def timeline(dispute: Dispute) -> list[Step]:
    """What happened, oldest first."""
    says = {"accepted": _("Decided here: give in"), "declined": _("Decided here: decline")}
    steps = [
        (dispute.top_up.settled_at, _("The payment was credited"), ""),
        (dispute.opened_at, _("The dispute was opened; the money was set aside"), ""),
        (dispute.early_reminder_at, _("Reminder of the deadline"), ""),
        (dispute.late_reminder_at, _("Last reminder of the deadline"), ""),
        (dispute.answer_asked_at, says.get(dispute.answer or "", ""), ""),
        (dispute.evidence_sent_at, _("Paystack has our evidence"), ""),
        (dispute.answered_at, _("Paystack has our answer"), ""),
        (
            dispute.resolved_at,
            str(OUTCOMES.get(dispute.outcome or "", "")),
            "money_back" if dispute.outcome == "lost" else "",
        ),
    ]
    return sorted((Step(at, text, kind) for at, text, kind in steps if at), key=lambda step: step.at)
