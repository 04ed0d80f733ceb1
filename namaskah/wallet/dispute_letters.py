"""Letters about disputes: to the customer whose money it is, and to whoever runs the place while there is time to
answer."""

from datetime import datetime, timedelta

from sqlalchemy import func, or_, select

from namaskah import mail
from namaskah.auth.models import User
from namaskah.db import db, require_transaction, transaction
from namaskah.wallet.dispute_models import Dispute

# Before the deadline: once two days before it, once half a day before.
EARLY, LATE = timedelta(hours=48), timedelta(hours=12)


def tell_opened(dispute: Dispute, now: datetime) -> None:
    """Once it is booked: the customer, and every operator. What is due so soon needs no reminder of its own."""
    require_transaction()
    if dispute.amount_minor:
        customer = db.session.get_one(User, dispute.user_id)
        mail.dispute_opened(customer, dispute.amount_minor, dispute.owed_minor, dispute.top_up.reference)
    if dispute.due_at is not None:
        dispute.early_reminder_at = now if dispute.due_at - now <= EARLY else None
        dispute.late_reminder_at = now if dispute.due_at - now <= LATE else None
    _tell_operators(dispute)


def tell_ended(dispute: Dispute) -> None:
    """Once it is booked: what became of the customer's money."""
    require_transaction()
    if dispute.amount_minor:
        customer = db.session.get_one(User, dispute.user_id)
        is_won, amount, owed = dispute.outcome == "won", dispute.amount_minor, dispute.owed_minor
        mail.dispute_ended(customer, is_won, amount, owed, dispute.top_up.reference)


def remind_due(limit: int = 20) -> int:
    """Worker: tell the operators of disputes that nobody has answered and whose deadline comes near, once two days
    before it and once half a day before; gives how many were told of."""
    for done in range(limit):
        with transaction():
            dispute = _next_due()
            if dispute is None:
                return done
            now = db.session.scalars(select(func.now())).one()
            assert dispute.due_at is not None, "it was found by it"
            dispute.early_reminder_at = dispute.early_reminder_at or now
            if dispute.due_at - now <= LATE:
                dispute.late_reminder_at = now
            _tell_operators(dispute)
    return limit


def _next_due() -> Dispute | None:
    early = Dispute.early_reminder_at.is_(None) & (Dispute.due_at <= func.now() + EARLY)
    late = Dispute.late_reminder_at.is_(None) & (Dispute.due_at <= func.now() + LATE)
    wanted = select(Dispute).where(
        Dispute.state == "awaiting_merchant_feedback", Dispute.answer.is_(None), Dispute.due_at > func.now()
    )
    found = wanted.where(or_(early, late)).order_by(Dispute.due_at).limit(1).with_for_update(skip_locked=True)
    return db.session.scalar(found.execution_options(populate_existing=True))


def _tell_operators(dispute: Dispute) -> None:
    """Every admin who can still log in, each in their own language."""
    for operator in db.session.scalars(select(User).filter_by(role="admin", banned_at=None).order_by(User.id)):
        mail.dispute_waits(operator, dispute.id, dispute.gateway_id, dispute.claimed_minor, dispute.due_at)
