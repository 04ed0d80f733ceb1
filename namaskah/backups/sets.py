"""One backup in a store: a folder of its pieces and, written last, its manifest. Without a manifest it is none.

backups/20261125T021500Z-3fa1/dump.age       what pg_dump gave, encrypted
                              facts.age      what must be in it when it is restored, encrypted
                              manifest.json  sizes and checksums of the two, versions; readable by anybody
"""

import io
import json
import re
import secrets
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from namaskah.backups.problems import Damaged, PieceMissing
from namaskah.backups.stores import Store

FOLDER = "backups"
DUMP, FACTS, MANIFEST = "dump.age", "facts.age", "manifest.json"
FORMAT = 1
NAME = re.compile(r"(\d{8}T\d{6}Z)-[0-9a-f]{4}")


@dataclass(frozen=True)
class Piece:
    size: int
    sha256: str


@dataclass(frozen=True)
class Manifest:
    """What a backup consists of. `seconds` is how long making it took; versions are PostgreSQL's."""

    name: str
    made_at: str
    seconds: float
    revision: str
    server: int
    pg_dump: int
    recipients: list[str]
    pieces: dict[str, Piece]
    format: int = FORMAT

    @property
    def size(self) -> int:
        return sum(piece.size for piece in self.pieces.values())


@dataclass(frozen=True)
class Found:
    """A backup as its store lists it: when it was begun, bytes, and whether it was finished."""

    name: str
    at: datetime
    size: int
    is_whole: bool
    paths: tuple[str, ...]


def new_name(now: datetime) -> str:
    return f"{now.astimezone(UTC):%Y%m%dT%H%M%SZ}-{secrets.token_hex(2)}"


def time_of(name: str) -> datetime | None:
    """When the backup of this name was begun; None for what is no name of a backup."""
    found = NAME.fullmatch(name)
    try:
        return datetime.strptime(found[1], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC) if found else None
    except ValueError:
        return None


def path(name: str, piece: str) -> str:
    return f"{FOLDER}/{name}/{piece}"


def listed(store: Store) -> list[Found]:
    """Every backup of a store, newest first. Other files are not ours and left out."""
    files: dict[str, dict[str, int]] = {}
    for item in store.items(FOLDER):
        _folder, _slash, rest = item.path.partition("/")
        name, _slash, piece = rest.partition("/")
        files.setdefault(name, {})[piece] = item.size
    found = [
        Found(name, at, sum(pieces.values()), MANIFEST in pieces, tuple(path(name, piece) for piece in pieces))
        for name, pieces in files.items()
        if (at := time_of(name)) is not None
    ]
    return sorted(found, key=lambda each: (each.at, each.name), reverse=True)


def newest(store: Store) -> str:
    """The name of the newest whole backup. Raises PieceMissing when there is none."""
    for found in listed(store):
        if found.is_whole:
            return found.name
    raise PieceMissing(f"there is no backup in {store.label}")


def write_manifest(store: Store, manifest: Manifest) -> None:
    written = json.dumps(asdict(manifest), indent=1).encode() + b"\n"
    store.put(path(manifest.name, MANIFEST), io.BytesIO(written))


def read_manifest(store: Store, name: str) -> Manifest:
    """Raises PieceMissing, and Damaged when it is no manifest of this backup."""
    if time_of(name) is None:
        raise PieceMissing(f"{name[:70]!r} is no name of a backup: `flask backup list` prints them")
    with store.open(path(name, MANIFEST)) as file:
        written = file.read(1_000_000)
    try:
        fields: dict[str, Any] = json.loads(written)
        fields["pieces"] = {piece: Piece(**each) for piece, each in fields["pieces"].items()}
        manifest = Manifest(**fields)
    except (ValueError, TypeError, KeyError, AttributeError):
        raise Damaged(f"the manifest of {name} is damaged or of a newer version of this program") from None
    if manifest.name != name or manifest.format != FORMAT or not {DUMP, FACTS} <= manifest.pieces.keys():
        raise Damaged(f"the manifest of {name} is that of something else")
    return manifest


def remove(store: Store, found: Found) -> None:
    """The manifest goes first: what is left of it after a crash is no backup any more."""
    for each in sorted(found.paths, key=lambda each: not each.endswith(MANIFEST)):
        store.remove(each)
