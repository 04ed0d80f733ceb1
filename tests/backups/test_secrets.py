"""No password and no key gets into arguments, output, logs or rows; and settings that cannot work are refused."""

import logging
import secrets
from pathlib import Path
from typing import Any

import pyrage
import pytest
from sqlalchemy import select, text
from sqlalchemy.engine import make_url

from namaskah import config
from namaskah.backups import checkup, making
from namaskah.backups.models import BackupRun
from namaskah.db import db
from namaskah.doctor import WARNING
from namaskah.doctor import backups as examination
from tests.backups.conftest import Place, programs

Identity = pyrage.x25519.Identity


def watched_programs(folder: Path) -> Path:
    """The real programs, behind ones that write down what they are given."""
    for name in ("pg_dump", "pg_restore"):
        program = folder / name
        program.write_text(
            f'#!/bin/sh\ncase "$1" in --version) ;; *) echo "$@" >> {folder}/arguments; env >> {folder}/environment;;'
            f' esac\nexec {programs()}/{name} "$@"\n'
        )
        program.chmod(0o755)
    return folder


def test_secrets_are_nowhere(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, new_database: str
) -> None:
    caplog.set_level(logging.DEBUG)
    watched = tmp_path / "watched"
    watched.mkdir()
    monkeypatch.setitem(place.app.config, "BACKUP_PROGRAMS", str(watched_programs(watched)))
    canary = secrets.token_hex(16)
    monkeypatch.setenv("SECRET_KEY", canary)
    monkeypatch.setenv("BACKUP_S3_SECRET", canary)
    password = str(make_url(place.app.config["DATABASE_URL"]).password)
    said = ""
    for words in (
        ("create",),
        ("list",),
        ("verify", "--identity", str(place.identity)),
        ("drill", "--identity", str(place.identity)),
        ("restore", "newest", "--into", new_database, "--identity", str(place.identity)),
        ("restore", "newest", "--identity", str(place.identity)),
        ("verify", "--identity", str(place.other_identity())),
    ):
        answer = place.run(*words)
        said += answer.output + repr(answer.exception)
    arguments, environment = (watched / "arguments").read_text(), (watched / "environment").read_text()
    assert arguments.count("--dbname=") == 3
    assert password not in arguments
    assert f"PGPASSWORD={password}\n" in environment
    assert canary not in environment
    rows = " ".join(str(vars(row)) for row in db.session.scalars(select(BackupRun)))
    kept = "".join(file.read_text() for file in place.root.rglob("*") if file.suffix in {".json", ".txt"})
    for secret in (password, str(place.key), place.app.config["SECRET_KEY"], canary):
        assert len(secret) > 8
        assert secret not in said + caplog.text + rows + kept


def test_an_error_says_its_kind_and_no_row() -> None:
    db_error = type("E", (Exception,), {"orig": Exception("could not connect\nDETAIL: alice@example.com")})()
    assert making.sentence(db_error) == "E: could not connect"
    assert making.sentence(ValueError("alice@example.com")) == "ValueError"
    assert making.sentence(KeyboardInterrupt()) == "stopped by hand"


GOOD = {
    "SECRET_KEY": "x" * 40,
    "BASE_URL": "http://localhost",
    "DATABASE_URL": "postgresql://localhost/x",
    "REDIS_URL": "redis://localhost",
    "ENVIRONMENT": "test",
}
PUBLIC, SECRET = str(Identity.generate().to_public()), str(Identity.generate())
S3 = {"BACKUP_STORE": "s3://bucket/x", "BACKUP_RECIPIENTS": PUBLIC}


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ({"BACKUP_STORE": "backups"}, "a folder's whole path or s3://bucket/prefix is wanted"),
        ({"BACKUP_STORE": "/var/backups/x"}, "BACKUP_RECIPIENTS is missing: a backup is never written unencrypted"),
        ({"BACKUP_RECIPIENTS": PUBLIC[:-1]}, "public keys of age"),
        ({"BACKUP_RECIPIENTS": f"{PUBLIC},{SECRET}"}, "it holds a secret key"),
        ({"BACKUP_HOUR": "24"}, "an hour from 0 to 23"),
        (S3, "BACKUP_S3_SECRET is missing"),
        (S3 | {"BACKUP_S3_ENDPOINT": "https://example.com/bucket"}, "an address without a path"),
        (S3 | {"ENVIRONMENT": "production", "BACKUP_S3_ENDPOINT": "http://example.com"}, "must start with https in"),
    ],
)
def test_settings_that_cannot_work_are_refused(more: dict[str, str], says: str) -> None:
    with pytest.raises(config.ConfigError, match=says) as caught:
        config.load(GOOD | more)
    assert SECRET not in str(caught.value)


def test_settings_that_work(place: Place) -> None:
    found: dict[str, Any] = config.load(GOOD | {"BACKUP_STORE": "/x/", "BACKUP_RECIPIENTS": f" {PUBLIC}, {PUBLIC}"})
    assert (found["BACKUP_STORE"], found["BACKUP_RECIPIENTS"], found["BACKUP_HOUR"]) == ("/x", (PUBLIC, PUBLIC), 2)
    assert db.session.scalar(text("SELECT 1")) == 1


def test_the_checkup_says_what_to_mend(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    assert checkup.findings() == ["there is no backup yet: make one with flask backup create"]
    assert [each.level for each in examination.look({})] == [WARNING]
    place.make()
    assert checkup.findings() == []
    monkeypatch.setitem(place.app.config, "BACKUP_RECIPIENTS", (PUBLIC,))
    monkeypatch.setitem(place.app.config, "BACKUP_DRILL_IDENTITY", str(place.identity))
    monkeypatch.setitem(place.app.config, "BACKUP_PROGRAMS", "/nowhere")
    assert [finding.split(" ")[0] for finding in checkup.findings()] == [
        "pg_dump", "BACKUP_RECIPIENTS", "BACKUP_DRILL_IDENTITY",
    ]  # fmt: skip
    monkeypatch.setitem(place.app.config, "BACKUP_DRILL_IDENTITY", "/nowhere/key")
    monkeypatch.setitem(place.app.config, "BACKUP_STORE", "/nowhere")
    found = checkup.findings()
    assert found[0].startswith("/nowhere is no folder")
    assert "BACKUP_DRILL_IDENTITY cannot be read: No such file or directory" in found
    monkeypatch.setitem(place.app.config, "BACKUP_STORE", "")
    assert checkup.findings()[0].startswith("no backups are made")
