"""What PostgreSQL itself refuses in the ledger.

Revision ID: 0002
Revises: 0001

- a transaction without entries, or whose entries do not sum to zero in each currency: checked at commit
- changing, deleting or truncating entries and transactions
- touching a running balance by any other way than inserting an entry; overdrafts are a CHECK of the table
The running balance is kept by the insert itself, so it cannot differ from the sum of the entries.
"""

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

FUNCTIONS = """
CREATE FUNCTION ledger_post_entry() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE ledger_accounts SET balance = balance + NEW.amount, sequence = sequence + 1
     WHERE id = NEW.account_id AND balance IS NOT NULL
    RETURNING balance, sequence INTO NEW.balance_after, NEW.sequence;
    IF NOT FOUND THEN
        NEW.balance_after := NULL;
        NEW.sequence := NULL;
    END IF;
    RETURN NEW;
END $$;

CREATE FUNCTION ledger_check_zero() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    checked bigint := CASE TG_TABLE_NAME WHEN 'ledger_entries' THEN (to_jsonb(NEW)->>'transaction_id')::bigint
                                         ELSE (to_jsonb(NEW)->>'id')::bigint END;
BEGIN
    IF NOT EXISTS (SELECT 1 FROM ledger_entries WHERE transaction_id = checked) THEN
        RAISE EXCEPTION 'ledger transaction % has no entries', checked USING ERRCODE = 'check_violation',
            CONSTRAINT = 'ledger_transaction_has_entries';
    END IF;
    IF EXISTS (SELECT 1 FROM ledger_entries e JOIN ledger_accounts a ON a.id = e.account_id
                WHERE e.transaction_id = checked GROUP BY a.currency, a.scale HAVING sum(e.amount) <> 0) THEN
        RAISE EXCEPTION 'ledger transaction % does not sum to zero', checked USING ERRCODE = 'check_violation',
            CONSTRAINT = 'ledger_transaction_sums_to_zero';
    END IF;
    RETURN NULL;
END $$;

CREATE FUNCTION ledger_refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% of % is not allowed: the ledger is append-only', TG_OP, TG_TABLE_NAME
        USING ERRCODE = 'restrict_violation', CONSTRAINT = 'ledger_append_only';
END $$;

CREATE FUNCTION ledger_guard_account() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    -- An account starts empty; later only the trigger of ledger_entries (one level deeper) may move it.
    IF TG_OP = 'INSERT' AND (coalesce(NEW.balance, 0) <> 0 OR NEW.sequence <> 0)
       OR TG_OP = 'UPDATE' AND pg_trigger_depth() < 2 THEN
        RAISE EXCEPTION 'a balance moves by entries only' USING ERRCODE = 'restrict_violation',
            CONSTRAINT = 'ledger_append_only';
    END IF;
    RETURN NEW;
END $$;
"""

TRIGGERS = """
CREATE TRIGGER ledger_post_entry BEFORE INSERT ON ledger_entries
    FOR EACH ROW EXECUTE FUNCTION ledger_post_entry();
CREATE CONSTRAINT TRIGGER ledger_check_zero AFTER INSERT ON ledger_entries
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION ledger_check_zero();
CREATE CONSTRAINT TRIGGER ledger_check_zero AFTER INSERT ON ledger_transactions
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION ledger_check_zero();
CREATE TRIGGER ledger_append_only BEFORE UPDATE OR DELETE ON ledger_entries
    FOR EACH ROW EXECUTE FUNCTION ledger_refuse_change();
CREATE TRIGGER ledger_append_only BEFORE UPDATE OR DELETE ON ledger_transactions
    FOR EACH ROW EXECUTE FUNCTION ledger_refuse_change();
CREATE TRIGGER ledger_no_truncate BEFORE TRUNCATE ON ledger_entries
    FOR EACH STATEMENT EXECUTE FUNCTION ledger_refuse_change();
CREATE TRIGGER ledger_no_truncate BEFORE TRUNCATE ON ledger_transactions
    FOR EACH STATEMENT EXECUTE FUNCTION ledger_refuse_change();
CREATE TRIGGER ledger_no_truncate BEFORE TRUNCATE ON ledger_accounts
    FOR EACH STATEMENT EXECUTE FUNCTION ledger_refuse_change();
CREATE TRIGGER ledger_no_delete BEFORE DELETE ON ledger_accounts
    FOR EACH ROW EXECUTE FUNCTION ledger_refuse_change();
CREATE TRIGGER ledger_guard_account BEFORE INSERT OR UPDATE ON ledger_accounts
    FOR EACH ROW EXECUTE FUNCTION ledger_guard_account();
"""


def upgrade() -> None:
    op.execute(FUNCTIONS)
    op.execute(TRIGGERS)


def downgrade() -> None:
    op.execute(
        """
        DROP TRIGGER ledger_guard_account ON ledger_accounts;
        DROP TRIGGER ledger_no_delete ON ledger_accounts;
        DROP TRIGGER ledger_no_truncate ON ledger_accounts;
        DROP TRIGGER ledger_no_truncate ON ledger_transactions;
        DROP TRIGGER ledger_no_truncate ON ledger_entries;
        DROP TRIGGER ledger_append_only ON ledger_transactions;
        DROP TRIGGER ledger_append_only ON ledger_entries;
        DROP TRIGGER ledger_check_zero ON ledger_transactions;
        DROP TRIGGER ledger_check_zero ON ledger_entries;
        DROP TRIGGER ledger_post_entry ON ledger_entries;
        DROP FUNCTION ledger_guard_account, ledger_refuse_change, ledger_check_zero, ledger_post_entry;
        """
    )
