"""PostgreSQL: its version, what it promises about committed money, our rights, and whether the schema is ours."""

import re
from typing import Any

from sqlalchemy import create_engine, text
from sqlalchemy.engine import Connection, Engine, make_url
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import NullPool

from namaskah import postgres, versions
from namaskah.doctor.findings import Finding, bad, ok, warning
from namaskah.production import LOOPBACK
from namaskah.watch import probing

OLDEST, NEWEST = versions.POSTGRES
# What must be on for a commit to survive a crash of the machine.
DURABLE = ("fsync", "full_page_writes", "synchronous_commit")


def connect(values: dict[str, Any]) -> Engine:
    """An engine for a few questions, none of which may wait."""
    options: dict[str, Any] = {"connect_timeout": 5, "options": "-c statement_timeout=5000 -c lock_timeout=1000"}
    return create_engine(values["DATABASE_URL"], poolclass=NullPool, connect_args=options, hide_parameters=True)


def look(values: dict[str, Any]) -> list[Finding]:
    try:
        with connect(values).connect() as connection:
            found = [_version(connection), _settings(connection), _zone(connection), _durability(connection)]
            found += [*_rights(connection), _schema(connection), _room(connection, values)]
            found += [_privacy(connection, values)]
        return [*found, _limits(values)]
    except SQLAlchemyError as error:
        # The driver's own words; they name host, port and role, never the password.
        why = re.sub(r"\s+", " ", str(getattr(error, "orig", None) or type(error).__name__))[:200]
        mend = "Check DATABASE_URL, that the server runs and that it lets this host in (pg_hba.conf, a firewall)."
        return [bad("database", f"cannot be used: {why}", mend)]


def _show(connection: Connection, name: str) -> str:
    return str(connection.scalar(text("SELECT current_setting(:name)"), {"name": name}))


def version(connection: Connection) -> int:
    """The server's major version."""
    return int(_show(connection, "server_version_num")) // 10_000


def _version(connection: Connection) -> Finding:
    major = version(connection)
    if major < OLDEST:
        return bad("database version", f"PostgreSQL {major} is too old", f"Move to {NEWEST}; {OLDEST} is the oldest.")
    if major > NEWEST:
        says = f"PostgreSQL {major} is newer than any this release was tested with"
        return warning("database version", says, f"{OLDEST} to {NEWEST} are tested.")
    return ok("database version", f"PostgreSQL {major}")


def _settings(connection: Connection) -> Finding:
    encoding = _show(connection, "server_encoding")
    if encoding != "UTF8":
        mend = "Make the database anew with ENCODING 'UTF8' and restore into it."
        return bad("database encoding", f"is {encoding}: names and messages in other scripts are refused", mend)
    if connection.scalar(text("SELECT pg_is_in_recovery()")) or _show(connection, "transaction_read_only") == "on":
        return bad("database", "is read-only: a standby, or set so", "Point DATABASE_URL at the primary.")
    return ok("database encoding", "UTF8, and it may be written to")


def _zone(connection: Connection) -> Finding:
    zone = _show(connection, "TimeZone")
    if zone not in {"UTC", "Etc/UTC", "GMT", "Etc/GMT", "Zulu"}:
        says = f"is {zone}: days in reports and in the server's log would be others than ours"
        return warning("database time zone", says, "ALTER DATABASE … SET timezone TO 'UTC';")
    return ok("database time zone", "UTC")


def _durability(connection: Connection) -> Finding:
    off = [name for name in DURABLE if _show(connection, name) == "off"]
    if off:
        says = f"{', '.join(off)} is off: a crash of the machine loses money that was said to be booked"
        return bad("database durability", says, "Switch it on in postgresql.conf and reload.")
    return ok("database durability", "what is committed survives a crash")


