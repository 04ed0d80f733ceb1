"""What backups, drills and restores there were, and of what the operator was told."""

from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, CheckConstraint, DateTime, Identity, Index, String, Text, func, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from namaskah.db import Base


class BackupRun(Base):
    """One of them. `name` is the backup's, or what an alarm is about; `size` is in bytes; `step` is what it was last
    seen doing. `report` is the file in the store that a drill elsewhere has left."""

    __tablename__ = "backup_runs"
    __table_args__ = (
        CheckConstraint("kind IN ('create', 'drill', 'restore', 'alarm')", name="kind"),
        CheckConstraint("(ok IS NULL) = (ended_at IS NULL)", name="ended_says_how"),
        CheckConstraint("ok IS NOT TRUE OR error = ''", name="ok_without_error"),
        # One of a kind at a time.
        Index("uq_backup_runs_open", "kind", unique=True, postgresql_where=text("ended_at IS NULL")),
        Index("uq_backup_runs_report", "report", unique=True),
        Index("ix_backup_runs_kind_ended_at", "kind", "ended_at"),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    kind: Mapped[str] = mapped_column(String(16))
    name: Mapped[str] = mapped_column(String(64), server_default="")
    requested_by: Mapped[str] = mapped_column(String(100))
    started_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())
    ended_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    ok: Mapped[bool | None] = mapped_column()
    size: Mapped[int | None] = mapped_column(BigInteger)
    step: Mapped[str] = mapped_column(String(200), server_default="")
    error: Mapped[str] = mapped_column(Text, server_default="")
    details: Mapped[dict[str, Any]] = mapped_column(JSONB, server_default=text("'{}'::jsonb"))
    report: Mapped[str | None] = mapped_column(String(100))
