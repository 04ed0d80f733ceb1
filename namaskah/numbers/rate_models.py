"""Exchange rates, dated. PostgreSQL refuses to change or delete them (migration 0013)."""

from datetime import datetime
from decimal import Decimal

from sqlalchemy import BigInteger, CheckConstraint, DateTime, Identity, Index, Numeric, String, func
from sqlalchemy.orm import Mapped, mapped_column

from namaskah.db import Base

DECIMALS = 10
RATE = Numeric(22, DECIMALS)


class ExchangeRate(Base):
    """What one unit of a currency costs in the wallet's, from `valid_from` until there is a newer one. Only added to:
    a wrong one is put right by another."""

    __tablename__ = "exchange_rates"
    __table_args__ = (
        Index("uq_exchange_rates_valid_from", "wallet_currency", "currency", "valid_from", unique=True),
        CheckConstraint("rate > 0", name="rate"),
        CheckConstraint("currency ~ '^[A-Z]{3}$' AND currency <> wallet_currency", name="currency"),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    currency: Mapped[str] = mapped_column(String(3))
    wallet_currency: Mapped[str] = mapped_column(String(3))
    rate: Mapped[Decimal] = mapped_column(RATE)
    valid_from: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    source: Mapped[str] = mapped_column(String(120))
    who: Mapped[str] = mapped_column(String(100))  # "user:7" or "operator:ada"
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())
