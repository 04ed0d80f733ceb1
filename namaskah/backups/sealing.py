"""Encryption, in the age format (age-encryption.org/v1): for public keys, opened with a key that is kept elsewhere.

Everything streams. What age opens is authentic piece by piece, and a file that was cut off is told as such at its end.
"""

import os
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from hashlib import sha256
from typing import Any, BinaryIO, Protocol, TypeAlias

import pyrage

from namaskah.backups.problems import BackupError, Damaged, WrongKey
from namaskah.backups.stores import Readable

Identity: TypeAlias = pyrage.x25519.Identity


class Writable(Protocol):
    def write(self, data: bytes, /) -> int | None: ...


class Measured:
    """Passes on what it reads and knows its size and SHA-256. What its source raises is kept: pyrage drops it."""

    def __init__(self, source: Readable) -> None:
        self._source, self._digest = source, sha256()
        self.size = 0
        self.failure: BaseException | None = None

    def read(self, size: int = -1) -> bytes:
        try:
            chunk = self._source.read(size)
        except BaseException as error:
            self.failure = error
            raise
        self._digest.update(chunk)
        self.size += len(chunk)
        return chunk

    @property
    def sha256(self) -> str:
        return self._digest.hexdigest()


class Watched(Measured):
    """One that says, after each piece, how much of it has been read."""

    def __init__(self, source: Readable, tell: Callable[[int], None]) -> None:
        super().__init__(source)
        self._tell = tell

    def read(self, size: int = -1) -> bytes:
        chunk = super().read(size)
        self._tell(self.size)
        return chunk


def identities(lines: Iterable[str]) -> list[Identity]:
    """The secret keys of a file as age-keygen writes it. Raises BackupError without repeating what it says."""
    found = []
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.startswith("#"):
            continue
        try:
            found.append(Identity.from_str(line.strip()))
        except pyrage.IdentityError:
            raise BackupError(f"line {number} of the identity is no secret key of age (AGE-SECRET-KEY-1…)") from None
    if not found:
        raise BackupError("the identity holds no secret key of age (AGE-SECRET-KEY-1…)")
    return found


@contextmanager
def sealed(source: Readable, recipients: Iterable[str]) -> Iterator[Measured]:
    """What `source` gives, encrypted, to be read. Whatever `source` raises comes out of read(), before its end."""
    keys = [pyrage.x25519.Recipient.from_str(recipient) for recipient in recipients]
    plain = Measured(source)
    out, into = os.pipe()
    failures: list[BaseException] = []

    def seal() -> None:
        # Whoever reads may have gone already, and hears of nothing any more.
        with suppress(BrokenPipeError), os.fdopen(into, "wb") as pipe:
            try:
                pyrage.encrypt_io(plain, pipe, keys)
            except BaseException as error:
                failures.append(plain.failure or error)

    thread = threading.Thread(target=seal, name="sealing", daemon=True)
    thread.start()
    with os.fdopen(out, "rb", buffering=0) as pipe:
        yield Measured(_Pipe(pipe, thread, failures))
    thread.join()  # whoever stops reading early has closed the pipe, which ends it


class _Pipe:
    def __init__(self, pipe: Any, thread: threading.Thread, failures: list[BaseException]) -> None:
        self._pipe, self._thread, self._failures = pipe, thread, failures

    def read(self, size: int = -1) -> bytes:
        chunk: bytes = self._pipe.read(size)
        if not chunk:
            self._thread.join()
            if self._failures:
                raise self._failures[0]
        return chunk


def unseal(source: Measured, target: Writable, keys: list[Identity], name: str) -> None:
    """Decrypt `source` into `target`. Raises WrongKey, Damaged, and whatever reading and writing raise."""
    out = _Out(target)
    try:
        pyrage.decrypt_io(source, out, keys)
    except (pyrage.DecryptError, OSError) as error:
        raise source.failure or out.failure or _named(error, name) from None


class _Out:
    def __init__(self, target: Writable) -> None:
        self._target = target
        self.failure: BaseException | None = None

    def write(self, data: bytes) -> int:
        try:
            self._target.write(data)
        except BaseException as error:
            self.failure = error
            raise
        return len(data)

    def flush(self) -> None:
        if flush := getattr(self._target, "flush", None):
            flush()


def _named(error: Exception, name: str) -> BackupError:
    if "No matching keys" in str(error):
        return WrongKey(f"{name} is not encrypted for this identity: it takes the one of another of its recipients")
    return Damaged(f"{name} is damaged or cut off: {error}")


def read_identity(file: BinaryIO) -> list[Identity]:
    """The secret keys of an open file. Raises BackupError."""
    try:
        return identities(file.read(100_000).decode("ascii").splitlines())
    except UnicodeDecodeError:
        raise BackupError(
            "the identity is no file as age-keygen writes it; one with a passphrase cannot be used"
        ) from None
