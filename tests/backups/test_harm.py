"""What is cut off, exchanged, missing, full or locked with another key is told loudly, and nothing is half done."""

import os
import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

import pytest
from flask import Flask
from sqlalchemy import text

from namaskah.auth.models import User
from namaskah.backups import databases, drills, making, programs, runs, sets
from namaskah.backups.folder_store import FolderStore
from namaskah.backups.problems import BackupError, NotSetUp, ProgramFailed, StoreDown, StoreFull
from tests.backups.conftest import Place


def cut(file: Path) -> None:
    os.truncate(file, file.stat().st_size - 1000)


def flip(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


def replace_by_another(file: Path) -> None:
    """As long as it was, and none of ours."""
    file.write_bytes(os.urandom(file.stat().st_size))


Harm = Callable[[Path], None]
HARM: list[tuple[str, Harm, str]] = [
    (sets.DUMP, cut, "was cut off or changed"),
    (sets.DUMP, flip, "is damaged or cut off"),
    (sets.DUMP, replace_by_another, "is damaged or cut off"),
    (sets.DUMP, Path.unlink, "dump.age is not in"),
    (sets.FACTS, cut, "was cut off or changed"),
    (sets.FACTS, Path.unlink, "facts.age is not in"),
    (sets.MANIFEST, cut, "is damaged"),
    (sets.MANIFEST, Path.unlink, "manifest.json is not in"),
]


def databases_there(app: Flask) -> set[str]:
    with databases.maintenance(app.config["DATABASE_URL"]) as server:
        return set(server.scalars(text("SELECT datname FROM pg_database")))


@pytest.mark.parametrize(("piece", "harm", "says"), HARM)
def test_what_was_harmed_is_not_restored(place: Place, new_database: str, piece: str, harm: Harm, says: str) -> None:
    name = place.make().name
    if harm is cut and piece != sets.DUMP:
        harm = lambda file: os.truncate(file, file.stat().st_size // 2)  # noqa: E731
    harm(place.file(name, piece))
    before = databases_there(place.app)
    drilled = place.run("drill", name, "--identity", str(place.identity))
    assert (drilled.exit_code, says in drilled.output) == (1, True), drilled.output
    restored = place.run("restore", name, "--into", new_database, "--identity", str(place.identity))
    assert (restored.exit_code, says in restored.output) == (1, True), restored.output
    assert databases_there(place.app) == before, "nothing half is left"
    if harm is not Path.unlink or piece != sets.MANIFEST:
        verified = place.run("verify", name)
        assert verified.exit_code == 1, verified.output
    reported = [item.path for item in place.store.items("drills")]
    assert len(reported) == 1, "the operator's page hears of it"


def test_what_was_cut_where_the_manifest_was_changed_too(place: Place, new_database: str) -> None:
    """Whoever changes both: age itself tells that its end is missing, and what came before is rolled back."""
    name = place.make().name
    dump = place.file(name, sets.DUMP)
    whole = dump.read_bytes()
    dump.write_bytes(whole[: len(whole) - 20_000])
    manifest = place.file(name, sets.MANIFEST)
    manifest.write_text(re.sub(rf'"size": {len(whole)}\b', f'"size": {len(whole) - 20_000}', manifest.read_text()))
    answer = place.run("restore", name, "--into", new_database, "--identity", str(place.identity))
    assert (answer.exit_code, "dump.age is damaged or cut off" in answer.output) == (1, True)
    assert new_database not in databases_there(place.app)


def test_another_key_opens_nothing(place: Place, new_database: str) -> None:
    name = place.make().name
    other = str(place.other_identity())
    for words in (("verify", name), ("drill", name), ("restore", name, "--into", new_database)):
        answer = place.run(*words, "--identity", other)
        assert (answer.exit_code, "is not encrypted for this identity" in answer.output) == (1, True), answer.output
    assert new_database not in databases_there(place.app)


@pytest.mark.parametrize("content", [b"", b"# nothing\n", b"hello\n", b"\xff\xfe\x00", b"age-encryption.org/v1\n-> x"])
def test_what_is_no_key_is_refused_without_being_repeated(place: Place, content: bytes) -> None:
    place.make()
    place.identity.write_bytes(content)
    answer = place.run("verify", "--identity", str(place.identity))
    assert answer.exit_code == 1
    assert "identity" in answer.output
    assert "hello" not in answer.output


def test_restoring_takes_a_key(place: Place) -> None:
    place.make()
    assert "it takes the secret key" in place.run("drill").output


class FullStore(FolderStore):
    """Every file is /dev/full: the kernel itself says that no space is left."""

    def _create(self, part: Path) -> BinaryIO:
        part.touch()
        return Path("/dev/full").open("wb", buffering=0)


def test_a_full_disk_leaves_nothing_half_and_raises_the_alarm(
    place: Place, admin: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    good = place.make().name
    monkeypatch.setattr(making.place, "store", lambda: FullStore(str(place.root)))
    with pytest.raises(StoreFull, match="is full: make room"):
        making.create("test")
    failed = runs.last("create", ok=False)
    assert failed is not None
    assert "is full: make room" in failed.error
    assert [found.name for found in sets.listed(place.store)] == [good]
    assert [file for file in place.root.rglob("*") if file.suffix == ".part"] == []
    assert len(list((place.root / "backups").iterdir())) == 1, "not even its folder"


@pytest.fixture
def tiny(tmp_path: Path) -> Iterator[Path]:
    """A real disk with room for 64 KiB."""
    disk = tmp_path / "tiny"
    disk.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(disk)]
    if os.geteuid() != 0 or subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("no disk can be mounted here; /dev/full plays it in the test before")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


def test_a_disk_that_fills_up_in_the_middle(place: Place, tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(place.app.config, "BACKUP_STORE", str(tiny))
    answer = place.run("create")
    assert (answer.exit_code, f"{tiny} is full" in answer.output) == (1, True)
    assert [file for file in tiny.rglob("*") if file.is_file()] == []


def test_a_disk_that_is_not_there_is_not_made_up(place: Place) -> None:
    place.root.rmdir()
    answer = place.run("create")
    assert (answer.exit_code, "is no folder: make it, or mount its disk" in answer.output) == (1, True)
    assert not place.root.exists()
    assert "is no folder" in place.run("list").output


def test_files_are_their_owners_alone(place: Place) -> None:
    name = place.make().name
    modes = {file.stat().st_mode & 0o777 for file in (place.root / "backups" / name).iterdir()}
    assert modes == {0o600}
    assert (place.root / "backups" / name).stat().st_mode & 0o777 == 0o700


def fake_programs(folder: Path, body: str) -> Path:
    for name in ("pg_dump", "pg_restore"):
        program = folder / name
        program.write_text(f"#!/bin/sh\n{body}\n")
        program.chmod(0o755)
    return folder


def test_programs_that_are_too_old_are_refused(place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old = fake_programs(tmp_path, 'echo "pg_dump (PostgreSQL) 13.4"')
    monkeypatch.setitem(place.app.config, "BACKUP_PROGRAMS", str(old))
    answer = place.run("create")
    assert answer.exit_code == 1
    assert re.search(r"pg_dump is only of PostgreSQL 13, and the server is PostgreSQL \d+: install", answer.output)
    monkeypatch.setitem(place.app.config, "BACKUP_PROGRAMS", str(tmp_path / "nowhere"))
    with pytest.raises(ProgramFailed, match="nowhere on this machine"):
        programs.find("pg_dump", 15)


@pytest.mark.parametrize(
    ("has", "server", "fits"), [(15, 15, True), (16, 15, True), (17, 16, False), (18, 15, False), (18, 17, True)]
)
def test_programs_fit_a_server_when_it_takes_what_they_write(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, has: int, server: int, fits: bool
) -> None:
    """From 17 on, pg_restore sets what servers before 17 do not know: such a backup could not be restored there."""
    folder = fake_programs(tmp_path, f'echo "pg_dump (PostgreSQL) {has}.1"')
    monkeypatch.setitem(place.app.config, "BACKUP_PROGRAMS", str(folder))
    if fits:
        assert programs.find("pg_dump", server) == folder / "pg_dump"
    else:
        with pytest.raises(ProgramFailed, match=f"only of PostgreSQL {has}, and the server is PostgreSQL {server}: "):
            programs.find("pg_dump", server)


def test_a_dump_that_breaks_off_is_no_backup(place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Half a dump, well encrypted to its end, would look like a whole one."""
    body = (
        'case "$1" in --version) echo "pg_dump (PostgreSQL) 99.1"; exit;; esac\n'
        'head -c 300000 /dev/zero; echo "pg_dump: error: connection lost" >&2; exit 1'
    )
    monkeypatch.setitem(place.app.config, "BACKUP_PROGRAMS", str(fake_programs(tmp_path, body)))
    answer = place.run("create")
    assert (answer.exit_code, "pg_dump failed: pg_dump: error: connection lost" in answer.output) == (1, True)
    assert sets.listed(place.store) == []
    assert [file for file in place.root.rglob("*") if file.is_file()] == []


def test_a_restore_that_fails_is_rolled_back(place: Place, new_database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The target refuses something in the middle: not even its first tables are there afterwards."""
    name = place.make().name
    url = place.app.config["DATABASE_URL"]
    with databases.maintenance(url) as server:
        databases.create(server, new_database)
    target = databases.named(url, new_database)
    with databases.connection(target) as opened:
        opened.execute(text("CREATE FUNCTION public.audit_hash() RETURNS int LANGUAGE sql AS 'SELECT 1'"))
        opened.execute(text("CREATE TYPE public.users AS ENUM ('in the way')"))
    monkeypatch.setitem(place.app.config, "DATABASE_URL", target)
    answer = place.run("restore", name, "--identity", str(place.identity))
    assert (answer.exit_code, "pg_restore failed" in answer.output) == (1, True), answer.output
    assert databases.tables(target) == 0


def test_without_settings_nothing_is_made(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(place.app.config, "BACKUP_STORE", "")
    with pytest.raises(NotSetUp, match="set BACKUP_STORE"):
        making.create("test")
    assert place.run("list").exit_code == 1


def test_a_server_that_is_away_is_told_in_one_line(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    # pragma: allowlist nextline secret
    monkeypatch.setitem(place.app.config, "DATABASE_URL", "postgresql+psycopg2://me:hunter22x@127.0.0.1:1/x")
    answer = place.run("create")
    assert (answer.exit_code, "OperationalError" in answer.output) == (1, True)
    assert "hunter22x" not in answer.output


def test_old_backups_that_cannot_be_removed_do_not_spoil_the_new_one(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuses(_store: Any, _found: Any) -> None:
        raise StoreDown("the store refuses us: AccessDenied")

    old = place.root / "backups/20200101T000000Z-aaaa"
    old.mkdir(parents=True)
    (old / "dump.age").touch()
    monkeypatch.setattr(sets, "remove", refuses)
    made = place.make()
    assert made.ok
    assert made.details["warnings"] == ["the store refuses us: AccessDenied"]


def test_errors_of_ours_are_all_of_one_kind() -> None:
    assert all(issubclass(kind, BackupError) for kind in (NotSetUp, ProgramFailed, StoreDown, StoreFull))


def test_a_drill_without_its_store_fails_as_loudly(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """The backup is read, and then the disk is gone: the drill's own trouble is what is told, the other as well."""
    name = place.make().name

    def unplugged(*_words: Any) -> None:
        place.root.rename(place.root.with_name("gone"))
        raise StoreDown("the disk is gone")

    monkeypatch.setattr(drills, "drill", unplugged)
    answer = place.run("drill", name, "--identity", str(place.identity))
    assert answer.exit_code == 1
    assert "The report could not be left in the store" in answer.output
    assert "Error: the disk is gone" in answer.output
