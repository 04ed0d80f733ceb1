"""Work that must follow a commit: a job row, written in the caller's own transaction.

A job exists exactly if the transaction committed. What each name does, and what else runs in the background, is the
table in worker.py; this module is below everything that defers and knows none of it.
"""

from typing import Any

from procrastinate import App
from procrastinate.contrib.sqlalchemy import SQLAlchemyPsycopg2Connector
from procrastinate.exceptions import ConnectorException
from sqlalchemy import text

from namaskah import tracing
from namaskah.db import db, require_transaction, transaction

FAILED_KEPT_DAYS = 7
# Beside a job's own arguments: the request that caused it.
REQUEST_ID = "_request_id"

# Defers only, over the caller's connection; the worker has an App of its own with the asynchronous driver.
_deferrer = App(connector=SQLAlchemyPsycopg2Connector())


def defer(name: str, **arguments: Any) -> None:
    """Have the worker run task `name` with these JSON-able arguments once the open transaction has committed.

    The id of the request it is about goes along. Raises RuntimeError outside `transaction()`.
    """
    require_transaction()
    if tracing.known_id():
        arguments[REQUEST_ID] = tracing.known_id()
    task = _deferrer.configure_task(name, allow_unknown=True, connection=db.session.connection())
    try:
        task.defer(**arguments)
    except ConnectorException as error:
        # To whoever called it is one statement of the transaction like any other, and fails like any other.
        raise error.__cause__ or error from None


def split(arguments: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """The request a job belongs to (empty for none), and what was deferred with it."""
    own = {name: value for name, value in arguments.items() if name != REQUEST_ID}
    return str(arguments.get(REQUEST_ID, "")), own


def forget_ended_due(limit: int = 500) -> int:
    """Remove so many jobs that were given up a week ago; returns how many it were. Those that were done are removed at
    once. A letter that could never be sent holds an address and a link."""
    with transaction():
        removed = db.session.execute(
            text("""
                DELETE FROM procrastinate_jobs WHERE id IN (
                    SELECT id FROM procrastinate_jobs job WHERE status NOT IN ('todo', 'doing') AND NOT EXISTS (
                        SELECT FROM procrastinate_events
                        WHERE job_id = job.id AND at > now() - make_interval(days => :days)
                    ) LIMIT :limit FOR UPDATE SKIP LOCKED
                ) RETURNING id
            """),
            {"days": FAILED_KEPT_DAYS, "limit": limit},
        )
        return len(removed.all())
