"""What migrations may do to tables that customers use at this moment. CONTRIBUTING.md has the pattern, and
`python -m bench.migration` measures it.

A statement that waits for a lock makes everybody queue behind it. So a migration waits half a second for one, gives up,
lets the others through and tries again, for some minutes. What takes long (an index, a backfill, proving a constraint)
runs outside a transaction, holds no lock that customers meet, and may be begun again after it broke off anywhere.
"""

import logging
import random
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import sqlalchemy as sa
from alembic import op
from sqlalchemy.engine import Connection
from sqlalchemy.exc import DBAPIError

# Of a transaction's statements: whoever waits for us waits no longer than the first, whatever we hold is given back
# after the second.
LOCK_MILLISECONDS, STATEMENT_MILLISECONDS = 500, 4_000
# An index that is built beside the customers waits for transactions older than itself: nobody waits for it.
PATIENT_LOCK_MILLISECONDS = 1_800_000
TRIES, FIRST_PAUSE, LONGEST_PAUSE = 60, 0.2, 5.0
LOCK_NOT_HAD, DEADLOCK = "55P03", "40P01"
ONE_AT_A_TIME = 7_003_230  # advisory lock: two hosts that are deployed at once do not migrate at once
BATCH = 1_000

log = logging.getLogger("namaskah.migrations")


def patiently(work: Callable[[], None]) -> None:
    """Do it, again and again while a lock is not to be had. Raises the last try's DBAPIError."""
    for number in range(1, TRIES + 1):
        try:
            return work()
        except DBAPIError as error:
            if getattr(error.orig, "pgcode", None) not in (LOCK_NOT_HAD, DEADLOCK) or number == TRIES:
                raise
            log.warning("somebody uses what is to be changed: nothing was done, trying again (%d of %d)", number, TRIES)
        time.sleep(_pause(number))
    return None


def begin(connection: Connection) -> None:
    """The limits of a migration's session; and wait until nobody else migrates. Waits without holding anything: an
    index that is being built waits for everybody who does."""
    limit(connection.exec_driver_sql)
    while not connection.scalar(sa.select(sa.func.pg_try_advisory_lock(ONE_AT_A_TIME))):
        connection.commit()
        log.warning("somebody else migrates this database: waiting")
        time.sleep(1)
    connection.commit()


def limit(execute: Callable[[str], object]) -> None:
    execute(f"SET lock_timeout = {LOCK_MILLISECONDS}")
    execute(f"SET statement_timeout = {STATEMENT_MILLISECONDS}")


@contextmanager
def outside() -> Iterator[None]:
    """Each statement a transaction of its own, as long as it takes. What the migration did before is committed, so a
    migration that uses this does nothing else, or what may be done twice."""
    with op.get_context().autocommit_block():
        op.execute("SET statement_timeout = 0")
        op.execute(f"SET lock_timeout = {PATIENT_LOCK_MILLISECONDS}")
        try:
            yield
        finally:
            limit(op.execute)


def create_index(
    name: str,
    table: str,
    columns: Sequence[str],
    *,
    unique: bool = False,
    where: str | None = None,
    include: Sequence[str] = (),
) -> None:
    """Build an index while customers write. One that a broken try has left half is built anew, a whole one stays."""
    with outside():
        if _is_whole(name):
            return
        drop_index(name, table)
        op.create_index(
            name,
            table,
            list(columns),
            unique=unique,
            postgresql_concurrently=True,
            postgresql_where=sa.text(where) if where else None,
            postgresql_include=list(include),
        )


def drop_index(name: str, table: str) -> None:
    """Inside outside()."""
    op.drop_index(name, table, postgresql_concurrently=True, if_exists=True)


def backfill(table: str, values: str, where: str) -> None:
    """Set `values` ("a = b + 1") in every row of which `where` is true and then no more, a thousand ids at a time.

    Each batch is committed, then as long as it took nobody is disturbed: half of the server's time stays the
    customers'. Begun again it goes on with what is left. Rows of the release before, which writes none of it, are met
    by running it once more when that release is gone.
    """
    update = f"UPDATE {table} SET {values} WHERE id >= :low AND id < :high AND ({where})"  # noqa: S608
    with outside():
        if op.get_context().as_sql:
            op.execute(update.replace(":low", "1").replace(":high", str(1 + BATCH)))
            return
        connection = op.get_bind()
        op.execute(f"SET lock_timeout = {LOCK_MILLISECONDS}")
        low = connection.exec_driver_sql(f"SELECT min(id) FROM {table}").scalar()  # noqa: S608
        high = connection.exec_driver_sql(f"SELECT max(id) FROM {table}").scalar()  # noqa: S608
        for first in range(low or 0, (high or -1) + 1, BATCH):
            started = time.monotonic()
            span = {"low": first, "high": first + BATCH}
            patiently(lambda: connection.execute(sa.text(update), span) and None)  # noqa: B023
            time.sleep(time.monotonic() - started)


def add_check(name: str, table: str, condition: str) -> None:
    """A CHECK that new rows obey at once; validate() proves the old ones, in a later migration."""
    op.create_check_constraint(op.f(name), table, condition, postgresql_not_valid=True)


def validate(name: str, table: str) -> None:
    """Prove a constraint made NOT VALID, while customers write. A second time does nothing."""
    with outside():
        op.execute(f"ALTER TABLE {table} VALIDATE CONSTRAINT {name}")


def _is_whole(name: str) -> bool:
    if op.get_context().as_sql:
        return False
    asked = sa.text("SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass(:name)")
    return bool(op.get_bind().execute(asked, {"name": name}).scalar())


def _pause(number: int) -> float:
    """Seconds until the next try: longer each time, and never the same for two who wait."""
    return min(LONGEST_PAUSE, FIRST_PAUSE * 1.5 ** (number - 1)) * random.uniform(0.5, 1.0)  # noqa: S311
