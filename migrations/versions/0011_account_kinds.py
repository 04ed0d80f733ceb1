"""Places in the ledger for money that is a customer's and not to be spent: on its way back, disputed, or a gift.

Revision ID: 0011
Revises: 0010
"""

from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

OLD = (
    "user_available",
    "user_held",
    "user_debt",
    "gateway_clearing",
    "gateway_fees",
    "provider_float",
    "provider_receivable",
    "provider_cost",
    "revenue",
    "promo",
    "suspense",
    "provider_suspense",
)
NEW = ("user_refunding", "user_disputed", "user_promo")
TABLE = "ledger_accounts"


def upgrade():
    _exchange(OLD + NEW, ("user_available", "user_held", *NEW))


def downgrade():
    _exchange(OLD, ("user_available", "user_held"))


def _exchange(kinds, guarded):
    """Each rule gives way to another in one transaction, and is proved without a lock that anybody would feel."""
    rules = {"kind": f"kind IN ({_quoted(kinds)})", "not_negative": f"kind NOT IN ({_quoted(guarded)}) OR balance >= 0"}
    for name, rule in rules.items():
        op.execute(f"ALTER TABLE {TABLE} DROP CONSTRAINT ck_{TABLE}_{name}")
        op.execute(f"ALTER TABLE {TABLE} ADD CONSTRAINT ck_{TABLE}_{name} CHECK ({rule}) NOT VALID")
    with op.get_context().autocommit_block():
        for name in rules:
            op.execute(f"ALTER TABLE {TABLE} VALIDATE CONSTRAINT ck_{TABLE}_{name}")


def _quoted(words):
    return ", ".join(f"'{word}'" for word in words)
