"""When each job of housekeeping ran last, and what came of it."""

from datetime import datetime

from sqlalchemy import BigInteger, CheckConstraint, DateTime, String, func, text
from sqlalchemy.orm import Mapped, mapped_column

from namaskah.db import Base


class HousekeepingJob(Base):
    """One job of the registry. While it runs `ended_at` is empty, and `due_at` is when its worker counts as lost.

    `erased_last` counts the rows of the last run, `erased_total` those of all; `error` is empty after a run that went
    well.
    """

    __tablename__ = "housekeeping_jobs"
    __table_args__ = (
        CheckConstraint("erased_last >= 0 AND erased_total >= erased_last", name="counts"),
        CheckConstraint("ended_at IS NULL OR started_at IS NOT NULL", name="ended_was_started"),
    )

    name: Mapped[str] = mapped_column(String(40), primary_key=True)
    due_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())
    started_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    ended_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    succeeded_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    erased_last: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))
    erased_total: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))
    error: Mapped[str] = mapped_column(String(200), server_default="")
