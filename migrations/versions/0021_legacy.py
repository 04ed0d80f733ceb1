"""Accounts and records that came over from the predecessor.

Revision ID: 0021
Revises: 0020
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None


def upgrade():
    op.create_table(
        "legacy_accounts",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("legacy_id", sa.String(length=200), nullable=False),
        sa.Column("user_id", sa.BigInteger(), nullable=True),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("reasons", sa.Text(), server_default="", nullable=False),
        sa.Column("credits", sa.Numeric(precision=18, scale=2), nullable=True),
        sa.Column("unit", sa.String(length=40), nullable=False),
        sa.Column("opened_minor", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("currency", sa.String(length=3), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("opened_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("state IN ('opened', 'set_aside')", name=op.f("ck_legacy_accounts_state")),
        sa.CheckConstraint(
            "(state = 'opened') = (opened_at IS NOT NULL)", name=op.f("ck_legacy_accounts_opened_says_when")
        ),
        sa.CheckConstraint(
            "state = 'set_aside' OR user_id IS NOT NULL", name=op.f("ck_legacy_accounts_opened_for_somebody")
        ),
        sa.CheckConstraint(
            "(state = 'set_aside') = (reasons <> '')", name=op.f("ck_legacy_accounts_set_aside_says_why")
        ),
        sa.CheckConstraint(
            "opened_minor >= 0 AND (opened_minor = 0 OR state = 'opened')",
            name=op.f("ck_legacy_accounts_opened_minor"),
        ),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_legacy_accounts_user_id_users")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_legacy_accounts")),
        sa.UniqueConstraint("legacy_id", name=op.f("uq_legacy_accounts_legacy_id")),
    )
    op.create_index(op.f("ix_legacy_accounts_user_id"), "legacy_accounts", ["user_id"])
    op.create_table(
        "legacy_records",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("source", sa.String(length=64), nullable=False),
        sa.Column("legacy_id", sa.String(length=200), nullable=False),
        sa.Column("user_id", sa.BigInteger(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("content", postgresql.JSONB(), nullable=False),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_legacy_records_user_id_users")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_legacy_records")),
        sa.UniqueConstraint("source", "legacy_id", name=op.f("uq_legacy_records_source_legacy_id")),
    )
    op.create_index("ix_legacy_records_user_id_id", "legacy_records", ["user_id", "id"])


def downgrade():
    op.drop_table("legacy_records")
    op.drop_table("legacy_accounts")
