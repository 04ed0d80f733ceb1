"""Backups in a folder: of another disk, or one that is copied elsewhere."""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from namaskah.backups.problems import PieceMissing, StoreDown, StoreFull
from namaskah.backups.stores import CHUNK, Item, Readable

PART = ".part"
FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


class FolderStore:
    """Files are readable by their owner alone, and are renamed when they are whole and on the disk."""

    def __init__(self, root: str) -> None:
        self.root = Path(root)
        self.label = root

    def put(self, path: str, source: Readable) -> int:
        target = self.root / path
        part = target.with_name(target.name + PART)
        written = 0
        try:
            self._make_folder(target.parent)
            with self._create(part) as file:
                while chunk := source.read(CHUNK):
                    file.write(chunk)
                    written += len(chunk)
                file.flush()
                os.fsync(file.fileno())
            part.rename(target)
            self._sync(target.parent)
        except BaseException as error:
            with suppress(OSError):
                part.unlink(missing_ok=True)
            with suppress(OSError):
                target.parent.rmdir()  # unless something else is in it
            if isinstance(error, OSError):
                raise self._named(error) from error
            raise
        return written

    @contextmanager
    def open(self, path: str) -> Iterator[Readable]:
        try:
            file = (self.root / path).open("rb")
        except FileNotFoundError:
            raise PieceMissing(f"{path} is not in {self.label}") from None
        except OSError as error:
            raise self._named(error) from error
        with file:
            yield file

    def items(self, folder: str) -> Iterator[Item]:
        top = self.root / folder
        try:
            if not self.root.is_dir():
                raise StoreDown(f"{self.label} is no folder: is its disk there?")
            found = [self._item(file) for file in sorted(top.rglob("*"))]
        except OSError as error:
            raise self._named(error) from error
        yield from filter(None, found)

    def size(self, path: str) -> int | None:
        try:
            return (self.root / path).stat().st_size
        except FileNotFoundError:
            return None
        except OSError as error:
            raise self._named(error) from error

    def remove(self, path: str) -> None:
        file = self.root / path
        try:
            file.unlink(missing_ok=True)
            with suppress(OSError):
                file.parent.rmdir()  # once it is empty
        except OSError as error:
            raise self._named(error) from error

    def _item(self, file: Path) -> Item | None:
        """Parts count too: they are what a process that was killed has left. None for what is gone by now."""
        try:
            size = file.stat().st_size
        except FileNotFoundError:
            return None
        return Item(file.relative_to(self.root).as_posix(), size) if file.is_file() else None

    def _make_folder(self, folder: Path) -> None:
        """Below the root alone: a disk that is not mounted must not become a folder of the system's disk."""
        if not self.root.is_dir():
            raise StoreDown(f"{self.label} is no folder: make it, or mount its disk")
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    def _create(self, part: Path) -> BinaryIO:
        return os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb")

    def _sync(self, folder: Path) -> None:
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)

    def _named(self, error: OSError) -> StoreDown | StoreFull:
        if error.errno in FULL:
            return StoreFull(f"{self.label} is full: make room, or set BACKUP_STORE to another place")
        return StoreDown(f"{self.label} cannot be used: {error.strerror or error}")
