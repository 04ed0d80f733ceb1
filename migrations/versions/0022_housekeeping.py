"""Messages that lose their words, and the list of what is tidied away.

Revision ID: 0022
Revises: 0021
"""

import sqlalchemy as sa
from alembic import op

revision = "0022"
down_revision = "0021"
branch_labels = None
depends_on = None

INDEXES = (
    ("ix_messages_activation_id_with_text", "messages", ["activation_id"], "erased_at IS NULL"),
    ("ix_gateway_events_received_at_with_raw", "gateway_events", ["received_at"], "raw IS NOT NULL"),
)
ERASED = "erased_at IS NULL OR body = '' AND code IS NULL AND sender IS NULL"

FUNCTION = """
CREATE OR REPLACE FUNCTION message_stays_erased() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'UPDATE' THEN
        IF OLD.erased_at IS NOT NULL AND OLD IS DISTINCT FROM NEW THEN
            RAISE EXCEPTION 'message % was erased and stays so', OLD.id
                USING ERRCODE = 'restrict_violation', CONSTRAINT = 'message_stays_erased';
        END IF;
    -- The provider sends it again, in other words perhaps: nothing is kept of what comes after the words are gone.
    ELSIF NEW.erased_at IS NULL AND EXISTS (
        SELECT FROM messages WHERE activation_id = NEW.activation_id AND erased_at IS NOT NULL
    ) THEN
        RAISE EXCEPTION 'the messages of activation % were erased', NEW.activation_id
            USING ERRCODE = 'restrict_violation', CONSTRAINT = 'message_stays_erased';
    END IF;
    RETURN NEW;
END $$;
"""
TRIGGER = """
DROP TRIGGER IF EXISTS message_stays_erased ON messages;
CREATE TRIGGER message_stays_erased BEFORE INSERT OR UPDATE ON messages
    FOR EACH ROW EXECUTE FUNCTION message_stays_erased();
"""


def upgrade():
    op.create_table(
        "housekeeping_jobs",
        sa.Column("name", sa.String(length=40), nullable=False),
        sa.Column("due_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("succeeded_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("erased_last", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("erased_total", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("error", sa.String(length=200), server_default="", nullable=False),
        sa.CheckConstraint(
            "erased_last >= 0 AND erased_total >= erased_last", name=op.f("ck_housekeeping_jobs_counts")
        ),
        sa.CheckConstraint(
            "ended_at IS NULL OR started_at IS NOT NULL", name=op.f("ck_housekeeping_jobs_ended_was_started")
        ),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_housekeeping_jobs")),
        if_not_exists=True,
    )
    op.execute("ALTER TABLE messages ADD COLUMN IF NOT EXISTS erased_at timestamptz")
    op.execute("ALTER TABLE messages DROP CONSTRAINT IF EXISTS ck_messages_erased")
    op.execute(f"ALTER TABLE messages ADD CONSTRAINT ck_messages_erased CHECK ({ERASED}) NOT VALID")
    op.execute(FUNCTION)
    op.execute(TRIGGER)
    # The indexes take longer than a page may. All of it can be run again when it breaks off here.
    with op.get_context().autocommit_block():
        op.execute("SET statement_timeout = 0")
        op.execute("ALTER TABLE messages VALIDATE CONSTRAINT ck_messages_erased")
        for name, table, columns, where in INDEXES:
            op.drop_index(name, table, postgresql_concurrently=True, if_exists=True)
            op.create_index(name, table, columns, postgresql_concurrently=True, postgresql_where=sa.text(where))
        op.execute("RESET statement_timeout")


def downgrade():
    with op.get_context().autocommit_block():
        for name, table, _columns, _where in INDEXES:
            op.drop_index(name, table, postgresql_concurrently=True, if_exists=True)
    op.execute("DROP TRIGGER message_stays_erased ON messages; DROP FUNCTION message_stays_erased()")
    op.drop_column("messages", "erased_at")
    op.drop_table("housekeeping_jobs")
