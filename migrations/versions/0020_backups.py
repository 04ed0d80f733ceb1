"""Backups, drills and alarms about them; which deletions are on the list kept outside this database.

Revision ID: 0020
Revises: 0019
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None


def upgrade():
    op.create_table(
        "backup_runs",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("name", sa.String(length=64), server_default="", nullable=False),
        sa.Column("requested_by", sa.String(length=100), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("ok", sa.Boolean(), nullable=True),
        sa.Column("size", sa.BigInteger(), nullable=True),
        sa.Column("step", sa.String(length=200), server_default="", nullable=False),
        sa.Column("error", sa.Text(), server_default="", nullable=False),
        sa.Column("details", postgresql.JSONB(), server_default=sa.text("'{}'::jsonb"), nullable=False),
        sa.Column("report", sa.String(length=100), nullable=True),
        sa.CheckConstraint("kind IN ('create', 'drill', 'restore', 'alarm')", name=op.f("ck_backup_runs_kind")),
        sa.CheckConstraint("(ok IS NULL) = (ended_at IS NULL)", name=op.f("ck_backup_runs_ended_says_how")),
        sa.CheckConstraint("ok IS NOT TRUE OR error = ''", name=op.f("ck_backup_runs_ok_without_error")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_backup_runs")),
    )
    op.create_index(
        "uq_backup_runs_open", "backup_runs", ["kind"], unique=True, postgresql_where=sa.text("ended_at IS NULL")
    )
    op.create_index("uq_backup_runs_report", "backup_runs", ["report"], unique=True)
    op.create_index("ix_backup_runs_kind_ended_at", "backup_runs", ["kind", "ended_at"])
    op.add_column("deleted_accounts", sa.Column("kept_outside_at", sa.DateTime(timezone=True), nullable=True))


def downgrade():
    op.drop_column("deleted_accounts", "kept_outside_at")
    op.drop_table("backup_runs")
