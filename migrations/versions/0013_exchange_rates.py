"""Top-ups whose payer bears the gateway's fee, and exchange rates with a date.

Revision ID: 0013
Revises: 0012

- a surcharge is what a payer was asked for on top of the amount; older top-ups and receipts have none
- exchange rates are added, never changed, deleted or truncated
- an activation keeps the rate its purchase was reckoned with; older ones have none
- customers' and the house's accounts are all in one currency, whatever the settings become
"""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

RULES = (
    ("top_ups", "surcharge", "surcharge_minor >= 0 AND (paid_minor IS NULL OR paid_minor > surcharge_minor)"),
    ("invoices", "fee", "fee_minor >= 0 AND fee_minor < total_minor AND (kind = 'receipt' OR fee_minor = 0)"),
    ("activations", "exchange_rate", "exchange_rate > 0"),
)

APPEND_ONLY = """
CREATE FUNCTION exchange_rates_refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% of % is not allowed: prices were made from what is there', TG_OP, TG_TABLE_NAME
        USING ERRCODE = 'restrict_violation', CONSTRAINT = 'exchange_rates_immutable';
END $$;
CREATE TRIGGER exchange_rates_immutable BEFORE UPDATE OR DELETE ON exchange_rates
    FOR EACH ROW EXECUTE FUNCTION exchange_rates_refuse_change();
CREATE TRIGGER exchange_rates_no_truncate BEFORE TRUNCATE ON exchange_rates
    FOR EACH STATEMENT EXECUTE FUNCTION exchange_rates_refuse_change();
"""

# One row tells: all of them have the same.
ONE_CURRENCY = """
CREATE FUNCTION ledger_one_currency() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    used text;
BEGIN
    SELECT currency INTO used FROM ledger_accounts WHERE provider IS NULL LIMIT 1;
    IF used <> NEW.currency THEN
        RAISE EXCEPTION 'wallets are in %, and an account in % would be another money', used, NEW.currency
            USING ERRCODE = 'check_violation', CONSTRAINT = 'ledger_one_currency';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER ledger_one_currency BEFORE INSERT ON ledger_accounts
    FOR EACH ROW WHEN (NEW.provider IS NULL) EXECUTE FUNCTION ledger_one_currency();
"""


def upgrade():
    op.add_column("top_ups", sa.Column("surcharge_minor", sa.BigInteger(), server_default=sa.text("0"), nullable=False))
    op.add_column("invoices", sa.Column("fee_minor", sa.BigInteger(), server_default=sa.text("0"), nullable=False))
    op.add_column("activations", sa.Column("exchange_rate", sa.Numeric(22, 10), nullable=True))
    op.create_table(
        "exchange_rates",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("currency", sa.String(length=3), nullable=False),
        sa.Column("wallet_currency", sa.String(length=3), nullable=False),
        sa.Column("rate", sa.Numeric(22, 10), nullable=False),
        sa.Column("valid_from", sa.DateTime(timezone=True), nullable=False),
        sa.Column("source", sa.String(length=120), nullable=False),
        sa.Column("who", sa.String(length=100), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("rate > 0", name=op.f("ck_exchange_rates_rate")),
        sa.CheckConstraint(
            "currency ~ '^[A-Z]{3}$' AND currency <> wallet_currency", name=op.f("ck_exchange_rates_currency")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_exchange_rates")),
    )
    op.create_index(
        "uq_exchange_rates_valid_from",
        "exchange_rates",
        ["wallet_currency", "currency", "valid_from"],
        unique=True,
    )
    op.execute(APPEND_ONLY)
    op.execute(ONE_CURRENCY)
    for table, name, rule in RULES:
        op.execute(f"ALTER TABLE {table} ADD CONSTRAINT ck_{table}_{name} CHECK ({rule}) NOT VALID")
    with op.get_context().autocommit_block():
        for table, name, _rule in RULES:
            op.execute(f"ALTER TABLE {table} VALIDATE CONSTRAINT ck_{table}_{name}")


def downgrade():
    op.execute("DROP TRIGGER ledger_one_currency ON ledger_accounts")
    op.execute("DROP FUNCTION ledger_one_currency")
    for table, name, _rule in RULES:
        op.execute(f"ALTER TABLE {table} DROP CONSTRAINT ck_{table}_{name}")
    op.drop_table("exchange_rates")
    op.execute("DROP FUNCTION exchange_rates_refuse_change")
    op.drop_column("activations", "exchange_rate")
    op.drop_column("invoices", "fee_minor")
    op.drop_column("top_ups", "surcharge_minor")
