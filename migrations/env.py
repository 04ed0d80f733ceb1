"""How migrations run: on the application's own engine, impatient with locks, blind to the job queue's tables."""

from typing import Any

from alembic import context
from flask import current_app

from migrations import gently

database = current_app.extensions["migrate"].db


def is_ours(item: Any, name: str | None, kind: str, _reflected: bool, _other: Any) -> bool:
    """The queue library brings and describes its own tables; compare only ours."""
    return not (kind == "table" and name is not None and name.startswith("procrastinate_"))


def run() -> None:
    """Apply migrations, one transaction each. A lock not had within half a second is given up and asked for again,
    instead of queueing every customer behind it; what is done stays done meanwhile."""
    with database.engine.connect() as connection:
        try:
            gently.begin(connection)
            context.configure(
                connection=connection,
                target_metadata=database.metadata,
                include_object=is_ours,
                compare_type=True,
                transaction_per_migration=True,
            )
            with context.begin_transaction():
                context.run_migrations()
        finally:
            # Given up with its limits and its lock: the pool must not hand them to anybody else.
            connection.invalidate()


gently.patiently(run)
