"""A backup is made, the database is destroyed, the backup comes back, and a drill says the same."""

import json
import os
import re
from datetime import timedelta
from hashlib import sha256
from typing import Any

import psycopg2
import pyrage
import pytest
from flask import current_app
from sqlalchemy import func, select, text

from namaskah.account import deletion
from namaskah.auth import audit
from namaskah.auth.models import User
from namaskah.backups import (
    checking,
    databases,
    drills,
    elsewhere,
    facts,
    making,
    restoring,
    runs,
    sealing,
    sets,
    tombstones,
)
from namaskah.backups.models import BackupRun
from namaskah.db import db, transaction
from namaskah.wallet import ledger
from tests import support
from tests.backups.conftest import Place
from tests.housekeeping.stand import HOUR, closed, only_message
from tests.numbers import shop
from tests.support import make_receipt, make_user


def silent(_step: str, _size: int) -> None:
    pass


def rows(url: str, query: str) -> list[tuple[object, ...]]:
    with databases.connection(url) as opened:
        return [tuple(row) for row in opened.execute(text(query))]


def test_backup_destroy_restore_drill(place: Place, alice: User, bob: User, new_database: str) -> None:
    make_receipt(alice)
    made = place.run("create")
    assert made.exit_code == 0, made.output
    assert re.search(r"\d{8}T\d{6}Z-[0-9a-f]{4}: [\d.]+ KiB in [\d.]+ s", made.output)
    url = place.app.config["DATABASE_URL"]
    before = rows(url, "SELECT email FROM users ORDER BY id"), rows(url, "SELECT * FROM ledger_entries ORDER BY id")
    with transaction():
        db.session.execute(text("SET LOCAL session_replication_role = replica"))
        db.session.execute(text("DELETE FROM ledger_entries"))
        db.session.execute(text("DELETE FROM users"))

    restored = place.run("restore", "newest", "--into", new_database, "--identity", str(place.identity))

    assert restored.exit_code == 0, restored.output
    assert "WRONG" not in restored.output
    assert f"with the database {new_database}" in restored.output
    back = databases.named(url, new_database)
    assert rows(back, "SELECT kind, ok FROM backup_runs ORDER BY id") == [("restore", True)]
    after = rows(back, "SELECT email FROM users ORDER BY id"), rows(back, "SELECT * FROM ledger_entries ORDER BY id")
    assert after == before
    with elsewhere.at(back):
        assert ledger.balance(alice.id).available_minor == 1_250_000
        assert support.broken_invariants() == []

    drilled = place.run("drill", "--identity", str(place.identity))
    assert drilled.exit_code == 0, drilled.output
    assert re.search(r"KiB, \d+ rows, back in [\d.]+ s\n  restore [\d.]+ s, compare [\d.]+ s, audit", drilled.output)
    assert drilled.output.endswith("The drill succeeded.\n")
    with databases.maintenance(url) as server:
        assert databases.left_by_drills(server) == []
    support.empty()


def test_the_restored_ledger_is_guarded_as_before(place: Place, alice: User, new_database: str) -> None:
    name = place.make().name
    url = place.app.config["DATABASE_URL"]
    source = restoring.Source(place.store, name, [place.key])
    assert restoring.into_new(source, url, new_database, "test", silent).faults == []
    with pytest.raises(psycopg2.Error, match="not allowed"):
        connection = psycopg2.connect(databases.named(url, new_database).replace("+psycopg2", ""))
        try:
            connection.cursor().execute("DELETE FROM ledger_entries")
        finally:
            connection.close()


