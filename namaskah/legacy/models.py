"""Which account of the predecessor became which of ours, with what money; and what else it knew of its owner."""

from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    DateTime,
    ForeignKey,
    Identity,
    Index,
    Numeric,
    String,
    Text,
    UniqueConstraint,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from namaskah.db import Base


class LegacyAccount(Base):
    """An account of the predecessor, known by its id there: what makes a second import do nothing.

    `opened`: its money is in the wallet of `user_id`, `opened_minor` of it. `set_aside`: a person decides first, for
    `reasons`. Holds nothing personal, and so outlives the account.
    """

    __tablename__ = "legacy_accounts"
    __table_args__ = (
        CheckConstraint("state IN ('opened', 'set_aside')", name="state"),
        CheckConstraint("(state = 'opened') = (opened_at IS NOT NULL)", name="opened_says_when"),
        CheckConstraint("state = 'set_aside' OR user_id IS NOT NULL", name="opened_for_somebody"),
        CheckConstraint("(state = 'set_aside') = (reasons <> '')", name="set_aside_says_why"),
        CheckConstraint("opened_minor >= 0 AND (opened_minor = 0 OR state = 'opened')", name="opened_minor"),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    legacy_id: Mapped[str] = mapped_column(String(200), unique=True)
    user_id: Mapped[int | None] = mapped_column(ForeignKey("users.id"), index=True)
    state: Mapped[str] = mapped_column(String(16))
    reasons: Mapped[str] = mapped_column(Text, server_default="")  # kinds of findings, with a space between them
    credits: Mapped[Decimal | None] = mapped_column(Numeric(18, 2))  # as the file had it; None: not to be read
    unit: Mapped[str] = mapped_column(String(40))  # what one credit was worth, as the operator said
    opened_minor: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))
    currency: Mapped[str] = mapped_column(String(3))
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())
    opened_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))

    @property
    def reference(self) -> str:
        """How the ledger knows it."""
        return f"legacy_account:{self.id}"


class LegacyRecord(Base):
    """A row of the predecessor's about one of our customers, without its secrets: an order, a movement of money, a
    question to support. To be read, never acted upon."""

    __tablename__ = "legacy_records"
    __table_args__ = (
        UniqueConstraint("source", "legacy_id"),
        Index("ix_legacy_records_user_id_id", "user_id", "id"),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    source: Mapped[str] = mapped_column(String(64))  # the table it stood in
    legacy_id: Mapped[str] = mapped_column(String(200))
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id"))
    at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    content: Mapped[dict[str, Any]] = mapped_column(JSONB)
