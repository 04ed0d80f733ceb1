-- messages, cut into pieces by activation: docs/scaling.md says when. The table as it is becomes the first piece, so
-- nothing is copied. tests/deploy/test_partitions.py runs this file.
--
--   psql -X -v ON_ERROR_STOP=1 -v first=… -v next=… -f ops/partitions/messages.sql
--
-- first: an activation's number that none has yet, a week's worth above the newest: until the swap is done, messages
-- of activations from there on are refused. next: first plus a month's worth.
-- By activation and not by time, because of UNIQUE (activation_id, fingerprint), which keeps poll and webhook from
-- storing a message twice: PostgreSQL wants the key of the pieces in it. Numbers of activations grow with time.

SET lock_timeout = '1s';       -- does it fail for that, run the file again: nothing was done, or step 1 only
SET statement_timeout = 0;

-- 1. Expand, while everything runs: proof that the old piece ends there, the primary key it will have, and what finds
-- new rows by number (watch/totals.py, every minute) without it.
ALTER TABLE messages DROP CONSTRAINT IF EXISTS ck_messages_before;
ALTER TABLE messages ADD CONSTRAINT ck_messages_before CHECK (activation_id < :first) NOT VALID;
ALTER TABLE messages VALIDATE CONSTRAINT ck_messages_before;
DROP INDEX CONCURRENTLY IF EXISTS pk_messages_before;
CREATE UNIQUE INDEX CONCURRENTLY pk_messages_before ON messages (activation_id, id);
DROP INDEX CONCURRENTLY IF EXISTS ix_messages_before_id;
CREATE INDEX CONCURRENTLY ix_messages_before_id ON messages (id);

-- 2. Swap: milliseconds, all or nothing.
BEGIN;
LOCK TABLE activations, messages IN SHARE ROW EXCLUSIVE MODE;
ALTER TABLE messages RENAME TO messages_before;
ALTER TABLE messages_before DROP CONSTRAINT pk_messages;
ALTER TABLE messages_before ADD CONSTRAINT pk_messages_before PRIMARY KEY USING INDEX pk_messages_before;
ALTER TABLE messages_before RENAME CONSTRAINT uq_messages_activation_id_fingerprint TO uq_messages_before;
ALTER TABLE messages_before RENAME CONSTRAINT fk_messages_activation_id_activations TO fk_messages_before;
ALTER INDEX ix_messages_activation_id_with_text RENAME TO ix_messages_before_with_text;
DROP TRIGGER message_stays_erased ON messages_before;  -- the whole has it, and hands it on to its pieces
ALTER TABLE messages_before ALTER id DROP IDENTITY;  -- partitioned tables have none before PostgreSQL 17

CREATE TABLE messages (LIKE messages_before INCLUDING DEFAULTS, CONSTRAINT ck_messages_erased
    CHECK (erased_at IS NULL OR body = '' AND code IS NULL AND sender IS NULL)) PARTITION BY RANGE (activation_id);
CREATE SEQUENCE messages_id_seq OWNED BY messages.id;
SELECT setval('messages_id_seq', (SELECT coalesce(max(id), 0) + 1 FROM messages_before), false);
ALTER TABLE messages ALTER id SET DEFAULT nextval('messages_id_seq');
ALTER TABLE messages ADD CONSTRAINT pk_messages PRIMARY KEY (activation_id, id);
ALTER TABLE messages ADD CONSTRAINT uq_messages_activation_id_fingerprint UNIQUE (activation_id, fingerprint);
ALTER TABLE messages ADD CONSTRAINT fk_messages_activation_id_activations
    FOREIGN KEY (activation_id) REFERENCES activations (id);
CREATE INDEX ix_messages_activation_id_with_text ON messages (activation_id) WHERE erased_at IS NULL;
CREATE INDEX ix_messages_id ON messages (id);
CREATE TRIGGER message_stays_erased BEFORE INSERT OR UPDATE ON messages
    FOR EACH ROW EXECUTE FUNCTION message_stays_erased();

ALTER TABLE messages ATTACH PARTITION messages_before FOR VALUES FROM (MINVALUE) TO (:first);
CREATE TABLE messages_second PARTITION OF messages FOR VALUES FROM (:first) TO (:next);
CREATE TABLE messages_rest PARTITION OF messages DEFAULT;  -- whatever nobody made a piece for in time
COMMIT;
ALTER TABLE messages_before DROP CONSTRAINT ck_messages_before;

-- Every month: CREATE TABLE messages_2027_01 PARTITION OF messages FOR VALUES FROM (<last to>) TO (<a month more>);
-- What nobody needs any more: ALTER TABLE messages DETACH PARTITION messages_before CONCURRENTLY; DROP TABLE …;
