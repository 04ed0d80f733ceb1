"""Connections of their own for backups, without the application's limits on time; making and dropping databases."""

import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, Literal

from sqlalchemy import Connection, create_engine, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import OperationalError, ProgrammingError
from sqlalchemy.pool import NullPool

from namaskah.backups.problems import BackupError, TargetInUse

PATIENT = {
    "options": "-c statement_timeout=0 -c idle_in_transaction_session_timeout=0 -c lock_timeout=30000",
    "connect_timeout": 10,
    # A connection that waits for an hour's dump must not be forgotten by a router in between.
    "keepalives_idle": 30,
}
NAME = re.compile(r"[a-z_][a-z0-9_]{0,62}")
DRILL = "namaskah_drill_"
NOT_ALLOWED, EXISTS = "42501", "42P04"

Level = Literal["AUTOCOMMIT", "REPEATABLE READ"]


@contextmanager
def connection(url: str, level: Level = "AUTOCOMMIT") -> Iterator[Connection]:
    """One connection that nobody else has and nothing cuts off. Raises OperationalError."""
    engine = create_engine(url, poolclass=NullPool, connect_args=PATIENT, hide_parameters=True, isolation_level=level)
    try:
        with engine.connect() as opened:
            yield opened
    finally:
        engine.dispose()


def named(url: str, database: str) -> str:
    """The address of another database on the same server."""
    return make_url(url).set(database=database).render_as_string(hide_password=False)


def name_of(url: str) -> str:
    return make_url(url).database or ""


@contextmanager
def maintenance(url: str) -> Iterator[Connection]:
    """A connection to the server for making databases: to `postgres`, or where that is closed, to our own."""
    for database in ("postgres", name_of(url)):
        with suppress(OperationalError), connection(named(url, database)) as probe:
            probe.execute(text("SELECT 1"))
            break
    with connection(named(url, database)) as opened:
        yield opened


def version(opened: Connection) -> int:
    """The server's major version."""
    return int(opened.scalars(text("SHOW server_version_num")).one()) // 10_000


def tables(url: str) -> int:
    """How many tables a database has."""
    with connection(url) as opened:
        mine = (
            r"SELECT count(*) FROM pg_tables WHERE schemaname <> 'information_schema' AND schemaname NOT LIKE 'pg\_%'"
        )
        return int(opened.scalars(text(mine)).one())


def create(opened: Connection, database: str) -> None:
    """Make an empty database. Raises BackupError when its name is none, or taken, or we may not."""
    if not NAME.fullmatch(database):
        raise BackupError(f"{database[:70]!r} is no name for a database: small letters, digits and _ are wanted")
    try:
        opened.execute(text(f'CREATE DATABASE "{database}" TEMPLATE template0'))
    except (ProgrammingError, OperationalError) as error:
        code = _code(error)
        if code == EXISTS:
            raise TargetInUse(f"the database {database} exists already: name another one") from None
        if code == NOT_ALLOWED:
            raise BackupError(
                "our role may not make databases: have an administrator run ALTER ROLE … CREATEDB, or make an empty "
                "database and set DATABASE_URL to it"
            ) from None
        raise


def drop(opened: Connection, database: str) -> None:
    """Remove a database of ours and whoever is connected to it."""
    assert NAME.fullmatch(database)
    opened.execute(text(f'DROP DATABASE IF EXISTS "{database}" WITH (FORCE)'))


def drill_name() -> str:
    return DRILL + secrets.token_hex(4)


def left_by_drills(opened: Connection) -> list[str]:
    """Databases of drills that were killed, for whoever knows that no drill is under way."""
    found = opened.scalars(text("SELECT datname FROM pg_database WHERE starts_with(datname, :drill)"), {"drill": DRILL})
    return [name for name in found if re.fullmatch(rf"{DRILL}[0-9a-f]{{8}}", name)]


def _code(error: Any) -> str | None:
    return getattr(error.orig, "pgcode", None)
