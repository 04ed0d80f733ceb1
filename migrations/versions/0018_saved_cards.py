"""Kept cards, automatic top-ups and letters about a low balance.

Revision ID: 0018
Revises: 0017

An automatic top-up is under way once a customer at most, whatever the workers do.
"""

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None

UNDER_WAY = "origin = 'auto' AND state IN ('opened', 'pending') AND checkout_url IS NULL"
OF_TOP_UPS = (
    ("uq_top_ups_auto_under_way", ["user_id"], True, UNDER_WAY),
    ("ix_top_ups_card_id", ["card_id"], False, "card_id IS NOT NULL"),
)
NOW = sa.text("now()")


def upgrade():
    _create_cards()
    _create_wishes()
    op.add_column("top_ups", sa.Column("origin", sa.String(length=16), server_default="checkout", nullable=False))
    op.add_column("top_ups", sa.Column("keep_card", sa.Boolean(), server_default=sa.text("false"), nullable=False))
    op.add_column("top_ups", sa.Column("card_id", sa.BigInteger(), nullable=True))
    op.execute(
        "ALTER TABLE top_ups ADD CONSTRAINT ck_top_ups_origin CHECK (origin IN ('checkout', 'card', 'auto')) NOT VALID"
    )
    op.execute(
        "ALTER TABLE top_ups ADD CONSTRAINT fk_top_ups_card_id_saved_cards"
        " FOREIGN KEY (card_id) REFERENCES saved_cards (id) ON DELETE SET NULL NOT VALID"
    )
    with op.get_context().autocommit_block():
        op.execute("SET statement_timeout = 0")
        op.execute("ALTER TABLE top_ups VALIDATE CONSTRAINT ck_top_ups_origin")
        op.execute("ALTER TABLE top_ups VALIDATE CONSTRAINT fk_top_ups_card_id_saved_cards")
        for name, columns, unique, where in OF_TOP_UPS:
            op.drop_index(name, "top_ups", postgresql_concurrently=True, if_exists=True)
            op.create_index(
                name,
                "top_ups",
                columns,
                unique=unique,
                postgresql_concurrently=True,
                postgresql_where=sa.text(where),
            )
        op.execute("RESET statement_timeout")


def _create_cards():
    op.create_table(
        "saved_cards",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("user_id", sa.BigInteger(), nullable=False),
        sa.Column("authorization_code", sa.LargeBinary(), nullable=True),
        sa.Column("email", sa.String(length=254), nullable=True),
        sa.Column("signature", sa.String(length=100), nullable=False),
        sa.Column("brand", sa.String(length=40), nullable=False),
        sa.Column("last4", sa.String(length=4), nullable=False),
        sa.Column("exp_month", sa.Integer(), nullable=False),
        sa.Column("exp_year", sa.Integer(), nullable=False),
        sa.Column("bank", sa.String(length=100), server_default="", nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=NOW, nullable=False),
        sa.Column("removed_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "(removed_at IS NULL) = (authorization_code IS NOT NULL AND email IS NOT NULL)",
            name=op.f("ck_saved_cards_kept"),
        ),
        sa.CheckConstraint("exp_month BETWEEN 1 AND 12", name=op.f("ck_saved_cards_exp_month")),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_saved_cards_user_id_users")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_saved_cards")),
    )
    op.create_index(
        "uq_saved_cards_user_id_signature",
        "saved_cards",
        ["user_id", "signature"],
        unique=True,
        postgresql_where=sa.text("removed_at IS NULL"),
    )
    op.create_index("ix_saved_cards_user_id_id", "saved_cards", ["user_id", "id"])
    op.create_table(
        "card_deactivations",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("authorization_code", sa.LargeBinary(), nullable=False),
        sa.Column("code_digest", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=NOW, nullable=False),
        sa.Column("due_at", sa.DateTime(timezone=True), server_default=NOW, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_card_deactivations")),
        sa.UniqueConstraint("code_digest", name=op.f("uq_card_deactivations_code_digest")),
    )
    op.create_index("ix_card_deactivations_due_at", "card_deactivations", ["due_at"])


def _create_wishes():
    op.create_table(
        "auto_top_ups",
        sa.Column("user_id", sa.BigInteger(), nullable=False),
        sa.Column("is_on", sa.Boolean(), nullable=False),
        sa.Column("currency", sa.String(length=3), nullable=False),
        sa.Column("below_minor", sa.BigInteger(), nullable=False),
        sa.Column("amount_minor", sa.BigInteger(), nullable=False),
        sa.Column("day_limit_minor", sa.BigInteger(), nullable=False),
        sa.Column("card_id", sa.BigInteger(), nullable=True),
        sa.Column("off_reason", sa.String(length=16), server_default="", nullable=False),
        sa.Column("off_detail", sa.Text(), server_default="", nullable=False),
        sa.Column("waits_for", sa.String(length=16), server_default="", nullable=False),
        sa.Column("due_at", sa.DateTime(timezone=True), server_default=NOW, nullable=False),
        sa.Column("changed_at", sa.DateTime(timezone=True), server_default=NOW, nullable=False),
        sa.CheckConstraint("below_minor > 0 AND amount_minor >= below_minor", name=op.f("ck_auto_top_ups_amount")),
        sa.CheckConstraint("day_limit_minor >= amount_minor", name=op.f("ck_auto_top_ups_day_limit")),
        sa.CheckConstraint("NOT is_on OR card_id IS NOT NULL AND off_reason = ''", name=op.f("ck_auto_top_ups_on")),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_auto_top_ups_user_id_users")),
        sa.ForeignKeyConstraint(["card_id"], ["saved_cards.id"], name=op.f("fk_auto_top_ups_card_id_saved_cards")),
        sa.PrimaryKeyConstraint("user_id", name=op.f("pk_auto_top_ups")),
    )
    op.create_index("ix_auto_top_ups_due_at", "auto_top_ups", ["due_at"], postgresql_where=sa.text("is_on"))
    op.create_index("ix_auto_top_ups_card_id", "auto_top_ups", ["card_id"])
    op.create_table(
        "low_balance_letters",
        sa.Column("user_id", sa.BigInteger(), nullable=False),
        sa.Column("currency", sa.String(length=3), nullable=False),
        sa.Column("below_minor", sa.BigInteger(), nullable=False),
        sa.Column("is_told", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.CheckConstraint("below_minor > 0", name=op.f("ck_low_balance_letters_below")),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_low_balance_letters_user_id_users")),
        sa.PrimaryKeyConstraint("user_id", name=op.f("pk_low_balance_letters")),
    )


def downgrade():
    with op.get_context().autocommit_block():
        for name, *_more in OF_TOP_UPS:
            op.drop_index(name, "top_ups", postgresql_concurrently=True, if_exists=True)
    for column in ("card_id", "keep_card", "origin"):
        op.drop_column("top_ups", column)
    for table in ("low_balance_letters", "auto_top_ups", "card_deactivations", "saved_cards"):
        op.drop_table(table)