def test_figures_are_of_the_very_moment_of_the_dump(
    place: Place, alice: User, new_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Money moves while the backup is made: figures, dump and books still say the same."""
    count = facts.read

    def counted_then_moved(opened: object) -> facts.Facts:
        found = count(opened)  # type: ignore[arg-type]
        make_user("late@example.com", money=777)
        return found

    monkeypatch.setattr(facts, "read", counted_then_moved)
    name = place.make().name
    monkeypatch.setattr(facts, "read", count)
    source = restoring.Source(place.store, name, [place.key])
    report = restoring.into_new(source, place.app.config["DATABASE_URL"], new_database, "test", silent)
    assert report.faults == []
    back = databases.named(place.app.config["DATABASE_URL"], new_database)
    assert rows(back, "SELECT email FROM users") == [("alice@example.com",)]


def test_deleted_people_stay_deleted(place: Place, alice: User, bob: User, new_database: str) -> None:
    name = place.make().name
    deletion.delete(alice, 1_000_000)
    assert tombstones.keep_due() == 1
    assert tombstones.keep_due() == 0
    listed = place.app.test_cli_runner().invoke(args=["account", "deletions"]).output
    assert place.run("deletions").output == listed != ""
    url = place.app.config["DATABASE_URL"]
    restored = place.run("restore", name, "--into", new_database, "--identity", str(place.identity))
    assert restored.exit_code == 0, restored.output
    assert "1 accounts were deleted since it was made and are deleted again." in restored.output
    back = databases.named(url, new_database)
    assert rows(back, "SELECT email FROM users ORDER BY id") == [
        (f"deleted-{alice.id}@deleted.invalid",),
        ("bob@example.com",),
    ]
    assert rows(back, "SELECT count(*) FROM deleted_accounts") == [(1,)]


def test_what_messages_said_is_erased_again(place: Place, alice: User, new_database: str) -> None:
    bought = closed(alice)
    shop.later(25 * HOUR)
    name = place.make().name
    restored = place.run("restore", name, "--into", new_database, "--identity", str(place.identity))
    assert restored.exit_code == 0, restored.output
    back = databases.named(place.app.config["DATABASE_URL"], new_database)
    wanted = "SELECT activation_id, body, code, erased_at IS NOT NULL FROM messages"
    assert rows(back, wanted) == [(bought.id, "", None, True)]
    assert only_message(bought).code == "482913", "the database there is was not touched"


def test_a_restored_database_takes_nothing_off_the_list(place: Place, alice: User, bob: User) -> None:
    deletion.delete(alice, 1_000_000)
    tombstones.keep_due()
    with transaction():
        db.session.execute(text("DELETE FROM deleted_accounts"))  # an older state came back
    deletion.delete(bob, 500_000)
    tombstones.keep_due()
    assert [each.user_id for each in tombstones.read(place.store)] == [alice.id, bob.id]


def test_many_files_of_deletions_become_one(place: Place) -> None:
    known = []
    for number in range(1, tombstones.GATHERED_ABOVE + 3):
        known.append(deletion.Tombstone(number, None))
        tombstones._write(place.store, known[-1:])
    tombstones.gather(place.store)
    assert len(list(place.store.items("deletions"))) == 1
    assert tombstones.read(place.store) == known


def test_an_empty_database_can_be_filled_and_a_full_one_is_left_alone(
    place: Place, alice: User, new_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = place.make().name
    words = ("restore", name, "--identity", str(place.identity))
    refused = place.run(*words)
    assert (refused.exit_code, "is left alone" in refused.output, "--into NAME" in refused.output) == (1, True, True)
    url = place.app.config["DATABASE_URL"]
    with databases.maintenance(url) as server:
        databases.create(server, new_database)
    taken = place.run(*words, "--into", new_database)
    assert (taken.exit_code, "exists already" in taken.output) == (1, True)
    monkeypatch.setitem(place.app.config, "DATABASE_URL", databases.named(url, new_database))
    filled = place.run(*words)
    assert filled.exit_code == 0, filled.output
    assert rows(databases.named(url, new_database), "SELECT email FROM users") == [("alice@example.com",)]


def test_an_older_backup_is_brought_to_the_newest_migration(place: Place, alice: User, new_database: str) -> None:
    """As it is found when a release came between the backup and the accident."""
    url = place.app.config["DATABASE_URL"]
    source_url = support.clone_template(os.environ["TEST_DATABASE_URL"], f"namaskah_older_{os.getpid()}")
    with elsewhere.at(source_url):
        elsewhere.command.downgrade(_alembic(), "0012")
    try:
        place.app.config["DATABASE_URL"] = source_url
        name = _make_without_row(place)
    finally:
        place.app.config["DATABASE_URL"] = url
        with databases.maintenance(url) as server:
            databases.drop(server, databases.name_of(source_url))
    source = restoring.Source(place.store, name, [place.key])
    report = restoring.into_new(source, url, new_database, "test", silent)
    assert (report.migrated_from, report.faults) == ("0012", [])
    assert rows(databases.named(url, new_database), "SELECT version_num FROM alembic_version") == [(elsewhere.head(),)]


def _alembic() -> Any:
    return current_app.extensions["migrate"].migrate.get_config(str(elsewhere.MIGRATIONS))


def _make_without_row(place: Place) -> str:
    """A backup of a database that has no table of backups yet, as an older release made it."""
    with databases.connection(place.app.config["DATABASE_URL"], "REPEATABLE READ") as opened:
        opened.execute(text("SELECT 1"))
        return making._make(place.store, opened, "20260101T000000Z-abcd", silent).name


def test_a_backup_of_a_newer_release_is_refused(place: Place, new_database: str) -> None:
    name = place.make().name
    manifest = sets.read_manifest(place.store, name)
    made, key_print = _facts(place, manifest)
    inside = json.dumps(made | {"revision": "9999", "key_print": key_print}).encode()
    sealed = pyrage.encrypt(inside, [place.key.to_public()])
    place.file(name, sets.FACTS).write_bytes(sealed)
    _rewrite(place, name, sets.FACTS)
    answer = place.run("restore", name, "--into", new_database, "--identity", str(place.identity))
    assert answer.exit_code == 1
    assert "of a newer version of Namaskah (migration 9999)" in answer.output


def _facts(place: Place, manifest: sets.Manifest) -> tuple[dict[str, object], str]:
    made, key_print = checking.read_facts(place.store, manifest, [place.key])
    return made.as_json(), key_print


def _rewrite(place: Place, name: str, piece: str) -> None:
    """Make the manifest fit a piece that was exchanged."""
    file = place.file(name, sets.MANIFEST)
    manifest = json.loads(file.read_text())
    content = place.file(name, piece).read_bytes()
    manifest["pieces"][piece] = {"size": len(content), "sha256": sha256(content).hexdigest()}
    file.write_text(json.dumps(manifest))


def test_what_came_back_otherwise_than_it_was_is_named(place: Place, alice: User) -> None:
    name = place.make().name
    made, key_print = _facts(place, sets.read_manifest(place.store, name))
    made["rows"] = made["rows"] | {"public.users": 2}  # type: ignore[operator]
    made["money"] = made["money"] | {"user_available NGN": "1000001"}  # type: ignore[operator]
    sealed = pyrage.encrypt(json.dumps(made | {"key_print": key_print}).encode(), [place.key.to_public()])
    place.file(name, sets.FACTS).write_bytes(sealed)
    _rewrite(place, name, sets.FACTS)
    answer = place.run("drill", name, "--identity", str(place.identity))
    assert answer.exit_code == 1
    assert "WRONG: rows of public.users: 2 were backed up, 1 are there" in answer.output
    assert "WRONG: sum of user_available NGN: 1000001 were backed up, 1000000 are there" in answer.output
    assert drills.take_reports_due() == 1
    assert "rows of public.users" in str(runs.last("drill", ok=False).error)  # type: ignore[union-attr]


def test_a_ledger_that_was_wrong_is_wrong_when_it_comes_back(place: Place, alice: User) -> None:
    """The backup is what the database was; the drill looks at the books all the same."""
    change = "UPDATE ledger_accounts SET balance = balance + :by WHERE user_id = :id AND kind = 'user_available'"

    def shift(by: int) -> None:
        with transaction():
            db.session.execute(text("SET LOCAL session_replication_role = replica"))
            db.session.execute(text(change), {"by": by, "id": alice.id})

    shift(1)
    name = place.make().name
    shift(-1)
    with pytest.raises(drills.Failed, match="I3 does not hold"):
        drills.drill(name, [place.key], "test", silent)


def test_a_broken_audit_log_is_found(place: Place, alice: User) -> None:
    with transaction():
        audit.record("login", alice.id)
    with transaction():
        db.session.execute(text("SET LOCAL session_replication_role = replica"))
        db.session.execute(text("UPDATE audit_events SET kind = 'logout'"))
    name = place.make().name
    with pytest.raises(drills.Failed, match="audit event 1: it was changed"):
        drills.drill(name, [place.key], "test", silent)


def test_the_drill_tells_when_the_secret_key_is_another(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    place.make()
    monkeypatch.setitem(place.app.config, "SECRET_KEY", "another" * 6)
    answer = place.run("drill", "--identity", str(place.identity))
    assert "SECRET_KEY is not the one it was made with" in answer.output


def test_every_recipient_can_open_it_and_age_alone_too(
    place: Place, alice: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without our program: what any tool of age opens is what pg_restore reads."""
    second = pyrage.x25519.Identity.generate()
    monkeypatch.setitem(place.app.config, "BACKUP_RECIPIENTS", (str(place.key.to_public()), str(second.to_public())))
    name = place.make().name
    for key in (place.key, second):
        plain = pyrage.decrypt(place.file(name, sets.DUMP).read_bytes(), [key])
        assert plain.startswith(b"PGDMP")
    assert b"alice@example.com" not in place.file(name, sets.DUMP).read_bytes()
    assert sealing.identities([str(second)])[0].to_public() is not None


def test_what_list_and_verify_say(place: Place) -> None:
    assert place.run("list").output == "There is no backup yet.\n"
    name = place.make().name
    assert re.fullmatch(rf"{name} +[\d.]+ KiB +0\.0 h old  daily\n", place.run("list").output)
    assert "whether a key opens it was not tried" in place.run("verify").output
    opened = place.run("verify", name, "--identity", "-", stdin=place.identity.read_text())
    assert "opened with this identity" in opened.output


def test_age_is_since_the_last_success(place: Place) -> None:
    assert (runs.age().backup, runs.age().drill) == (None, None)
    made = place.make()
    with transaction():
        db.session.execute(
            text("UPDATE backup_runs SET ended_at = ended_at - interval '3 hours', started_at = ended_at")
        )
    found = runs.age()
    assert found.backup is not None
    assert timedelta(hours=3) <= timedelta(seconds=found.backup) < timedelta(hours=3, minutes=1)
    assert found.drill is None
    assert db.session.scalar(select(func.count()).select_from(BackupRun)) == 1
    assert made.ok
