"""Receipts and credit notes, numbered without a gap by PostgreSQL itself, and what buyers want to stand on them.

Revision ID: 0008
Revises: 0007

- a number is taken from its year's row as the document is inserted; the row stays locked until the commit, so a
  rollback leaves no gap, and dates run with the numbers
- documents are never changed, deleted or truncated; the years' rows move by inserting a document only
- a receipt is never credited beyond its total
- a top-up that becomes paid is due a receipt, whoever says so: the release before this one credits without writing one
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

FUNCTIONS = """
CREATE FUNCTION invoice_number() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO invoice_years AS y (year, last, last_on) VALUES (NEW.year, 1, NEW.issued_on)
        ON CONFLICT (year) DO UPDATE SET last = y.last + 1, last_on = greatest(y.last_on, excluded.last_on)
        RETURNING last, last_on INTO NEW.number, NEW.issued_on;
    NEW.issued_at := clock_timestamp();
    DELETE FROM receipts_due WHERE top_up_id = NEW.top_up_id AND NEW.kind = 'receipt';
    IF NEW.kind = 'credit_note'
       AND NEW.total_minor + (SELECT coalesce(sum(total_minor), 0) FROM invoices WHERE receipt_id = NEW.receipt_id)
           > (SELECT total_minor FROM invoices WHERE id = NEW.receipt_id) THEN
        RAISE EXCEPTION 'receipt % would be credited beyond its total', NEW.receipt_id
            USING ERRCODE = 'check_violation', CONSTRAINT = 'invoice_credit_within_receipt';
    END IF;
    RETURN NEW;
END $$;

CREATE FUNCTION invoice_refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% of % is not allowed: what was issued stays', TG_OP, TG_TABLE_NAME
        USING ERRCODE = 'restrict_violation', CONSTRAINT = 'invoice_immutable';
END $$;

CREATE FUNCTION invoice_guard_year() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    -- Only the trigger of invoices, one level deeper, may count.
    IF pg_trigger_depth() < 2 THEN
        RAISE EXCEPTION 'numbers move by issuing only' USING ERRCODE = 'restrict_violation',
            CONSTRAINT = 'invoice_immutable';
    END IF;
    RETURN NEW;
END $$;

CREATE FUNCTION invoice_receipt_due() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO receipts_due (top_up_id) SELECT NEW.id
     WHERE NOT EXISTS (SELECT FROM invoices WHERE top_up_id = NEW.id AND kind = 'receipt')
        ON CONFLICT DO NOTHING;
    RETURN NULL;
END $$;
"""

TRIGGERS = """
CREATE TRIGGER invoice_number BEFORE INSERT ON invoices FOR EACH ROW EXECUTE FUNCTION invoice_number();
CREATE TRIGGER invoice_immutable BEFORE UPDATE OR DELETE ON invoices
    FOR EACH ROW EXECUTE FUNCTION invoice_refuse_change();
CREATE TRIGGER invoice_no_truncate BEFORE TRUNCATE ON invoices
    FOR EACH STATEMENT EXECUTE FUNCTION invoice_refuse_change();
CREATE TRIGGER invoice_guard_year BEFORE INSERT OR UPDATE ON invoice_years
    FOR EACH ROW EXECUTE FUNCTION invoice_guard_year();
CREATE TRIGGER invoice_no_delete BEFORE DELETE ON invoice_years
    FOR EACH ROW EXECUTE FUNCTION invoice_refuse_change();
CREATE TRIGGER invoice_no_truncate BEFORE TRUNCATE ON invoice_years
    FOR EACH STATEMENT EXECUTE FUNCTION invoice_refuse_change();
CREATE TRIGGER invoice_receipt_due AFTER INSERT OR UPDATE OF state ON top_ups
    FOR EACH ROW WHEN (NEW.state = 'paid') EXECUTE FUNCTION invoice_receipt_due();
