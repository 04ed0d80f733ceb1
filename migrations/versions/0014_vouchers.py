"""Gifts that run out, and the codes one gets them by.

Revision ID: 0014
Revises: 0013

- what is left of a customer's gifts is what their account `user_promo` holds: compared at every commit that changes one
- what a hold took of a gift, and each use of a code, is never changed or deleted
"""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

FUNCTIONS = """
CREATE FUNCTION promo_check_left() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF (SELECT coalesce(sum(left_minor), 0) FROM promo_grants
         WHERE user_id = NEW.user_id AND currency = NEW.currency AND left_minor > 0)
       <> coalesce((SELECT balance FROM ledger_accounts
                     WHERE kind = 'user_promo' AND user_id = NEW.user_id AND currency = NEW.currency), 0) THEN
        RAISE EXCEPTION 'gifts of user % are not what the ledger holds of them', NEW.user_id
            USING ERRCODE = 'check_violation', CONSTRAINT = 'promo_left_is_in_the_ledger';
    END IF;
    RETURN NULL;
END $$;

CREATE FUNCTION promo_refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% of % is not allowed: what was given or spent stays', TG_OP, TG_TABLE_NAME
        USING ERRCODE = 'restrict_violation', CONSTRAINT = 'promo_append_only';
END $$;
"""

TRIGGERS = """
CREATE CONSTRAINT TRIGGER promo_check_left AFTER INSERT OR UPDATE ON promo_grants
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION promo_check_left();
CREATE TRIGGER promo_no_delete BEFORE DELETE ON promo_grants
    FOR EACH ROW EXECUTE FUNCTION promo_refuse_change();
CREATE TRIGGER promo_append_only BEFORE UPDATE OR DELETE ON promo_parts
    FOR EACH ROW EXECUTE FUNCTION promo_refuse_change();
CREATE TRIGGER promo_append_only BEFORE UPDATE OR DELETE ON voucher_redemptions
    FOR EACH ROW EXECUTE FUNCTION promo_refuse_change();
CREATE TRIGGER promo_no_truncate BEFORE TRUNCATE ON promo_grants
    FOR EACH STATEMENT EXECUTE FUNCTION promo_refuse_change();
CREATE TRIGGER promo_no_truncate BEFORE TRUNCATE ON promo_parts
    FOR EACH STATEMENT EXECUTE FUNCTION promo_refuse_change();
CREATE TRIGGER promo_no_truncate BEFORE TRUNCATE ON voucher_redemptions
    FOR EACH STATEMENT EXECUTE FUNCTION promo_refuse_change();
"""


def upgrade():
    _gifts()
    _vouchers()
    op.execute(FUNCTIONS)
    op.execute(TRIGGERS)


def downgrade():
    for table in ("voucher_redemptions", "vouchers", "voucher_batches", "promo_parts", "promo_grants"):
        op.drop_table(table)
    op.execute("DROP FUNCTION promo_check_left, promo_refuse_change")


