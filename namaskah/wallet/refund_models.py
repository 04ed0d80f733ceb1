"""Refunds of top-ups to where they were paid from, and what happened to each. What keeps them within what was paid is
in PostgreSQL (migration 0015)."""

from datetime import datetime

from sqlalchemy import BigInteger, CheckConstraint, DateTime, ForeignKey, Identity, Index, String, Text, func, text
from sqlalchemy.orm import Mapped, mapped_column, relationship

from namaskah.db import Base
from namaskah.wallet.models import TopUp, one_of

OPEN_STATES = ("asked", "doubt", "pending", "processing", "needs_attention")
CLOSED_STATES = ("processed", "failed", "cancelled")
REFUND_STATES = OPEN_STATES + CLOSED_STATES
# The money did not go back, so it may be asked for again.
VOID_STATES = ("failed", "cancelled")
OPEN = one_of("state", OPEN_STATES)


class GatewayRefund(Base):
    """Money of a top-up on its way back to the card or bank it came from.

    `loss_minor` is the part the customer's wallet did not hold and the house pays, for `loss_reason`.
    `contradicted_at`: since when the gateway says the opposite of the state that closed it; `returned_at`: when a
    person settled that.
    """

    __tablename__ = "gateway_refunds"
    __table_args__ = (
        CheckConstraint(one_of("state", REFUND_STATES), name="state"),
        CheckConstraint("amount_minor > 0 AND loss_minor BETWEEN 0 AND amount_minor", name="amounts"),
        CheckConstraint("(loss_minor > 0) = (loss_reason <> '') AND reason <> ''", name="reasons"),
        CheckConstraint("(settled_at IS NULL) = (" + OPEN + ")", name="settled"),
        CheckConstraint("check_at IS NULL OR " + OPEN, name="check_at"),
        CheckConstraint("returned_at IS NULL OR contradicted_at IS NOT NULL", name="returned"),
        Index("ix_gateway_refunds_check_at", "check_at", postgresql_where=text("check_at IS NOT NULL")),
        Index("ix_gateway_refunds_top_up_id", "top_up_id"),
        Index("ix_gateway_refunds_user_id_id", "user_id", "id"),
        Index("ix_gateway_refunds_state_id", "state", "id"),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    reference: Mapped[str] = mapped_column(String(40), unique=True)
    key: Mapped[str] = mapped_column(String(64), unique=True)  # of the form: sent twice it is one refund
    top_up_id: Mapped[int] = mapped_column(ForeignKey("top_ups.id"))
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id"))
    amount_minor: Mapped[int] = mapped_column(BigInteger)
    currency: Mapped[str] = mapped_column(String(3))
    loss_minor: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))
    loss_reason: Mapped[str] = mapped_column(Text, server_default="")
    asked_by: Mapped[str] = mapped_column(String(100))
    reason: Mapped[str] = mapped_column(Text)
    state: Mapped[str] = mapped_column(String(16), server_default="asked")
    gateway_id: Mapped[str | None] = mapped_column(String(32), unique=True)
    gateway_status: Mapped[str | None] = mapped_column(String(32))
    problem: Mapped[str] = mapped_column(Text, server_default="")  # the gateway's words, or ours about them
    account_last4: Mapped[str | None] = mapped_column(String(4))
    tries: Mapped[int] = mapped_column(server_default=text("0"))  # how often the gateway was asked to begin it
    asked_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))  # the last time it was
    check_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())
    settled_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    contradicted_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    returned_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))

    top_up: Mapped[TopUp] = relationship()

    @property
    def is_open(self) -> bool:
        return self.state in OPEN_STATES

    @property
    def is_contradicted(self) -> bool:
        """The gateway says another end than our books, and nobody has settled it."""
        return self.contradicted_at is not None and self.returned_at is None


class RefundStep(Base):
    """Something that happened to a refund: the state it has since, who did it, and a note."""

    __tablename__ = "gateway_refund_steps"
    __table_args__ = (Index("ix_gateway_refund_steps_refund_id_id", "refund_id", "id"),)

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    refund_id: Mapped[int] = mapped_column(ForeignKey("gateway_refunds.id"))
    at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.clock_timestamp())
    state: Mapped[str] = mapped_column(String(16))
    actor: Mapped[str] = mapped_column(String(100))
    note: Mapped[str] = mapped_column(Text, server_default="")