def _rights(connection: Connection) -> list[Finding]:
    found = []
    asked = text("SELECT rolsuper OR rolbypassrls OR rolcreaterole FROM pg_roles WHERE rolname = current_user")
    if connection.scalar(asked):
        mend = "Make a role that owns this database and nothing else: CREATE ROLE namaskah LOGIN; DEPLOY.md has it."
        found.append(warning("database rights", "our role may do anything on that server", mend))
    if not connection.scalar(text("SELECT has_schema_privilege(current_schema(), 'CREATE')")):
        mend = "GRANT CREATE, USAGE ON SCHEMA public TO our role, or make it the database's owner."
        found.append(bad("database rights", "our role may not make tables: migrations will fail", mend))
    missing = connection.scalars(
        text(
            "SELECT c.relname FROM pg_class c WHERE c.relnamespace = current_schema()::regnamespace"
            " AND c.relkind IN ('r', 'p') AND NOT (has_table_privilege(c.oid, 'SELECT')"
            " AND has_table_privilege(c.oid, 'INSERT') AND has_table_privilege(c.oid, 'UPDATE')"
            " AND has_table_privilege(c.oid, 'DELETE')) ORDER BY 1 LIMIT 5"
        )
    ).all()
    if missing:
        mend = "Let one role own all tables: REASSIGN OWNED BY the other one TO ours."
        found.append(bad("database rights", f"our role may not use {', '.join(missing)}", mend))
    return found or [ok("database rights", "enough, and no more than its own database")]


def _schema(connection: Connection) -> Finding:
    there = connection.scalar(text("SELECT to_regclass('alembic_version')")) is not None
    found = str(connection.scalar(text("SELECT version_num FROM alembic_version")) or "") if there else ""
    if not found:
        return bad("database schema", "is empty", "flask --app wsgi db upgrade")
    if not probing.is_migrated(found):
        says = f"is at {found}, this release wants {probing.head()}"
        return bad("database schema", says, "flask --app wsgi db upgrade, before the new release serves")
    if found != probing.head():
        says = f"is at {found}, which this release does not know: a later one has been here"
        return warning("database schema", says, "Expected after rolling back; else deploy the later release.")
    return ok("database schema", f"is this release's ({found})")


def _room(connection: Connection, values: dict[str, Any]) -> Finding:
    allowed = int(_show(connection, "max_connections")) - int(_show(connection, "superuser_reserved_connections"))
    wanted = sum(postgres.connections(values))
    says = f"{allowed} allowed, one web host and one worker take up to {wanted}"
    if wanted > allowed:
        mend = "Raise max_connections, or lower WEB_WORKERS or DATABASE_POOL_SIZE; past 300 put pgbouncer before it."
        return bad("database connections", says, mend)
    if wanted * 2 > allowed:
        mend = "While one release replaces another both hold theirs: raise max_connections."
        return warning("database connections", says, mend)
    return ok("database connections", says)


def _privacy(connection: Connection, values: dict[str, Any]) -> Finding:
    host = make_url(values["DATABASE_URL"]).host or ""
    if not host or host in LOOPBACK or host.startswith("/"):
        return ok("database privacy", "on this machine")
    if not connection.scalar(text("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()")):
        mend = "Add ?sslmode=require (better verify-full) to DATABASE_URL, unless the network between is private."
        return warning("database privacy", "what we say to it travels in the clear", mend)
    return ok("database privacy", "encrypted")


def _limits(values: dict[str, Any]) -> Finding:
    """What is in force on a session opened as the application opens it: pgbouncer may have dropped what was asked."""
    wanted = postgres.timeouts(values, pages=False)
    engine = create_engine(values["DATABASE_URL"], **postgres.engine_options(values) | {"pool_size": 1})
    try:
        with engine.connect() as connection:
            query = text("SELECT name, setting FROM pg_settings WHERE name = ANY(:names)")
            found = {row.name: int(row.setting) for row in connection.execute(query, {"names": list(wanted)})}
    finally:
        engine.dispose()
    endless = [name for name in wanted if found[name] == 0]
    if endless:
        role = make_url(values["DATABASE_URL"]).username or "namaskah"
        quick = postgres.timeouts(values, pages=True)
        mend = " ".join(f"ALTER ROLE {role} SET {name} = {quick[name]};" for name in endless)
        says = f"{', '.join(endless)} not in force: what hangs holds its locks for ever"
        return warning("database limits", says, f"A pooler keeps ours out; set them at the server: {mend}")
    shown = ", ".join(f"{name.split('_', 1)[0]} {found[name] / 1000:g} s" for name in wanted)
    return ok("database limits", f"in force: {shown}")
