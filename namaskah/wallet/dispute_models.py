"""Disputes of payments, as the gateway knows them, what they mean for the wallet, and what we have answered."""

from datetime import datetime

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    DateTime,
    ForeignKey,
    Identity,
    Index,
    LargeBinary,
    String,
    Text,
    func,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column, relationship

from namaskah.db import Base
from namaskah.wallet.models import TopUp, one_of

DISPUTE_STATES = ("awaiting_merchant_feedback", "awaiting_bank_feedback", "pending", "resolved")
OUTCOMES = ("won", "lost")
ANSWERS = ("accepted", "declined")
OWED = "outcome IS DISTINCT FROM 'won' AND debt_minor > debt_paid_minor + written_off_minor"


class Dispute(Base):
    """A payer's bank wants money of a top-up back. Amounts are in minor units.

    `claimed_minor` is what the gateway says; `amount_minor` of it is booked, which is less where the payment was not
    credited, or is disputed twice. Booked: `debt_minor` of it was spent already and is owed by the customer, the rest
    was in the wallet and is set aside. `round` counts openings: a bank may take it up again, or for another amount.
    """

    __tablename__ = "disputes"
    __table_args__ = (
        CheckConstraint(one_of("state", DISPUTE_STATES), name="state"),
        CheckConstraint(one_of("outcome", OUTCOMES), name="outcome"),
        CheckConstraint(one_of("answer", ANSWERS), name="answer"),
        CheckConstraint("(state = 'resolved') = (outcome IS NOT NULL)", name="resolved_says_how"),
        CheckConstraint("(outcome IS NULL) = (resolved_at IS NULL)", name="resolved_says_when"),
        CheckConstraint("debt_minor BETWEEN 0 AND amount_minor AND amount_minor <= claimed_minor", name="amounts"),
        CheckConstraint(
            "debt_paid_minor >= 0 AND written_off_minor >= 0 AND debt_paid_minor + written_off_minor <= debt_minor",
            name="debt",
        ),
        CheckConstraint("(answer IS NULL) = (answer_asked_at IS NULL)", name="answer_says_when"),
        CheckConstraint("answer IS NOT NULL OR (answered_at IS NULL AND answer_due_at IS NULL)", name="answered"),
        Index("ix_disputes_top_up_id", "top_up_id"),
        Index("ix_disputes_user_id", "user_id"),
        Index("ix_disputes_check_at", "check_at", postgresql_where=text("check_at IS NOT NULL")),
        Index("ix_disputes_answer_due_at", "answer_due_at", postgresql_where=text("answer_due_at IS NOT NULL")),
        Index("ix_disputes_owed", "user_id", "id", postgresql_where=text(OWED)),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    gateway_id: Mapped[str] = mapped_column(String(24), unique=True)
    top_up_id: Mapped[int] = mapped_column(ForeignKey("top_ups.id"))
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id"))
    state: Mapped[str] = mapped_column(String(32))
    resolution: Mapped[str | None] = mapped_column(String(32))  # the gateway's own word
    outcome: Mapped[str | None] = mapped_column(String(8))
    category: Mapped[str] = mapped_column(String(24), server_default="")
    currency: Mapped[str] = mapped_column(String(3))
    claimed_minor: Mapped[int] = mapped_column(BigInteger)
    amount_minor: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))
    debt_minor: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))
    debt_paid_minor: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))
    written_off_minor: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))
    round: Mapped[int] = mapped_column(server_default=text("1"))
    debt_steps: Mapped[int] = mapped_column(server_default=text("0"))  # payments of the debt and what was written off
    opened_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())
    due_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    gateway_changed_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    resolved_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    # What an operator has decided to answer; sent by the worker, and done once the gateway has taken it.
    answer: Mapped[str | None] = mapped_column(String(8))
    answer_reason: Mapped[str] = mapped_column(Text, server_default="")
    answered_by: Mapped[str | None] = mapped_column(String(100))
    answer_asked_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    answer_due_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))  # next time the worker sends it
    uploaded_as: Mapped[str | None] = mapped_column(String(200))  # what the gateway calls our paper
    evidence_ref: Mapped[str | None] = mapped_column(String(24))
    evidence_sent_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    answered_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    answer_problem: Mapped[str] = mapped_column(Text, server_default="")
    # Letters to whoever runs the place: a day or two before the deadline, and half a day before.
    early_reminder_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    late_reminder_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    check_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))  # next time the sweep asks
    tries: Mapped[int] = mapped_column(server_default=text("0"))

    top_up: Mapped[TopUp] = relationship()

    @property
    def is_open(self) -> bool:
        return self.outcome is None

    @property
    def held_minor(self) -> int:
        """What was in the wallet and is set aside while the dispute is open."""
        return self.amount_minor - self.debt_minor

    @property
    def owed_minor(self) -> int:
        """What the customer still owes because of it."""
        return 0 if self.outcome == "won" else self.debt_minor - self.debt_paid_minor - self.written_off_minor

    def forget_answer(self) -> None:
        """Another answer may be given: this one was refused, or was to what the bank has taken up anew."""
        self.answer = self.answered_by = self.answer_asked_at = self.answer_due_at = self.answered_at = None
        self.uploaded_as = self.evidence_ref = self.evidence_sent_at = None
        self.answer_reason = ""

    @property
    def reference(self) -> str:
        """How the ledger knows this opening of it."""
        return f"dispute:{self.gateway_id}.{self.round}"


class DisputePaper(Base):
    """The very bytes that were sent to the gateway, and their SHA-256 in hex. Erased with the account it is about; the
    hash stays in the audit log."""

    __tablename__ = "dispute_papers"
    __table_args__ = (Index("ix_dispute_papers_user_id", "user_id"),)

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    dispute_id: Mapped[int] = mapped_column(ForeignKey("disputes.id"), index=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id"))
    content: Mapped[bytes] = mapped_column(LargeBinary)
    sha256: Mapped[str] = mapped_column(String(64))
    made_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())
