"""A place for backups, and a key to open them that the application does not have."""

import fcntl
import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pyrage
import pytest
from click.testing import Result
from flask import Flask

from dev.binaries import find_postgres
from namaskah.backups import databases, making, sets
from namaskah.backups.folder_store import FolderStore
from namaskah.backups.models import BackupRun

Identity = pyrage.x25519.Identity


@pytest.fixture(autouse=True)
def alone() -> Iterator[None]:
    """Drills of one server exclude each other and clear away what others left; the suite's processes share a server."""
    with (Path(tempfile.gettempdir()) / "namaskah-tests-drills.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def programs() -> str:
    """Folder with the programs of the embedded server, else what the machine has."""
    return str(find_postgres())


@dataclass
class Place:
    """The store of a test, and its key as a file that only the test has."""

    app: Flask
    root: Path
    key: Identity
    identity: Path

    @property
    def store(self) -> FolderStore:
        return FolderStore(str(self.root))

    def make(self) -> BackupRun:
        made = making.create("test")
        assert made is not None
        return made

    def file(self, name: str, piece: str) -> Path:
        return self.root / sets.path(name, piece)

    def run(self, *words: str, stdin: str | None = None) -> Result:
        """`flask backup …`"""
        return self.app.test_cli_runner().invoke(args=["backup", *words], input=stdin)

    def other_identity(self) -> Path:
        """A key no backup is encrypted for."""
        other = self.identity.with_name("other.txt")
        other.write_text(f"{Identity.generate()}\n")
        return other


@pytest.fixture
def place(app: Flask, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    """Backups into a folder, encrypted for a key nobody has and for the test's."""
    key, root, identity = Identity.generate(), tmp_path / "store", tmp_path / "identity.txt"
    root.mkdir()
    identity.write_text(f"# created: today\n# public key: {key.to_public()}\n{key}\n")
    settings = {
        "BACKUP_STORE": str(root),
        "BACKUP_RECIPIENTS": (str(Identity.generate().to_public()), str(key.to_public())),
        "BACKUP_PROGRAMS": programs(),
    }
    for name, value in settings.items():
        monkeypatch.setitem(app.config, name, value)
    return Place(app, root, key, identity)


@pytest.fixture
def new_database(app: Flask) -> Iterator[str]:
    """A name for a database, which is gone after the test."""
    name = f"namaskah_restored_{os.getpid()}"
    yield name
    with databases.maintenance(app.config["DATABASE_URL"]) as server:
        databases.drop(server, name)
