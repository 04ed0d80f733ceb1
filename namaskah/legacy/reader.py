"""The predecessor's database file, read whole at one instant and never written to.

It has no foreign keys and no checks, so nothing about it is taken for granted here but that it is SQLite and has users.
"""

import hashlib
import sqlite3
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

from namaskah.legacy import values

Row = dict[str, Any]

# Where movements of money may stand, the better ledger first.
LEDGERS = ("balance_transactions", "sms_transactions", "transactions")
# What is read, and the column that says whose a row is.
OWNERS = {
    "users": "id",
    **dict.fromkeys(LEDGERS, "user_id"),
    "verifications": "user_id",
    "number_rentals": "user_id",
    "payment_logs": "user_id",
    "subscriptions": "user_id",
    "referrals": "referrer_id",
    "support_tickets": "user_id",
    "notification_settings": "user_id",
    "webhooks": "user_id",
}
NEEDED = {"id", "email", "credits"}


class NotLegacy(Exception):
    """This is no database of the predecessor, or a damaged one. The message is for the operator."""


@dataclass(frozen=True)
class LegacyFile:
    """`tables`: the rows of what is read, by table; `others`: how many rows each other table has. A row without an id
    got its place in the file as one. `version`: 2.0, 2.1 or 4."""

    name: str
    digest: str
    version: str
    tables: dict[str, list[Row]]
    others: dict[str, int] = field(default_factory=dict)

    @property
    def ledger(self) -> str | None:
        """The table whose movements explain the balances."""
        return next((name for name in LEDGERS if name in self.tables), None)


def read(path: Path) -> LegacyFile:
    """Everything we need of a file. Raises NotLegacy."""
    try:
        with path.open("rb") as content:
            digest = hashlib.file_digest(content, "sha256").hexdigest()
        with closing(sqlite3.connect(f"file:{quote(str(path.resolve()))}?mode=ro", uri=True)) as source:
            source.row_factory = sqlite3.Row
            source.text_factory = values.plain
            source.isolation_level = None
            source.execute("BEGIN")  # all of it as it was at one instant, should the predecessor still be at work
            return _read(source, path.name, digest)
    except OSError as error:
        raise NotLegacy(f"{path} cannot be read: {error.strerror}") from None
    except sqlite3.Error as error:
        raise NotLegacy(f"{path} is no SQLite database, or is damaged: {error}") from None


def _read(source: sqlite3.Connection, name: str, digest: str) -> LegacyFile:
    [verdict] = source.execute("PRAGMA quick_check(1)").fetchone()
    if verdict != "ok":
        raise NotLegacy(f"{name} is damaged: {verdict}. Repair a copy first (sqlite3 FILE .recover).")
    found = source.execute(
        "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\'"
    )
    names = [row["name"] for row in found]
    if "users" not in names:
        raise NotLegacy(f"{name} has no table of users: it is no database of the predecessor")
    columns = {table: _columns(source, table) for table in names}
    if missing := NEEDED - columns["users"]:
        raise NotLegacy(f"{name} is no database of the predecessor: its users have no {', '.join(sorted(missing))}")
    tables = {table: _rows(source, table, OWNERS[table]) for table in OWNERS if table in names}
    others = {table: _count(source, table) for table in sorted(set(names) - OWNERS.keys())}
    return LegacyFile(name, digest, _version(names, columns["users"]), tables, others)


def _version(names: list[str], users: set[str]) -> str:
    if {"balance_transactions", "sms_transactions"} & set(names):
        return "4"
    return "2.1" if "payment_logs" in names or "free_verifications" in users else "2.0"


def _columns(source: sqlite3.Connection, table: str) -> set[str]:
    return {row["name"] for row in source.execute(f"PRAGMA table_info({_quoted(table)})")}


def _rows(source: sqlite3.Connection, table: str, owner: str) -> list[Row]:
    """In the order they were written. SQLite's own number of a row stands in for an id that is missing."""
    query = f"SELECT rowid AS _place, * FROM {_quoted(table)} ORDER BY rowid"  # noqa: S608 (quoted)
    found = [dict(row) for row in source.execute(query)]
    for row in found:
        row["id"] = values.key(row.get("id")) or f"row:{row['_place']}"
        row[owner] = values.key(row.get(owner))
    return found


def _count(source: sqlite3.Connection, table: str) -> int:
    [count] = source.execute(f"SELECT count(*) FROM {_quoted(table)}").fetchone()  # noqa: S608 (quoted)
    return int(count)


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
