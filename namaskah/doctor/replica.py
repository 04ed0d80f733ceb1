"""The replica, where one is set: whether it is ours, whether it follows, and whether it lets long readings end."""

import re
import time
from typing import Any

from sqlalchemy import create_engine, text
from sqlalchemy.engine import Connection
from sqlalchemy.exc import SQLAlchemyError

from namaskah import postgres
from namaskah.doctor import database
from namaskah.doctor.findings import Finding, bad, ok, warning

IDENTITY = text("""
    SELECT (SELECT system_identifier FROM pg_control_system()),
           (SELECT oid FROM pg_database WHERE datname = current_database())
""")
WRITTEN = text("SELECT pg_current_wal_lsn() - '0/0'")
REPLAYED = text("SELECT pg_last_wal_replay_lsn() - '0/0'")
STEP_SECONDS = 0.05


def look(values: dict[str, Any]) -> list[Finding]:
    if not values["DATABASE_REPLICA_URL"]:
        return []
    try:
        with database.connect(values).connect() as primary:
            identity, written = primary.execute(IDENTITY).one(), int(primary.scalar(WRITTEN) or 0)
    except SQLAlchemyError:
        return []  # the database's own findings say why
    # As the application reads there, rights and limits included.
    engine = create_engine(**postgres.replica_options(values))
    try:
        with engine.connect() as connection:
            if not connection.scalar(text("SELECT pg_is_in_recovery()")):
                says = "is no replica but a server that is written to: nothing is read from it"
                return [bad("replica", says, "Point DATABASE_REPLICA_URL at a streaming replica, or leave it empty.")]
            if connection.execute(IDENTITY).one() != identity:
                says = "is a replica of another server or database than ours: nothing is read from it"
                return [bad("replica", says, "Point DATABASE_REPLICA_URL at one of DATABASE_URL's own.")]
            return [_lag(connection, written, values["DATABASE_REPLICA_LAG_SECONDS"]), _feedback(connection)]
    except SQLAlchemyError as error:
        why = re.sub(r"\s+", " ", str(getattr(error, "orig", None) or type(error).__name__))[:200]
        mend = "Check DATABASE_REPLICA_URL and that it lets this host in. Until then the primary answers everything."
        return [warning("replica", f"cannot be used: {why}", mend)]
    finally:
        engine.dispose()


def _lag(connection: Connection, written: int, allowed: int) -> Finding:
    """Whether it comes to where the primary was, within the seconds it may be behind."""
    started = time.monotonic()
    while (missing := written - int(connection.scalar(REPLAYED) or 0)) > 0:
        connection.rollback()
        if time.monotonic() - started > allowed:
            says = f"is more than {allowed} s behind ({missing:,} bytes): nothing is read from it"
            mend = "Look at pg_stat_replication of the primary and at the replica's disk and load."
            return warning("replica", says, mend)
        time.sleep(STEP_SECONDS)
    return ok("replica", f"follows, {time.monotonic() - started:.1f} s behind at most")


def _feedback(connection: Connection) -> Finding:
    if connection.scalar(text("SELECT current_setting('hot_standby_feedback')")) != "on":
        says = "hot_standby_feedback is off: long readings are cut off by vacuum, and asked of the primary instead"
        return warning("replica readings", says, "ALTER SYSTEM SET hot_standby_feedback = on; there, and reload.")
    return ok("replica readings", "are not cut off by vacuum")
