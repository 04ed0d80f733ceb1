"""The file behind the books: one SQLite table of JSON documents, written through before any answer leaves."""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any


def _plain(value: Any) -> str:
    if isinstance(value, datetime):
        return value.isoformat()
    raise TypeError(f"{value!r} cannot be journalled")


class Journal:
    """What the books hold in memory, mirrored to disk. Its lock is the one lock around all books."""

    def __init__(self, path: str | None = None) -> None:
        self.lock = threading.RLock()
        self._depth = 0
        if path:
            Path(path).parent.mkdir(parents=True, exist_ok=True)
        self._db = sqlite3.connect(path or ":memory:", check_same_thread=False, isolation_level=None)
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute("PRAGMA synchronous=FULL")  # the books are the oracle: no answer before the disk has it
        self._db.execute(
            "CREATE TABLE IF NOT EXISTS document"
            " (kind TEXT NOT NULL, key TEXT NOT NULL, body TEXT NOT NULL, PRIMARY KEY (kind, key))"
        )

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Hold the lock; commit once, when the outermost block ends.

        A refusal raised inside commits too: memory already holds what was put, and the file must say the same.
        """
        with self.lock:
            if self._depth == 0:
                self._db.execute("BEGIN IMMEDIATE")
            self._depth += 1
            try:
                yield
            finally:
                self._depth -= 1
                if self._depth == 0:
                    self._db.execute("COMMIT")

    def put(self, kind: str, key: object, document: dict[str, Any]) -> None:
        """Write one document; call inside `writing()`."""
        body = json.dumps(document, default=_plain, ensure_ascii=False)
        # Not INSERT OR REPLACE: that moves the row to the end, and the order of writing is the order of sale.
        self._db.execute(
            "INSERT INTO document VALUES (?, ?, ?) ON CONFLICT (kind, key) DO UPDATE SET body = excluded.body",
            (kind, str(key), body),
        )

    def all(self, kind: str) -> list[dict[str, Any]]:
        """Every document of one kind, in the order it was first written."""
        with self.lock:
            rows = self._db.execute("SELECT body FROM document WHERE kind = ? ORDER BY rowid", (kind,))
            return [json.loads(body) for (body,) in rows]

    def forget(self, kind: str) -> None:
        """Delete every document of one kind; call inside `writing()`."""
        self._db.execute("DELETE FROM document WHERE kind = ?", (kind,))