def _gifts():
    op.create_table(
        "promo_grants",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("user_id", sa.BigInteger(), nullable=False),
        sa.Column("source", sa.String(length=16), nullable=False),
        sa.Column("reference", sa.String(length=120), nullable=False),
        sa.Column("note", sa.String(length=200), server_default="", nullable=False),
        sa.Column("currency", sa.String(length=3), nullable=False),
        sa.Column("amount_minor", sa.BigInteger(), nullable=False),
        sa.Column("left_minor", sa.BigInteger(), nullable=False),
        sa.Column("expired_minor", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("extended_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("reminded_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("source IN ('voucher', 'operator', 'refund')", name=op.f("ck_promo_grants_source")),
        sa.CheckConstraint(
            "amount_minor > 0 AND left_minor >= 0 AND expired_minor >= 0"
            " AND left_minor + expired_minor <= amount_minor",
            name=op.f("ck_promo_grants_amounts"),
        ),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_promo_grants_user_id_users")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_promo_grants")),
        sa.UniqueConstraint("reference", name=op.f("uq_promo_grants_reference")),
    )
    op.create_index("ix_promo_grants_user_id_id", "promo_grants", ["user_id", "id"])
    left = {"postgresql_where": sa.text("left_minor > 0")}
    op.create_index("ix_promo_grants_left", "promo_grants", ["user_id", "expires_at"], **left)
    op.create_index("ix_promo_grants_due", "promo_grants", ["expires_at"], **left)
    op.create_table(
        "promo_parts",
        sa.Column("reference", sa.String(length=100), nullable=False),
        sa.Column("grant_id", sa.BigInteger(), nullable=False),
        sa.Column("amount_minor", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("amount_minor > 0", name=op.f("ck_promo_parts_amount")),
        sa.ForeignKeyConstraint(["grant_id"], ["promo_grants.id"], name=op.f("fk_promo_parts_grant_id_promo_grants")),
        sa.PrimaryKeyConstraint("reference", "grant_id", name=op.f("pk_promo_parts")),
    )
    op.create_index(op.f("ix_promo_parts_grant_id"), "promo_parts", ["grant_id"])


def _vouchers():
    op.create_table(
        "voucher_batches",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("key", sa.String(length=64), nullable=False),
        sa.Column("name", sa.String(length=80), nullable=False),
        sa.Column("note", sa.String(length=200), server_default="", nullable=False),
        sa.Column("currency", sa.String(length=3), nullable=False),
        sa.Column("amount_minor", sa.BigInteger(), nullable=False),
        sa.Column("lifetime_days", sa.Integer(), nullable=False),
        sa.Column("codes", sa.Integer(), nullable=False),
        sa.Column("uses_each", sa.Integer(), nullable=False),
        sa.Column("one_each", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("most_minor", sa.BigInteger(), nullable=False),
        sa.Column("redeemed", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("valid_from", sa.DateTime(timezone=True), nullable=False),
        sa.Column("valid_until", sa.DateTime(timezone=True), nullable=False),
        sa.Column("sealed_codes", sa.LargeBinary(), nullable=True),
        sa.Column("codes_gone_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("made_by", sa.String(length=100), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("revoked_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("revoked_by", sa.String(length=100), nullable=True),
        sa.CheckConstraint(
            "amount_minor > 0 AND most_minor >= amount_minor", name=op.f("ck_voucher_batches_amounts")
        ),
        sa.CheckConstraint("lifetime_days BETWEEN 1 AND 730", name=op.f("ck_voucher_batches_lifetime")),
        sa.CheckConstraint("codes > 0 AND uses_each > 0", name=op.f("ck_voucher_batches_codes")),
        sa.CheckConstraint("valid_from < valid_until", name=op.f("ck_voucher_batches_valid")),
        sa.CheckConstraint(
            "redeemed >= 0 AND redeemed * amount_minor <= most_minor", name=op.f("ck_voucher_batches_most")
        ),
        sa.CheckConstraint(
            "(sealed_codes IS NULL) = (codes_gone_at IS NOT NULL)", name=op.f("ck_voucher_batches_sealed")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_voucher_batches")),
        sa.UniqueConstraint("key", name=op.f("uq_voucher_batches_key")),
    )
    op.create_table(
        "vouchers",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("batch_id", sa.BigInteger(), nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("last_four", sa.String(length=4), nullable=False),
        sa.Column("uses_left", sa.Integer(), nullable=False),
        sa.CheckConstraint("uses_left >= 0", name=op.f("ck_vouchers_uses_left")),
        sa.ForeignKeyConstraint(["batch_id"], ["voucher_batches.id"], name=op.f("fk_vouchers_batch_id_voucher_batches")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_vouchers")),
        sa.UniqueConstraint("digest", name=op.f("uq_vouchers_digest")),
    )
    op.create_index(op.f("ix_vouchers_batch_id"), "vouchers", ["batch_id"])
    redemptions = "voucher_redemptions"
    op.create_table(
        redemptions,
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("voucher_id", sa.BigInteger(), nullable=False),
        sa.Column("batch_id", sa.BigInteger(), nullable=False),
        sa.Column("user_id", sa.BigInteger(), nullable=False),
        sa.Column("grant_id", sa.BigInteger(), nullable=False),
        sa.Column("one_each", sa.Boolean(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(["voucher_id"], ["vouchers.id"], name=op.f("fk_voucher_redemptions_voucher_id_vouchers")),
        sa.ForeignKeyConstraint(
            ["batch_id"], ["voucher_batches.id"], name=op.f("fk_voucher_redemptions_batch_id_voucher_batches")
        ),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_voucher_redemptions_user_id_users")),
        sa.ForeignKeyConstraint(
            ["grant_id"], ["promo_grants.id"], name=op.f("fk_voucher_redemptions_grant_id_promo_grants")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_voucher_redemptions")),
        sa.UniqueConstraint("voucher_id", "user_id", name=op.f("uq_voucher_redemptions_voucher_id_user_id")),
        sa.UniqueConstraint("grant_id", name=op.f("uq_voucher_redemptions_grant_id")),
    )
    op.create_index(
        "uq_voucher_redemptions_one_each",
        redemptions,
        ["batch_id", "user_id"],
        unique=True,
        postgresql_where=sa.text("one_each"),
    )
    op.create_index("ix_voucher_redemptions_batch_id_id", redemptions, ["batch_id", "id"])
    op.create_index(op.f("ix_voucher_redemptions_user_id"), redemptions, ["user_id"])
