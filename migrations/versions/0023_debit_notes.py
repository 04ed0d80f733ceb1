"""Debit notes: money that a credit note has taken off a receipt, and that has come back.

Revision ID: 0023
Revises: 0022

What the notes of a receipt take off it, debit notes counted against credit notes, stays between nothing and its total.
The release before this one issues none and counts none: it credits too little of such a receipt rather than too much.
"""

from alembic import op

from migrations import gently

revision = "0023"
down_revision = "0022"
branch_labels = None
depends_on = None

NOTES = "('credit_note', 'debit_note')"
RULES = {
    "ck_invoices_kind": "kind IN ('receipt', 'credit_note', 'debit_note')",
    "ck_invoices_credit_note": f"(kind IN {NOTES}) = (receipt_id IS NOT NULL)"
    f" AND (kind IN {NOTES}) = (refund_reference IS NOT NULL)",
}
RULES_BEFORE = {
    "ck_invoices_kind": "kind IN ('receipt', 'credit_note')",
    "ck_invoices_credit_note": "(kind = 'credit_note') = (receipt_id IS NOT NULL)"
    " AND (kind = 'credit_note') = (refund_reference IS NOT NULL)",
}

NUMBER = """
CREATE OR REPLACE FUNCTION invoice_number() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    taken_off bigint;
BEGIN
    INSERT INTO invoice_years AS y (year, last, last_on) VALUES (NEW.year, 1, NEW.issued_on)
        ON CONFLICT (year) DO UPDATE SET last = y.last + 1, last_on = greatest(y.last_on, excluded.last_on)
        RETURNING last, last_on INTO NEW.number, NEW.issued_on;
    NEW.issued_at := clock_timestamp();
    DELETE FROM receipts_due WHERE top_up_id = NEW.top_up_id AND NEW.kind = 'receipt';
    IF NEW.receipt_id IS NOT NULL THEN
        SELECT coalesce(sum(CASE kind WHEN 'credit_note' THEN total_minor ELSE -total_minor END), 0)
          INTO taken_off FROM invoices WHERE receipt_id = NEW.receipt_id;
        IF NEW.kind = 'credit_note'
           AND NEW.total_minor + taken_off > (SELECT total_minor FROM invoices WHERE id = NEW.receipt_id) THEN
            RAISE EXCEPTION 'receipt % would be credited beyond its total', NEW.receipt_id
                USING ERRCODE = 'check_violation', CONSTRAINT = 'invoice_credit_within_receipt';
        ELSIF NEW.kind = 'debit_note' AND NEW.total_minor > taken_off THEN
            RAISE EXCEPTION 'more would be put back on receipt % than was taken off', NEW.receipt_id
                USING ERRCODE = 'check_violation', CONSTRAINT = 'invoice_debit_within_credit';
        END IF;
    END IF;
    RETURN NEW;
END $$;
"""
NUMBER_BEFORE = """
CREATE OR REPLACE FUNCTION invoice_number() RETURNS trigger LANGUAGE plpgsql AS $$
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
"""


def upgrade():
    op.execute(NUMBER)
    _replace(RULES)
    # Every row obeyed the narrower rules; to prove it takes no lock that anybody meets.
    for name in RULES:
        gently.validate(name, "invoices")


def downgrade():
    """Fails, and changes nothing, once a debit note was issued: documents stay."""
    _replace(RULES_BEFORE)
    op.execute(NUMBER_BEFORE)
    for name in RULES_BEFORE:
        gently.validate(name, "invoices")


def _replace(rules):
    for name, rule in rules.items():
        op.execute(f"ALTER TABLE invoices DROP CONSTRAINT IF EXISTS {name}")
        gently.add_check(name, "invoices", rule)
