"""Heartbeats of workers, what was measured, by minute and by day, and what was counted so far."""

from datetime import date, datetime
from typing import Any

from sqlalchemy import BigInteger, CheckConstraint, Date, DateTime, Identity, String, func, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from namaskah.db import Base


class WorkerHeartbeat(Base):
    """A worker process that runs, or did so a moment ago. `turns` by periodic verb: how many seconds before the beat it
    last came back, how often it did and how often by an error; `jobs` by task: done and failed."""

    __tablename__ = "worker_heartbeats"

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    name: Mapped[str] = mapped_column(String(160), unique=True)
    version: Mapped[str] = mapped_column(String(80))
    turns: Mapped[dict[str, Any]] = mapped_column(JSONB)
    jobs: Mapped[dict[str, Any]] = mapped_column(JSONB)
    started_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    beat_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())


class Measurement(Base):
    """One minute. `states`, by part of the service, is NULL while it is being measured, and for good if that worker
    died; `figures` is what the status page tells beside them; `totals` is RunningTotals as they were then."""

    __tablename__ = "measurements"

    minute: Mapped[datetime] = mapped_column(DateTime(timezone=True), primary_key=True)
    states: Mapped[dict[str, str] | None] = mapped_column(JSONB(none_as_null=True))
    figures: Mapped[dict[str, Any]] = mapped_column(JSONB, server_default=text("'{}'"))
    totals: Mapped[dict[str, Any]] = mapped_column(JSONB, server_default=text("'{}'"))


class MeasuredDay(Base):
    """How many minutes of a day, by UTC, a part of the service was in each state."""

    __tablename__ = "measured_days"
    __table_args__ = (CheckConstraint("least(ok, degraded, down, unknown) >= 0", name="minutes"),)

    day: Mapped[date] = mapped_column(Date, primary_key=True)
    part: Mapped[str] = mapped_column(String(16), primary_key=True)
    ok: Mapped[int] = mapped_column(server_default=text("0"))
    degraded: Mapped[int] = mapped_column(server_default=text("0"))
    down: Mapped[int] = mapped_column(server_default=text("0"))
    unknown: Mapped[int] = mapped_column(server_default=text("0"))


class RunningTotals(Base):
    """What happened since this table was made, counted once each. There is one row; its ids are the last rows of the
    ledger and of the messages that were counted."""

    __tablename__ = "running_totals"
    __table_args__ = (CheckConstraint("id = 1", name="only_one"),)

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    transaction_id: Mapped[int] = mapped_column(BigInteger)
    message_id: Mapped[int] = mapped_column(BigInteger)
    totals: Mapped[dict[str, Any]] = mapped_column(JSONB)
    counted_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())
