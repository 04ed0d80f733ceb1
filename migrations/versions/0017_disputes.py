"""Disputes of payments, and the papers we have answered them with.

Revision ID: 0017
Revises: 0016
"""

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None

OWED = "outcome IS DISTINCT FROM 'won' AND debt_minor > debt_paid_minor + written_off_minor"
CHECKS = {
    "state": "state IN ('awaiting_merchant_feedback', 'awaiting_bank_feedback', 'pending', 'resolved')",
    "outcome": "outcome IN ('won', 'lost')",
    "answer": "answer IN ('accepted', 'declined')",
    "resolved_says_how": "(state = 'resolved') = (outcome IS NOT NULL)",
    "resolved_says_when": "(outcome IS NULL) = (resolved_at IS NULL)",
    "amounts": "debt_minor BETWEEN 0 AND amount_minor AND amount_minor <= claimed_minor",
    "debt": "debt_paid_minor >= 0 AND written_off_minor >= 0 AND debt_paid_minor + written_off_minor <= debt_minor",
    "answer_says_when": "(answer IS NULL) = (answer_asked_at IS NULL)",
    "answered": "answer IS NOT NULL OR (answered_at IS NULL AND answer_due_at IS NULL)",
}


def upgrade():
    op.create_table(
        "disputes",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("gateway_id", sa.String(length=24), nullable=False),
        sa.Column("top_up_id", sa.BigInteger(), nullable=False),
        sa.Column("user_id", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.String(length=32), nullable=False),
        sa.Column("resolution", sa.String(length=32), nullable=True),
        sa.Column("outcome", sa.String(length=8), nullable=True),
        sa.Column("category", sa.String(length=24), server_default="", nullable=False),
        sa.Column("currency", sa.String(length=3), nullable=False),
        sa.Column("claimed_minor", sa.BigInteger(), nullable=False),
        *(
            sa.Column(name, sa.BigInteger(), server_default=sa.text("0"), nullable=False)
            for name in ("amount_minor", "debt_minor", "debt_paid_minor", "written_off_minor")
        ),
        sa.Column("round", sa.Integer(), server_default=sa.text("1"), nullable=False),
        sa.Column("debt_steps", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("opened_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        *(
            sa.Column(name, sa.DateTime(timezone=True), nullable=True)
            for name in ("due_at", "gateway_changed_at", "resolved_at")
        ),
        sa.Column("answer", sa.String(length=8), nullable=True),
        sa.Column("answer_reason", sa.Text(), server_default="", nullable=False),
        sa.Column("answered_by", sa.String(length=100), nullable=True),
        sa.Column("answer_asked_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("answer_due_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("uploaded_as", sa.String(length=200), nullable=True),
        sa.Column("evidence_ref", sa.String(length=24), nullable=True),
        sa.Column("evidence_sent_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("answered_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("answer_problem", sa.Text(), server_default="", nullable=False),
        *(
            sa.Column(name, sa.DateTime(timezone=True), nullable=True)
            for name in ("early_reminder_at", "late_reminder_at", "check_at")
        ),
        sa.Column("tries", sa.Integer(), server_default=sa.text("0"), nullable=False),
        *(sa.CheckConstraint(rule, name=op.f(f"ck_disputes_{name}")) for name, rule in CHECKS.items()),
        sa.ForeignKeyConstraint(["top_up_id"], ["top_ups.id"], name=op.f("fk_disputes_top_up_id_top_ups")),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_disputes_user_id_users")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_disputes")),
        sa.UniqueConstraint("gateway_id", name=op.f("uq_disputes_gateway_id")),
    )
    op.create_index("ix_disputes_top_up_id", "disputes", ["top_up_id"])
    op.create_index("ix_disputes_user_id", "disputes", ["user_id"])
    for name in ("check_at", "answer_due_at"):
        op.create_index(f"ix_disputes_{name}", "disputes", [name], postgresql_where=sa.text(f"{name} IS NOT NULL"))
    op.create_index("ix_disputes_owed", "disputes", ["user_id", "id"], postgresql_where=sa.text(OWED))
    op.create_table(
        "dispute_papers",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("dispute_id", sa.BigInteger(), nullable=False),
        sa.Column("user_id", sa.BigInteger(), nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("made_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(["dispute_id"], ["disputes.id"], name=op.f("fk_dispute_papers_dispute_id_disputes")),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_dispute_papers_user_id_users")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_dispute_papers")),
    )
    op.create_index("ix_dispute_papers_dispute_id", "dispute_papers", ["dispute_id"])
    op.create_index("ix_dispute_papers_user_id", "dispute_papers", ["user_id"])


def downgrade():
    op.drop_table("dispute_papers")
    op.drop_table("disputes")
