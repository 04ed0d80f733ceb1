"""Reading a backup again: whether all of it is there and, with the key, whether it opens."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from namaskah.backups import facts, sealing, sets
from namaskah.backups.making import Progress
from namaskah.backups.problems import Damaged, PieceMissing
from namaskah.backups.sealing import Identity, Measured, Writable
from namaskah.backups.stores import CHUNK, Store


def verify(store: Store, name: str, keys: list[Identity] | None, progress: Progress) -> sets.Manifest:
    """Read every byte of a backup and compare it with the manifest; with `keys`, decrypt all of it too.

    Raises PieceMissing, Damaged, WrongKey, StoreDown. Without keys it cannot be told whether anybody can open it.
    """
    manifest = sets.read_manifest(store, name)
    for piece in (sets.FACTS, sets.DUMP):
        with opened(store, manifest, piece) as source:
            if keys is None:
                while source.read(CHUNK):
                    progress(f"reading {piece}", source.size)
            else:
                unseal(source, _Nowhere(lambda size, what=piece: progress(f"opening {what}", size)), keys, piece)
    return manifest


@contextmanager
def opened(store: Store, manifest: sets.Manifest, piece: str) -> Iterator[Measured]:
    """One piece, to be read to its end: leaving the block without an error compares it with the manifest."""
    path, wanted = sets.path(manifest.name, piece), manifest.pieces[piece]
    there = store.size(path)
    if there is None:
        raise PieceMissing(f"{path} is not in {store.label}: this backup cannot be restored")
    if there != wanted.size:
        raise Damaged(f"{path} was cut off or changed: {there} bytes instead of {wanted.size}")
    with store.open(path) as file:
        source = Measured(file)
        yield source
        if (source.size, source.sha256) != (wanted.size, wanted.sha256):
            raise Damaged(f"{path} is not what was written: its checksum is another one")


def unseal(source: Measured, target: Writable, keys: list[Identity], name: str) -> None:
    """Decrypt a piece to its very end."""
    sealing.unseal(source, target, keys, name)
    if source.read(1):
        raise Damaged(f"{name} has more behind its end")


def read_facts(store: Store, manifest: sets.Manifest, keys: list[Identity]) -> tuple[facts.Facts, str]:
    """What must be in the database once it is restored, and the print of the secret key it belongs to."""
    kept = bytearray()
    with opened(store, manifest, sets.FACTS) as source:
        unseal(source, _Into(kept), keys, sets.FACTS)
    try:
        fields: dict[str, Any] = json.loads(bytes(kept))
        key_print = str(fields.pop("key_print"))
        return facts.Facts(**fields), key_print
    except (ValueError, TypeError, KeyError):
        raise Damaged(f"{sets.FACTS} of {manifest.name} is of a newer version of this program") from None


class _Nowhere:
    def __init__(self, tell: Any) -> None:
        self._tell = tell
        self._size = 0

    def write(self, data: bytes) -> int:
        self._size += len(data)
        self._tell(self._size)
        return len(data)


class _Into:
    def __init__(self, kept: bytearray) -> None:
        self._kept = kept

    def write(self, data: bytes) -> int:
        self._kept += data
        return len(data)
