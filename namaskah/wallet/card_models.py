"""Cards that customers have let us keep, those Paystack is still to forget, and what is charged by itself."""

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
from sqlalchemy.orm import Mapped, mapped_column

from namaskah.db import Base

# A card is charged by its code and under the e-mail it was first charged with. A removed one has neither any more.
KEPT = "(removed_at IS NULL) = (authorization_code IS NOT NULL AND email IS NOT NULL)"


class SavedCard(Base):
    """A card its owner wanted to be kept. We never know its number: Paystack charges it by a code, which is good for
    our integration alone and lies here encrypted (auth/encryption.py)."""

    __tablename__ = "saved_cards"
    __table_args__ = (
        CheckConstraint(KEPT, name="kept"),
        CheckConstraint("exp_month BETWEEN 1 AND 12", name="exp_month"),
        # The signature is the card, whichever authorization it came with: kept once.
        Index(
            "uq_saved_cards_user_id_signature",
            "user_id",
            "signature",
            unique=True,
            postgresql_where=text("removed_at IS NULL"),
        ),
        Index("ix_saved_cards_user_id_id", "user_id", "id"),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id"))
    authorization_code: Mapped[bytes | None] = mapped_column(LargeBinary)
    email: Mapped[str | None] = mapped_column(String(254))
    signature: Mapped[str] = mapped_column(String(100))
    brand: Mapped[str] = mapped_column(String(40))
    last4: Mapped[str] = mapped_column(String(4))
    exp_month: Mapped[int] = mapped_column()
    exp_year: Mapped[int] = mapped_column()
    bank: Mapped[str] = mapped_column(String(100), server_default="")
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())
    removed_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))


class CardDeactivation(Base):
    """The code of a card that is ours no more and that Paystack is still to be told about. It names no account: it
    outlives one. `code_digest` (SHA-256) finds it when the same card is kept again before that."""

    __tablename__ = "card_deactivations"
    __table_args__ = (Index("ix_card_deactivations_due_at", "due_at"),)

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    authorization_code: Mapped[bytes] = mapped_column(LargeBinary)
    code_digest: Mapped[bytes] = mapped_column(LargeBinary, unique=True)
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())
    due_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())


class AutoTopUp(Base):
    """What one customer wants charged by itself: `amount_minor` from a card when less than `below_minor` can be spent,
    at most `day_limit_minor` in 24 hours. One charge always lifts the balance over the threshold.

    `off_reason` is why we switched it off; `waits_for` what stands in its way now; `due_at` when it is looked at next.
    """

    __tablename__ = "auto_top_ups"
    __table_args__ = (
        CheckConstraint("below_minor > 0 AND amount_minor >= below_minor", name="amount"),
        CheckConstraint("day_limit_minor >= amount_minor", name="day_limit"),
        CheckConstraint("NOT is_on OR card_id IS NOT NULL AND off_reason = ''", name="on"),
        Index("ix_auto_top_ups_due_at", "due_at", postgresql_where=text("is_on")),
        Index("ix_auto_top_ups_card_id", "card_id"),
    )

    user_id: Mapped[int] = mapped_column(ForeignKey("users.id"), primary_key=True)
    is_on: Mapped[bool] = mapped_column()
    currency: Mapped[str] = mapped_column(String(3))
    below_minor: Mapped[int] = mapped_column(BigInteger)
    amount_minor: Mapped[int] = mapped_column(BigInteger)
    day_limit_minor: Mapped[int] = mapped_column(BigInteger)
    card_id: Mapped[int | None] = mapped_column(ForeignKey("saved_cards.id"))
    off_reason: Mapped[str] = mapped_column(String(16), server_default="")
    off_detail: Mapped[str] = mapped_column(Text, server_default="")
    waits_for: Mapped[str] = mapped_column(String(16), server_default="")
    due_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())
    changed_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())


class LowBalanceLetter(Base):
    """Who wants a letter when less than this can be spent. `is_told`: it has been sent, and the balance was not above
    since."""

    __tablename__ = "low_balance_letters"
    __table_args__ = (CheckConstraint("below_minor > 0", name="below"),)

    user_id: Mapped[int] = mapped_column(ForeignKey("users.id"), primary_key=True)
    currency: Mapped[str] = mapped_column(String(3))
    below_minor: Mapped[int] = mapped_column(BigInteger)
    is_told: Mapped[bool] = mapped_column(server_default=text("false"))
