"""What keeps a large ledger fast: snapshots of the house's balances, and indexes for one customer's own rows.

Revision ID: 0010
Revises: 0009
"""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

OPEN = "state IN ('buying', 'in_doubt', 'waiting', 'received')"
RELEASED = "state IN ('cancelled', 'expired', 'failed')"
INDEXES = (
    ("ix_ledger_entries_house", "ledger_entries", ["account_id", "id"], "sequence IS NULL", ["amount"]),
    ("ix_activations_user_id_open", "activations", ["user_id", "id"], OPEN, []),
    ("ix_activations_user_id_released", "activations", ["user_id", "id"], RELEASED, []),
    ("ix_activations_user_id_service_code_id", "activations", ["user_id", "service_code", "id"], None, []),
)


def upgrade():
    # Indexes first, each made anew: what breaks off here can be run again. They take longer than a page may.
    with op.get_context().autocommit_block():
        op.execute("SET statement_timeout = 0")
        for name, table, columns, where, more in INDEXES:
            op.drop_index(name, table, postgresql_concurrently=True, if_exists=True)
            op.create_index(
                name,
                table,
                columns,
                postgresql_concurrently=True,
                postgresql_where=sa.text(where) if where else None,
                postgresql_include=more,
            )
        op.execute("RESET statement_timeout")
    op.create_table(
        "ledger_snapshots",
        sa.Column("account_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("entry_id", sa.BigInteger(), nullable=False),
        sa.Column("balance", sa.BigInteger(), nullable=False),
        sa.Column("taken_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(
            ["account_id"], ["ledger_accounts.id"], name=op.f("fk_ledger_snapshots_account_id_ledger_accounts")
        ),
        sa.PrimaryKeyConstraint("account_id", name=op.f("pk_ledger_snapshots")),
    )


def downgrade():
    with op.get_context().autocommit_block():
        for name, table, *_more in INDEXES:
            op.drop_index(name, table, postgresql_concurrently=True, if_exists=True)
    op.drop_table("ledger_snapshots")