"""


def upgrade():
    op.create_table(
        "buyer_details",
        sa.Column("user_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("company", sa.String(length=120), server_default="", nullable=False),
        sa.Column("address", sa.String(length=300), server_default="", nullable=False),
        sa.Column("tax_id", sa.String(length=40), server_default="", nullable=False),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_buyer_details_user_id_users")),
        sa.PrimaryKeyConstraint("user_id", name=op.f("pk_buyer_details")),
    )
    op.create_table(
        "invoice_years",
        sa.Column("year", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("last", sa.BigInteger(), nullable=False),
        sa.Column("last_on", sa.Date(), nullable=False),
        sa.PrimaryKeyConstraint("year", name=op.f("pk_invoice_years")),
    )
    op.create_table(
        "receipts_due",
        sa.Column("top_up_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.ForeignKeyConstraint(["top_up_id"], ["top_ups.id"], name=op.f("fk_receipts_due_top_up_id_top_ups")),
        sa.PrimaryKeyConstraint("top_up_id", name=op.f("pk_receipts_due")),
    )
    _create_invoices()
    op.execute(FUNCTIONS)
    op.execute(TRIGGERS)
    # One short statement. The trigger is there already and holds new payments off until the commit: none falls between.
    op.execute("INSERT INTO receipts_due (top_up_id) SELECT id FROM top_ups WHERE state = 'paid'")


def _create_invoices():
    op.create_table(
        "invoices",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("year", sa.Integer(), nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.Column("user_id", sa.BigInteger(), nullable=False),
        sa.Column("top_up_id", sa.BigInteger(), nullable=False),
        sa.Column("receipt_id", sa.BigInteger(), nullable=True),
        sa.Column("refund_reference", sa.String(length=100), nullable=True),
        sa.Column("issued_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("issued_on", sa.Date(), nullable=False),
        sa.Column("paid_on", sa.Date(), nullable=False),
        sa.Column("language", sa.String(length=12), nullable=False),
        sa.Column("currency", sa.String(length=3), nullable=False),
        sa.Column("total_minor", sa.BigInteger(), nullable=False),
        sa.Column("tax_minor", sa.BigInteger(), nullable=False),
        sa.Column("tax_rate", sa.Integer(), nullable=False),
        sa.Column("tax_name", sa.String(length=40), nullable=False),
        sa.Column("seller", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("buyer", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.CheckConstraint("kind IN ('receipt', 'credit_note')", name=op.f("ck_invoices_kind")),
        sa.CheckConstraint("year = extract(year FROM issued_on)", name=op.f("ck_invoices_year")),
        sa.CheckConstraint("total_minor > 0 AND tax_minor BETWEEN 0 AND total_minor", name=op.f("ck_invoices_amounts")),
        sa.CheckConstraint(
            "(kind = 'credit_note') = (receipt_id IS NOT NULL)"
            " AND (kind = 'credit_note') = (refund_reference IS NOT NULL)",
            name=op.f("ck_invoices_credit_note"),
        ),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_invoices_user_id_users")),
        sa.ForeignKeyConstraint(["top_up_id"], ["top_ups.id"], name=op.f("fk_invoices_top_up_id_top_ups")),
        sa.ForeignKeyConstraint(["receipt_id"], ["invoices.id"], name=op.f("fk_invoices_receipt_id_invoices")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_invoices")),
        sa.UniqueConstraint("year", "number", name=op.f("uq_invoices_year_number")),
        sa.UniqueConstraint("refund_reference", name=op.f("uq_invoices_refund_reference")),
    )
    op.create_index(
        "uq_invoices_receipt", "invoices", ["top_up_id"], unique=True, postgresql_where=sa.text("kind = 'receipt'")
    )
    op.create_index("ix_invoices_receipt_id", "invoices", ["receipt_id"])
    op.create_index("ix_invoices_user_id_id", "invoices", ["user_id", "id"])


def downgrade():
    op.execute("DROP TRIGGER invoice_receipt_due ON top_ups")
    op.drop_table("invoices")
    op.drop_table("receipts_due")
    op.drop_table("invoice_years")
    op.drop_table("buyer_details")
    op.execute("DROP FUNCTION invoice_number, invoice_refuse_change, invoice_guard_year, invoice_receipt_due")
