"""The list of deleted accounts, kept in the store beside the backups: a restore brings them back, and by this list
they are deleted again.

Lines of number and time, as `flask account deletions` prints them. A file once written is never written again, so a
restored database, which knows fewer deletions, takes nothing off the list.
"""

import io
import secrets
from datetime import UTC, datetime

from sqlalchemy import func, select, update

from namaskah.account.deletion import Tombstone
from namaskah.account.models import DeletedAccount
from namaskah.backups import place
from namaskah.backups.problems import Damaged
from namaskah.backups.stores import Store
from namaskah.db import db, leave_database, transaction

FOLDER = "deletions"
AT_ONCE = 1000
# Above this many files they are made one.
GATHERED_ABOVE = 20


def keep_due() -> int:
    """Worker: write deletions to the store that are not there yet; returns how many. Twice is harmless."""
    if not place.is_set_up():
        return 0
    waiting = select(DeletedAccount).where(DeletedAccount.kept_outside_at.is_(None))
    rows = db.session.scalars(waiting.order_by(DeletedAccount.user_id).limit(AT_ONCE)).all()
    leave_database()
    if not rows:
        return 0
    _write(place.store(), [Tombstone(row.user_id, row.deleted_at) for row in rows])
    with transaction():
        db.session.execute(
            update(DeletedAccount)
            .where(DeletedAccount.user_id.in_([row.user_id for row in rows]))
            .values(kept_outside_at=func.now())
        )
    return len(rows)


def read(store: Store) -> list[Tombstone]:
    """Every deletion the store knows of, oldest first. Raises Damaged for a line that is none."""
    found = {tombstone for path in _paths(store) for tombstone in _read(store, path)}
    return sorted(found, key=lambda each: (each.deleted_at or datetime.min.replace(tzinfo=UTC), each.user_id))


def gather(store: Store) -> None:
    """Make one file of many. The new one is there before the old ones go; in between, lines are there twice."""
    paths = _paths(store)
    if len(paths) <= GATHERED_ABOVE:
        return
    _write(store, sorted({each for path in paths for each in _read(store, path)}, key=lambda each: each.user_id))
    for path in paths:
        store.remove(path)


def _paths(store: Store) -> list[str]:
    return [item.path for item in store.items(FOLDER) if item.path.endswith(".txt")]


def _write(store: Store, tombstones: list[Tombstone]) -> None:
    lines = [f"{each.user_id} {each.deleted_at.isoformat() if each.deleted_at else ''}\n" for each in tombstones]
    name = f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{secrets.token_hex(4)}.txt"
    store.put(f"{FOLDER}/{name}", io.BytesIO("".join(lines).encode()))


def _read(store: Store, path: str) -> list[Tombstone]:
    with store.open(path) as file:
        written = b"".join(iter(lambda: file.read(1 << 16), b""))
    found = []
    for number, line in enumerate(written.decode("ascii", "replace").splitlines(), 1):
        user_id, _space, at = line.partition(" ")
        try:
            found.append(Tombstone(int(user_id), datetime.fromisoformat(at) if at else None))
        except ValueError:
            raise Damaged(f"line {number} of {path} is no deletion") from None
    return found
