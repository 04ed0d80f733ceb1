"""Where backups lie: what every store can do. Paths are relative, with slashes: backups/<name>/dump.age."""

from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

CHUNK = 1 << 20


class Readable(Protocol):
    def read(self, size: int = -1, /) -> bytes: ...


@dataclass(frozen=True)
class Item:
    """One file of a store, its size in bytes."""

    path: str
    size: int


class Store(Protocol):
    """All of these raise StoreDown when the store cannot be reached or refuses us."""

    label: str
    """What a person calls it; no secret."""

    def put(self, path: str, source: Readable) -> int:
        """Keep everything `source` gives; returns how many bytes. The file is there whole or not at all, also when
        `source` raises. Raises StoreFull."""

    def open(self, path: str) -> AbstractContextManager[Readable]:
        """Read one file. Raises PieceMissing."""

    def items(self, folder: str) -> Iterator[Item]:
        """Every file below a folder, ordered by path."""

    def size(self, path: str) -> int | None:
        """Bytes of one file; None when it is not there."""

    def remove(self, path: str) -> None:
        """Remove one file; one that is not there is no matter."""
