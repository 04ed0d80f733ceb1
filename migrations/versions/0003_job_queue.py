"""The job queue's own tables: the schema of procrastinate 3.10 as it was, so that this stays what it was.

Revision ID: 0003
Revises: 0002

Its SQL has percent signs, so it runs on the raw cursor, where nothing takes them for parameters.
"""

from pathlib import Path

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.get_bind().connection.cursor() as cursor:
        cursor.execute(Path(__file__).with_suffix(".sql").read_text())


def downgrade() -> None:
    with op.get_bind().connection.cursor() as cursor:
        cursor.execute(
            """
            DROP TABLE procrastinate_periodic_defers, procrastinate_events, procrastinate_jobs,
                       procrastinate_workers CASCADE;
            DO $$
            DECLARE found record;
            BEGIN
                FOR found IN SELECT oid::regprocedure AS name FROM pg_proc
                              WHERE proname LIKE 'procrastinate\\_%' AND pronamespace = 'public'::regnamespace
                LOOP EXECUTE 'DROP FUNCTION ' || found.name || ' CASCADE'; END LOOP;
                FOR found IN SELECT typname AS name FROM pg_type
                              WHERE typname LIKE 'procrastinate\\_%' AND typtype IN ('e', 'c')
                LOOP EXECUTE 'DROP TYPE IF EXISTS ' || quote_ident(found.name) || ' CASCADE'; END LOOP;
            END $$;
            """
        )
