"""Names and letters of choice, accepted policies, data exports, and the list of deleted accounts.

Revision ID: 0007
Revises: 0006
"""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade():
    op.add_column("users", sa.Column("name", sa.String(length=80), server_default="", nullable=False))
    op.add_column("users", sa.Column("receipt_letters", sa.Boolean(), server_default=sa.text("true"), nullable=False))
    op.add_column("users", sa.Column("deleted_at", sa.DateTime(timezone=True), nullable=True))
    op.create_table(
        "policy_acceptances",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("user_id", sa.BigInteger(), nullable=False),
        sa.Column("version", sa.String(length=20), nullable=False),
        sa.Column("accepted_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("address", sa.String(length=45), nullable=True),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_policy_acceptances_user_id_users")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_policy_acceptances")),
        sa.UniqueConstraint("user_id", "version", name=op.f("uq_policy_acceptances_user_id_version")),
    )
    # One short statement: there is one row an account, and the first release has no more than it can copy in a breath.
    op.execute(
        "INSERT INTO policy_acceptances (user_id, version, accepted_at)"
        " SELECT id, policy_version, policy_accepted_at FROM users"
    )
    op.create_table(
        "data_exports",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("user_id", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.String(length=16), server_default="making", nullable=False),
        sa.Column("done", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("failure", sa.String(length=16), nullable=True),
        sa.Column("content", sa.LargeBinary(), nullable=True),
        sa.Column("size", sa.Integer(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("state IN ('making', 'ready', 'failed')", name=op.f("ck_data_exports_state")),
        sa.CheckConstraint("(state = 'ready') = (content IS NOT NULL)", name=op.f("ck_data_exports_content")),
        sa.CheckConstraint("(state = 'making') = (ended_at IS NULL)", name=op.f("ck_data_exports_ended_says_when")),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_data_exports_user_id_users")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_data_exports")),
    )
    op.create_index(
        "uq_data_exports_making",
        "data_exports",
        ["user_id"],
        unique=True,
        postgresql_where=sa.text("state = 'making'"),
    )
    op.create_index("ix_data_exports_user_id_id", "data_exports", ["user_id", "id"])
    op.create_table(
        "deleted_accounts",
        sa.Column("user_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("deleted_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("user_id", name=op.f("pk_deleted_accounts")),
    )


def downgrade():
    op.drop_table("deleted_accounts")
    op.drop_table("data_exports")
    op.drop_table("policy_acceptances")
    op.drop_column("users", "deleted_at")
    op.drop_column("users", "receipt_letters")
    op.drop_column("users", "name")
