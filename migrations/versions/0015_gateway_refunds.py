"""Refunds of top-ups to where they were paid from.

Revision ID: 0015
Revises: 0014

- no more of a top-up goes back than was paid: the insert locks the top-up's row, then adds up what is on its way or gone
- what a refund is about never changes, and a closed one stays closed; only one that the gateway called failed may turn
  out to have gone after all, within the same limit
"""

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None

OPEN = "state IN ('asked', 'doubt', 'pending', 'processing', 'needs_attention')"
STATES = "state IN ('asked', 'doubt', 'pending', 'processing', 'needs_attention', 'processed', 'failed', 'cancelled')"
TABLE = "gateway_refunds"

FUNCTIONS = """
CREATE FUNCTION gateway_refund_within_paid() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    paid top_ups%ROWTYPE;
    gone bigint;
BEGIN
    SELECT * INTO paid FROM top_ups WHERE id = NEW.top_up_id FOR NO KEY UPDATE;
    IF paid.state IS DISTINCT FROM 'paid' OR paid.user_id <> NEW.user_id OR paid.currency <> NEW.currency THEN
        RAISE EXCEPTION 'refund % is of no paid top-up of this user', NEW.reference
            USING ERRCODE = 'check_violation', CONSTRAINT = 'gateway_refund_of_paid_top_up';
    END IF;
    SELECT coalesce(sum(amount_minor), 0) INTO gone FROM gateway_refunds
     WHERE top_up_id = NEW.top_up_id AND id <> NEW.id AND state NOT IN ('failed', 'cancelled');
    IF gone + NEW.amount_minor > paid.paid_minor THEN
        RAISE EXCEPTION 'refund % is more than what is left of its top-up', NEW.reference
            USING ERRCODE = 'check_violation', CONSTRAINT = 'gateway_refund_within_paid';
    END IF;
    RETURN NEW;
END $$;

CREATE FUNCTION gateway_refund_guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' OR (NEW.id, NEW.reference, NEW.key, NEW.top_up_id, NEW.user_id, NEW.amount_minor, NEW.currency,
                            NEW.loss_minor, NEW.asked_by, NEW.created_at)
        IS DISTINCT FROM (OLD.id, OLD.reference, OLD.key, OLD.top_up_id, OLD.user_id, OLD.amount_minor, OLD.currency,
                          OLD.loss_minor, OLD.asked_by, OLD.created_at)
       OR (OLD.gateway_id IS NOT NULL AND NEW.gateway_id IS DISTINCT FROM OLD.gateway_id)
       OR (OLD.state = 'processed' AND NEW.state <> 'processed')
       OR (OLD.state IN ('failed', 'cancelled') AND NEW.state NOT IN (OLD.state, 'processed')) THEN
        RAISE EXCEPTION 'refund % cannot be changed like this', OLD.reference
            USING ERRCODE = 'restrict_violation', CONSTRAINT = 'gateway_refund_guard';
    END IF;
    RETURN NEW;
END $$;
"""

TRIGGERS = """
CREATE TRIGGER gateway_refund_within_paid BEFORE INSERT ON gateway_refunds
    FOR EACH ROW EXECUTE FUNCTION gateway_refund_within_paid();
CREATE TRIGGER gateway_refund_within_paid_late BEFORE UPDATE OF state ON gateway_refunds
    FOR EACH ROW WHEN (OLD.state IN ('failed', 'cancelled') AND NEW.state NOT IN ('failed', 'cancelled'))
    EXECUTE FUNCTION gateway_refund_within_paid();
CREATE TRIGGER gateway_refund_guard BEFORE UPDATE OR DELETE ON gateway_refunds
    FOR EACH ROW EXECUTE FUNCTION gateway_refund_guard();
"""


def upgrade():
    op.create_table(
        TABLE,
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("reference", sa.String(length=40), nullable=False),
        sa.Column("key", sa.String(length=64), nullable=False),
        sa.Column("top_up_id", sa.BigInteger(), nullable=False),
        sa.Column("user_id", sa.BigInteger(), nullable=False),
        sa.Column("amount_minor", sa.BigInteger(), nullable=False),
        sa.Column("currency", sa.String(length=3), nullable=False),
        sa.Column("loss_minor", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("loss_reason", sa.Text(), server_default="", nullable=False),
        sa.Column("asked_by", sa.String(length=100), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("state", sa.String(length=16), server_default="asked", nullable=False),
        sa.Column("gateway_id", sa.String(length=32), nullable=True),
        sa.Column("gateway_status", sa.String(length=32), nullable=True),
        sa.Column("problem", sa.Text(), server_default="", nullable=False),
        sa.Column("account_last4", sa.String(length=4), nullable=True),
        sa.Column("tries", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("asked_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("check_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("settled_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("contradicted_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("returned_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(STATES, name=op.f("ck_gateway_refunds_state")),
        sa.CheckConstraint(
            "amount_minor > 0 AND loss_minor BETWEEN 0 AND amount_minor", name=op.f("ck_gateway_refunds_amounts")
        ),
        sa.CheckConstraint(
            "(loss_minor > 0) = (loss_reason <> '') AND reason <> ''", name=op.f("ck_gateway_refunds_reasons")
        ),
        sa.CheckConstraint(f"(settled_at IS NULL) = ({OPEN})", name=op.f("ck_gateway_refunds_settled")),
        sa.CheckConstraint(f"check_at IS NULL OR {OPEN}", name=op.f("ck_gateway_refunds_check_at")),
        sa.CheckConstraint(
            "returned_at IS NULL OR contradicted_at IS NOT NULL", name=op.f("ck_gateway_refunds_returned")
        ),
        sa.ForeignKeyConstraint(["top_up_id"], ["top_ups.id"], name=op.f("fk_gateway_refunds_top_up_id_top_ups")),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_gateway_refunds_user_id_users")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_gateway_refunds")),
        sa.UniqueConstraint("reference", name=op.f("uq_gateway_refunds_reference")),
        sa.UniqueConstraint("key", name=op.f("uq_gateway_refunds_key")),
        sa.UniqueConstraint("gateway_id", name=op.f("uq_gateway_refunds_gateway_id")),
    )
    op.create_index(
        "ix_gateway_refunds_check_at", TABLE, ["check_at"], postgresql_where=sa.text("check_at IS NOT NULL")
    )
    op.create_index("ix_gateway_refunds_top_up_id", TABLE, ["top_up_id"])
    op.create_index("ix_gateway_refunds_user_id_id", TABLE, ["user_id", "id"])
    op.create_index("ix_gateway_refunds_state_id", TABLE, ["state", "id"])
    op.create_table(
        "gateway_refund_steps",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("refund_id", sa.BigInteger(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("actor", sa.String(length=100), nullable=False),
        sa.Column("note", sa.Text(), server_default="", nullable=False),
        sa.ForeignKeyConstraint(
            ["refund_id"], ["gateway_refunds.id"], name=op.f("fk_gateway_refund_steps_refund_id_gateway_refunds")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_gateway_refund_steps")),
    )
    op.create_index("ix_gateway_refund_steps_refund_id_id", "gateway_refund_steps", ["refund_id", "id"])
    op.execute(FUNCTIONS)
    op.execute(TRIGGERS)


def downgrade():
    op.drop_table("gateway_refund_steps")
    op.drop_table(TABLE)
    op.execute("DROP FUNCTION gateway_refund_within_paid, gateway_refund_guard")
