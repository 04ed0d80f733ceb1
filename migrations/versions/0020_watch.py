"""Heartbeats of workers, what was measured and counted, and when a provider had a message.

Revision ID: 0020
Revises: 0018
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0020"
down_revision = "0018"
branch_labels = None
depends_on = None


def upgrade():
    op.create_table(
        "worker_heartbeats",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("name", sa.String(160), nullable=False),
        sa.Column("version", sa.String(80), nullable=False),
        sa.Column("turns", postgresql.JSONB(), nullable=False),
        sa.Column("jobs", postgresql.JSONB(), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("beat_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_worker_heartbeats")),
        sa.UniqueConstraint("name", name=op.f("uq_worker_heartbeats_name")),
    )
    op.create_table(
        "measurements",
        sa.Column("minute", sa.DateTime(timezone=True), nullable=False),
        sa.Column("states", postgresql.JSONB(), nullable=True),
        sa.Column("figures", postgresql.JSONB(), server_default=sa.text("'{}'"), nullable=False),
        sa.Column("totals", postgresql.JSONB(), server_default=sa.text("'{}'"), nullable=False),
        sa.PrimaryKeyConstraint("minute", name=op.f("pk_measurements")),
    )
    op.create_table(
        "measured_days",
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("part", sa.String(16), nullable=False),
        *(sa.Column(state, sa.Integer(), server_default=sa.text("0"), nullable=False)
          for state in ("ok", "degraded", "down", "unknown")),
        sa.CheckConstraint("least(ok, degraded, down, unknown) >= 0", name=op.f("ck_measured_days_minutes")),
        sa.PrimaryKeyConstraint("day", "part", name=op.f("pk_measured_days")),
    )
    op.create_table(
        "running_totals",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("transaction_id", sa.BigInteger(), nullable=False),
        sa.Column("message_id", sa.BigInteger(), nullable=False),
        sa.Column("totals", postgresql.JSONB(), nullable=False),
        sa.Column("counted_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("id = 1", name=op.f("ck_running_totals_only_one")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_running_totals")),
    )
    op.add_column("messages", sa.Column("provider_at", sa.DateTime(timezone=True), nullable=True))


def downgrade():
    op.drop_column("messages", "provider_at")
    for table in ("running_totals", "measured_days", "measurements", "worker_heartbeats"):
        op.drop_table(table)
