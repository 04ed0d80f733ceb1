-- ledger_entries, cut into pieces by number: docs/scaling.md says when. The table as it is becomes the first piece, so
-- nothing is copied or changed. tests/deploy/test_partitions.py runs this file.
--
--   psql -X -v ON_ERROR_STOP=1 -v first=… -v next=… -f ops/partitions/ledger_entries.sql
--
-- first: an entry's number that none has yet, a week's worth above the newest: until the swap is done, entries from
-- there on are refused, and so are purchases. next: first plus a month's worth.
-- By number and not by time: entries have no time of their own (their transaction has it), and numbers grow with it.
-- UNIQUE (account_id, sequence) then holds in each piece, not over all of them: the sequence is counted by the trigger
-- under the account's lock, and invariant I4 looks at all of it.

SET lock_timeout = '1s';       -- does it fail for that, run the file again: nothing was done, or step 1 only
SET statement_timeout = 0;

-- 1. Expand, while everything runs: proof that the old piece ends there.
ALTER TABLE ledger_entries DROP CONSTRAINT IF EXISTS ck_ledger_entries_before;
ALTER TABLE ledger_entries ADD CONSTRAINT ck_ledger_entries_before CHECK (id < :first) NOT VALID;
ALTER TABLE ledger_entries VALIDATE CONSTRAINT ck_ledger_entries_before;

-- 2. Swap: milliseconds, all or nothing.
BEGIN;
LOCK TABLE ledger_transactions, ledger_accounts, ledger_entries IN SHARE ROW EXCLUSIVE MODE;
-- A trigger is told the name of the piece, not of the whole: the function must look at the row instead.
CREATE OR REPLACE FUNCTION ledger_check_zero() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    checked bigint := coalesce(to_jsonb(NEW)->>'transaction_id', to_jsonb(NEW)->>'id')::bigint;
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

ALTER TABLE ledger_entries RENAME TO ledger_entries_before;
ALTER TABLE ledger_entries_before RENAME CONSTRAINT pk_ledger_entries TO pk_ledger_entries_before;
ALTER TABLE ledger_entries_before RENAME CONSTRAINT fk_ledger_entries_account_id_ledger_accounts
    TO fk_ledger_entries_before_account;
ALTER TABLE ledger_entries_before RENAME CONSTRAINT fk_ledger_entries_transaction_id_ledger_transactions
    TO fk_ledger_entries_before_transaction;
ALTER INDEX uq_ledger_entries_account_id_sequence RENAME TO uq_ledger_entries_before;
ALTER INDEX ix_ledger_entries_transaction_id RENAME TO ix_ledger_entries_before_transaction_id;
ALTER INDEX ix_ledger_entries_house RENAME TO ix_ledger_entries_before_house;
DROP TRIGGER ledger_post_entry ON ledger_entries_before;  -- the whole has them, and hands them on to its pieces
DROP TRIGGER ledger_check_zero ON ledger_entries_before;
DROP TRIGGER ledger_append_only ON ledger_entries_before;
ALTER TABLE ledger_entries_before ALTER id DROP IDENTITY;  -- partitioned tables have none before PostgreSQL 17

CREATE TABLE ledger_entries (LIKE ledger_entries_before INCLUDING DEFAULTS, CONSTRAINT ck_ledger_entries_amount
    CHECK (amount <> 0)) PARTITION BY RANGE (id);
CREATE SEQUENCE ledger_entries_id_seq OWNED BY ledger_entries.id;
SELECT setval('ledger_entries_id_seq', (SELECT coalesce(max(id), 0) + 1 FROM ledger_entries_before), false);
ALTER TABLE ledger_entries ALTER id SET DEFAULT nextval('ledger_entries_id_seq');
ALTER TABLE ledger_entries ADD CONSTRAINT pk_ledger_entries PRIMARY KEY (id);
ALTER TABLE ledger_entries ADD CONSTRAINT fk_ledger_entries_account_id_ledger_accounts
    FOREIGN KEY (account_id) REFERENCES ledger_accounts (id);
ALTER TABLE ledger_entries ADD CONSTRAINT fk_ledger_entries_transaction_id_ledger_transactions
    FOREIGN KEY (transaction_id) REFERENCES ledger_transactions (id);
CREATE INDEX ix_ledger_entries_transaction_id ON ledger_entries (transaction_id);
CREATE INDEX ix_ledger_entries_house ON ledger_entries (account_id, id) INCLUDE (amount) WHERE sequence IS NULL;

CREATE TRIGGER ledger_post_entry BEFORE INSERT ON ledger_entries
    FOR EACH ROW EXECUTE FUNCTION ledger_post_entry();
CREATE CONSTRAINT TRIGGER ledger_check_zero AFTER INSERT ON ledger_entries
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION ledger_check_zero();
CREATE TRIGGER ledger_append_only BEFORE UPDATE OR DELETE ON ledger_entries
    FOR EACH ROW EXECUTE FUNCTION ledger_refuse_change();
CREATE TRIGGER ledger_no_truncate BEFORE TRUNCATE ON ledger_entries
    FOR EACH STATEMENT EXECUTE FUNCTION ledger_refuse_change();

ALTER TABLE ledger_entries ATTACH PARTITION ledger_entries_before FOR VALUES FROM (MINVALUE) TO (:first);
CREATE TABLE ledger_entries_second PARTITION OF ledger_entries FOR VALUES FROM (:first) TO (:next);
CREATE TABLE ledger_entries_rest PARTITION OF ledger_entries DEFAULT;  -- whatever nobody made a piece for in time
-- What each new piece needs by itself: a statement's trigger is not handed on, and neither is this index.
CREATE TRIGGER ledger_no_truncate BEFORE TRUNCATE ON ledger_entries_second
    FOR EACH STATEMENT EXECUTE FUNCTION ledger_refuse_change();
CREATE TRIGGER ledger_no_truncate BEFORE TRUNCATE ON ledger_entries_rest
    FOR EACH STATEMENT EXECUTE FUNCTION ledger_refuse_change();
CREATE UNIQUE INDEX uq_ledger_entries_second ON ledger_entries_second (account_id, sequence);
CREATE UNIQUE INDEX uq_ledger_entries_rest ON ledger_entries_rest (account_id, sequence);
COMMIT;
ALTER TABLE ledger_entries_before DROP CONSTRAINT ck_ledger_entries_before;

-- Every month, in one transaction: CREATE TABLE ledger_entries_2027_01 PARTITION OF ledger_entries FOR VALUES FROM
-- (<last to>) TO (<a month more>), and its trigger and unique index as above. No piece is ever dropped.
