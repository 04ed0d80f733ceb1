"""Webhooks keep their raw bytes, their tries and what a person decided; top-ups keep how a payment differed, a person's
decision on it and its reversal.

Revision ID: 0016
Revises: 0015
"""

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None

STATES = ("opened", "pending", "paid", "failed", "abandoned", "expired", "mismatch")
DIFFERENCES = ("wrong_mode", "wrong_currency", "underpaid", "overpaid", "other_wallet")
OPEN_EVENT = (
    "closed_at IS NULL AND (handled_at IS NULL OR outcome IN ('unmatched', 'not_an_event') OR outcome ="
    " 'not_handled_here' AND (starts_with(event, 'charge.dispute.') OR starts_with(event, 'refund.')))"
)
TIME = sa.DateTime(timezone=True)
COLUMNS = {
    "gateway_events": (
        ("raw", sa.LargeBinary()),
        ("last_error", sa.Text()),
        ("closed_at", TIME),
        ("closed_by", sa.String(length=100)),
        ("closed_reason", sa.Text()),
    ),
    "top_ups": (
        ("difference", sa.String(length=16)),
        ("seen_minor", sa.BigInteger()),
        ("seen_currency", sa.String(length=16)),
        ("reversed_at", TIME),
        ("reversal_note", sa.Text()),
        ("decided_at", TIME),
        ("decided_by", sa.String(length=100)),
        ("decision", sa.Text()),
    ),
}
INDEXES = (
    ("ix_gateway_events_due_at", "gateway_events", "due_at", "handled_at IS NULL"),
    ("ix_gateway_events_open", "gateway_events", "id", OPEN_EVENT),
    ("ix_top_ups_attention", "top_ups", "id", "state = 'mismatch' OR reversed_at IS NOT NULL"),
)


def upgrade():
    # It ends with steps that commit one by one: what breaks off there can be run again from the beginning.
    for table, columns in COLUMNS.items():
        for name, kind in columns:
            op.add_column(table, sa.Column(name, kind, nullable=True), if_not_exists=True)
    # Defaults that the release before can live with: what it stores is due at once.
    for column in (
        sa.Column("tries", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("due_at", TIME, server_default=sa.text("now()"), nullable=False),
    ):
        op.add_column("gateway_events", column, if_not_exists=True)
    op.create_table(
        "gateway_looks",
        sa.Column("name", sa.String(length=16), nullable=False),
        sa.Column("due_at", TIME, nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_gateway_looks")),
        if_not_exists=True,
    )
    rules = {
        "ck_top_ups_state": f"state IN ({_quoted((*STATES, 'closed'))})",
        "ck_top_ups_difference": f"difference IN ({_quoted(DIFFERENCES)})",
        "ck_top_ups_reversed": "reversed_at IS NULL OR state = 'paid'",
        "ck_top_ups_reversal_note": "reversal_note IS NULL OR reversed_at IS NOT NULL AND reversal_note <> ''",
        "ck_top_ups_decided": "(decided_at IS NULL) = (decided_by IS NULL) AND (decided_at IS NULL) ="
        " (decision IS NULL) AND decision <> '' AND (state <> 'closed' OR decided_at IS NOT NULL)",
        "ck_gateway_events_closed": "closed_at IS NULL OR handled_at IS NOT NULL AND closed_by IS NOT NULL"
        " AND closed_reason IS NOT NULL",
    }
    for name, rule in rules.items():
        op.execute(f"ALTER TABLE {_table(name)} DROP CONSTRAINT IF EXISTS {name}")
        op.execute(f"ALTER TABLE {_table(name)} ADD CONSTRAINT {name} CHECK ({rule}) NOT VALID")
    with op.get_context().autocommit_block():
        op.execute("SET statement_timeout = 0")
        for name in rules:
            op.execute(f"ALTER TABLE {_table(name)} VALIDATE CONSTRAINT {name}")
        for name, table, column, where in INDEXES:
            op.drop_index(name, table, postgresql_concurrently=True, if_exists=True)
            op.create_index(name, table, [column], postgresql_where=sa.text(where), postgresql_concurrently=True)
        op.execute("RESET statement_timeout")


def downgrade():
    for name, table, _column, _where in INDEXES:
        op.drop_index(name, table_name=table)
    for name in ("state", "difference", "reversed", "reversal_note", "decided"):
        op.execute(f"ALTER TABLE top_ups DROP CONSTRAINT ck_top_ups_{name}")
    op.execute("UPDATE top_ups SET state = 'mismatch' WHERE state = 'closed'")
    op.execute(f"ALTER TABLE top_ups ADD CONSTRAINT ck_top_ups_state CHECK (state IN ({_quoted(STATES)}))")
    op.execute("ALTER TABLE gateway_events DROP CONSTRAINT ck_gateway_events_closed")
    op.drop_table("gateway_looks")
    for name in ("tries", "due_at"):
        op.drop_column("gateway_events", name)
    for table, columns in COLUMNS.items():
        for name, _kind in columns:
            op.drop_column(table, name)


def _table(constraint):
    return "top_ups" if constraint.startswith("ck_top_ups") else "gateway_events"


def _quoted(words):
    return ", ".join(f"'{word}'" for word in words)
