"""Refunds as they are read: one, those of a top-up or a customer, the operator's list; how much may still go back."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sqlalchemy import func, select

from namaskah.db import db
from namaskah.wallet import ledger
from namaskah.wallet.dispute_models import Dispute
from namaskah.wallet.models import TopUp
from namaskah.wallet.paystack import SubjectUnknown
from namaskah.wallet.refund_models import (
    OPEN_STATES,
    VOID_STATES,
    GatewayRefund,
    RefundStep,
)


class UnknownRefund(SubjectUnknown):
    """We never began a refund with this reference."""


@dataclass(frozen=True)
class Room:
    """How much of a top-up may go back, in minor units. `left_minor` of the payment has not gone back yet, by us or by
    its bank; `available_minor` the customer can spend; what is in neither is nobody's to send."""

    paid_minor: int
    refunded_minor: int
    disputed_minor: int
    available_minor: int

    @property
    def left_minor(self) -> int:
        return self.paid_minor - self.refunded_minor - self.disputed_minor

    @property
    def most_minor(self) -> int:
        """Without our own money."""
        return min(self.left_minor, self.available_minor)


def get_refund(reference: str) -> GatewayRefund:
    """The refund as it is now. Raises UnknownRefund."""
    query = select(GatewayRefund).filter_by(reference=reference).execution_options(populate_existing=True)
    found = db.session.scalar(query)
    if found is None:
        raise UnknownRefund(reference)
    return found


def room_of(top_up: TopUp) -> Room:
    """How much of a top-up may go back now."""
    counted = GatewayRefund.state.not_in(VOID_STATES)
    query = select(func.sum(GatewayRefund.amount_minor)).where(GatewayRefund.top_up_id == top_up.id, counted)
    refunded = int(db.session.scalar(query) or 0)
    taken = Dispute.outcome.is_distinct_from("won")
    asked_back = select(func.sum(Dispute.amount_minor)).where(Dispute.top_up_id == top_up.id, taken)
    disputed = int(db.session.scalar(asked_back) or 0)
    return Room(top_up.paid_minor or 0, refunded, disputed, ledger.balance(top_up.user_id).available_minor)


def of_top_up(top_up: TopUp) -> Sequence[GatewayRefund]:
    """All refunds of a top-up, oldest first."""
    query = select(GatewayRefund).filter_by(top_up_id=top_up.id).order_by(GatewayRefund.id)
    return db.session.scalars(query.execution_options(populate_existing=True)).all()


def open_of_user(user_id: int) -> Sequence[GatewayRefund]:
    """What is on its way back to a customer, oldest first."""
    query = select(GatewayRefund).where(GatewayRefund.user_id == user_id, GatewayRefund.state.in_(OPEN_STATES))
    return db.session.scalars(query.order_by(GatewayRefund.id)).all()


def steps_of(refund: GatewayRefund) -> Sequence[RefundStep]:
    """What happened to a refund, oldest first."""
    return db.session.scalars(select(RefundStep).filter_by(refund_id=refund.id).order_by(RefundStep.id)).all()


def page(states: Sequence[str], before: int | None, limit: int) -> Sequence[GatewayRefund]:
    """The operator's list, newest first: those in one of these states (all, if none is named), older than `before`."""
    query = select(GatewayRefund).order_by(GatewayRefund.id.desc()).limit(limit)
    if states:
        query = query.where(GatewayRefund.state.in_(states))
    return db.session.scalars(query if before is None else query.where(GatewayRefund.id < before)).all()


def waiting_for_a_person() -> int:
    """How many refunds nothing but a person moves on: an account is needed, or the gateway says the opposite."""
    contradicted = GatewayRefund.contradicted_at.is_not(None) & GatewayRefund.returned_at.is_(None)
    stuck = GatewayRefund.state.in_(OPEN_STATES) & (GatewayRefund.problem != "")
    needed = (GatewayRefund.state == "needs_attention") | contradicted | stuck
    return db.session.scalar(select(func.count()).where(needed)) or 0


def top_ups_of(references: Iterable[str]) -> dict[str, str]:
    """Reference of a refund → reference of its top-up."""
    asked = list(references)
    if not asked:
        return {}  # as on most pages of a statement
    wanted = select(GatewayRefund.reference, TopUp.reference).join(TopUp, TopUp.id == GatewayRefund.top_up_id)
    rows = db.session.execute(wanted.where(GatewayRefund.reference.in_(asked)))
    return {row[0]: row[1] for row in rows}


def gone_minor(refunds: Iterable[GatewayRefund]) -> int:
    """How much of a top-up is on its way back or has gone, of these refunds of it; not what came back since."""
    return sum(each.amount_minor for each in refunds if each.state not in VOID_STATES and each.returned_at is None)


def processed_minor(top_up: TopUp) -> int:
    """How much of a top-up has gone back for good, by our books: not what came back to the wallet since."""
    gone = {"top_up_id": top_up.id, "state": "processed", "returned_at": None}
    return int(db.session.scalar(select(func.sum(GatewayRefund.amount_minor)).filter_by(**gone)) or 0)
