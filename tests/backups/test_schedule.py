"""Backups and drills by themselves: once a day, one worker at a time, and loudly when they do not succeed."""

import json
import os
import re
import signal
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import func, select, text

from namaskah import backups
from namaskah.auth.models import User
from namaskah.backups import alarms, databases, drills, making, runs, schedule, sets
from namaskah.backups.models import BackupRun
from namaskah.backups.problems import UnderWay
from namaskah.db import db, transaction
from tests.backups.conftest import Place, programs
from tests.support import installation, log_in, make_user, wait_until


def set_back(kind: str, ago: str) -> None:
    """Let every run of this kind have been this long ago."""
    with transaction():
        moved = "UPDATE backup_runs SET started_at = started_at - CAST(:ago AS interval),"
        moved += " ended_at = ended_at - CAST(:ago AS interval) WHERE kind = :kind"
        db.session.execute(text(moved), {"ago": ago, "kind": kind})


def letters() -> list[dict[str, Any]]:
    wanted = "SELECT args FROM procrastinate_jobs WHERE task_name = 'send_mail' ORDER BY id"
    found = db.session.scalars(text(wanted)).all()
    db.session.rollback()
    return list(found)


def kept(place: Place) -> list[str]:
    return [found.name for found in sets.listed(place.store) if found.is_whole]


@given(st.datetimes(timezones=st.just(UTC)).filter(lambda at: at.year > 1), st.integers(0, 23))
def test_the_hour_of_the_day_was_less_than_a_day_ago(now: datetime, hour: int) -> None:
    due = schedule.last_hour(now, hour)
    assert due <= now < due + timedelta(days=1)
    assert (due.hour, due.minute, due.second) == (hour, 0, 0)


def test_one_backup_a_day(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    now = datetime.now(UTC)
    monkeypatch.setitem(place.app.config, "BACKUP_HOUR", now.hour)
    assert schedule.create_due() == 1
    assert schedule.create_due() == 0
    assert len(kept(place)) == 1
    set_back("create", "1 day")  # before the hour that has come, also when another begins just now
    assert schedule.create_due() == 1
    assert schedule.create_due() == 0


def test_without_a_place_nothing_is_due(app: Flask) -> None:
    assert (schedule.create_due(), schedule.drill_due(), drills.take_reports_due(), alarms.raise_due()) == (0, 0, 0, 0)


def test_while_another_one_is_made_nobody_begins(place: Place) -> None:
    with databases.connection(place.app.config["DATABASE_URL"], "REPEATABLE READ") as other:
        other.execute(select(func.pg_advisory_xact_lock(making.ALONE)))
        with pytest.raises(UnderWay):
            making.create("test")
        assert schedule.create_due() == 0
        assert "another backup is being made" in place.run("create").output
    assert db.session.scalar(select(func.count()).select_from(BackupRun)) == 0
    assert schedule.create_due() == 1


def test_two_workers_at_once_make_one(place: Place) -> None:
    barrier, made = threading.Barrier(3), []

    def work() -> None:
        with place.app.app_context():
            barrier.wait()
            made.append(schedule.create_due())

    threads = [threading.Thread(target=work) for _number in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(made) == 1
    assert len(kept(place)) == 1
    assert db.session.scalar(select(func.count()).select_from(BackupRun)) == 1


def slow_programs(folder: Path) -> Path:
    """A pg_dump that never comes to its end."""
    (folder / "pg_dump").write_text(
        '#!/bin/sh\ncase "$1" in --version) echo "pg_dump (PostgreSQL) 99.1"; exit;; esac\n'
        "while head -c 200000 /dev/zero; do sleep 0.05; done\n"
    )
    (folder / "pg_dump").chmod(0o755)
    return folder


def test_a_worker_killed_in_the_middle(place: Place, settings: dict[str, str], tmp_path: Path) -> None:
    """Its backup is none, the next worker says what became of it and makes another one at once."""
    (tmp_path / "slow").mkdir()
    environment = settings | {
        "BACKUP_STORE": str(place.root),
        "BACKUP_RECIPIENTS": ",".join(place.app.config["BACKUP_RECIPIENTS"]),
        "BACKUP_PROGRAMS": str(slow_programs(tmp_path / "slow")),
    }
    with installation(environment, tmp_path) as made:
        process = made.start_worker()
        wait_until(lambda: list(place.root.rglob("dump.age.part")), 30, "a backup under way")
        running = runs.under_way("create")
        db.session.rollback()
        assert running is not None
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    [half] = sets.listed(place.store)
    assert (half.name, half.is_whole) == (running.name, False)
    assert "unfinished" in place.run("list").output
    assert place.run("verify", half.name).exit_code == 1
    wait_until(lambda: schedule.create_due() == 1, 10, "the lock of the killed one")
    lost, good = db.session.scalars(select(BackupRun).order_by(BackupRun.id)).all()
    assert (lost.ok, lost.error, good.ok) == (False, runs.LOST, True)
    assert kept(place) == [good.name]
    assert half.name in {found.name for found in sets.listed(place.store)}, "a day is time enough to look at it"
    old = half.name.replace(half.name[:8], "20260101")
    (place.root / "backups" / half.name).rename(place.root / "backups" / old)
    place.make()
    assert not (place.root / "backups" / old).exists(), "nor any part of it"


def test_a_failure_is_told_once_a_day_and_tried_again(place: Place, admin: User, alice: User) -> None:
    place.root.rmdir()
    assert schedule.create_due() == 0
    [letter] = letters()
    assert (letter["to"], letter["subject"]) == (admin.email, "Backups of Namaskah need you")
    assert "The backup of the database failed." in letter["text"]
    assert "is no folder: make it, or mount its disk" in letter["text"]
    assert schedule.create_due() == 0
    assert db.session.scalar(select(func.count()).select_from(BackupRun)) == 2, "not tried before half an hour is over"
    set_back("create", "31 minutes")
    assert schedule.create_due() == 0
    assert len(letters()) == 1
    set_back("alarm", "25 hours")
    set_back("create", "31 minutes")
    assert schedule.create_due() == 0
    assert len(letters()) == 2
    place.root.mkdir()
    set_back("create", "31 minutes")
    assert schedule.create_due() == 1


def test_operators_hear_of_it_and_nobody_else(place: Place, admin: User, alice: User) -> None:
    make_user("former@example.com", role="admin", banned_at=datetime.now(UTC))
    assert alarms.tell("drill", "it did not open") is True
    assert [letter["to"] for letter in letters()] == [admin.email]


def test_silence_for_26_hours_is_an_alarm(place: Place, admin: User) -> None:
    place.make()
    assert alarms.raise_due() == 0
    set_back("create", "26 hours 1 minute")
    assert alarms.late(datetime.now(UTC)) == ["create_late", "drill_late"]
    assert alarms.raise_due() == 2
    assert alarms.raise_due() == 0
    said = " ".join(letter["text"] for letter in letters())
    assert "No backup of the database has succeeded for 26 hours." in said
    assert "No backup has been restored for practice for 26 hours." in said
    place.make()
    assert alarms.late(datetime.now(UTC)) == ["drill_late"]


def test_a_host_with_a_key_drills_each_backup_once(place: Place, admin: User, monkeypatch: pytest.MonkeyPatch) -> None:
    assert schedule.drill_due() == 0
    monkeypatch.setitem(place.app.config, "BACKUP_DRILL_IDENTITY", str(place.identity))
    assert schedule.drill_due() == 0, "there is nothing yet"
    name = place.make().name
    assert schedule.drill_due() == 1
    assert schedule.drill_due() == 0
    done = runs.last("drill", ok=True)
    assert done is not None
    assert (done.name, done.size is not None, set(done.details["seconds"]) >= {"restore", "books", "audit"}) == (
        name, True, True,
    )  # fmt: skip
    assert backups.age().drill is not None
    place.make()
    place.identity.write_text(place.other_identity().read_text())
    assert schedule.drill_due() == 0
    assert "is not encrypted for this identity" in letters()[0]["text"]
    assert schedule.drill_due() == 0, "an hour later"
    assert db.session.scalar(select(func.count()).select_from(BackupRun).where(BackupRun.kind == "drill")) == 2


def test_drills_of_another_host_are_taken_from_the_store(place: Place, admin: User) -> None:
    place.make()
    assert place.run("drill", "--identity", str(place.identity)).exit_code == 0
    assert runs.last("drill") is None, "the other host does not write into our database"
    assert drills.take_reports_due() == 1
    assert drills.take_reports_due() == 0
    done = runs.last("drill", ok=True)
    assert done is not None
    assert done.requested_by.startswith("operator")
    assert place.run("drill", "--identity", str(place.other_identity())).exit_code == 1
    (place.root / "drills/20260101T000000Z-abcd.json").write_text("{}")  # too old to matter
    assert drills.take_reports_due() == 1
    assert alarms.raise_due() == 1
    assert "is not encrypted for this identity" in letters()[0]["text"]
    assert len(list((place.root / "drills").iterdir())) == 2


def test_a_report_that_is_none_counts_as_a_failed_drill(place: Place) -> None:
    name = f"drills/{datetime.now(UTC):%Y%m%dT%H%M%SZ}-abcd.json"
    (place.root / "drills").mkdir()
    (place.root / name).write_text(json.dumps({"error": "", "name": "x"}))
    assert drills.take_reports_due() == 1
    failed = runs.last("drill", ok=False)
    assert failed is not None
    assert failed.error == f"{name} is no report of a drill"


def test_what_a_killed_drill_left_is_removed_by_the_next(place: Place) -> None:
    url = place.app.config["DATABASE_URL"]
    left = databases.drill_name()
    with databases.maintenance(url) as server:
        databases.create(server, left)
        server.execute(select(func.pg_advisory_lock(drills.ALONE)))
        place.make()
        assert "another drill is under way" in place.run("drill", "--identity", str(place.identity)).output
        assert databases.left_by_drills(server) == [left]
    assert place.run("drill", "--identity", str(place.identity)).exit_code == 0
    with databases.maintenance(url) as server:
        assert databases.left_by_drills(server) == []


def page(app: Flask, admin: User) -> str:
    return log_in(app.test_client(), admin).get("/admin/").text


def test_the_operators_page_without_backups(app: Flask, admin: User) -> None:
    assert "No backups are made" in page(app, admin)


def test_the_operators_page_with_them(place: Place, admin: User, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "There is no backup yet." in page(place.app, admin)
    place.make()
    shown = page(place.app, admin)
    assert "Last backup:" in shown
    assert re.search(r"[1-9] MB", shown)
    assert "None was ever restored for practice" in shown
    place.run("drill", "--identity", str(place.identity))
    drills.take_reports_due()
    assert "One was last restored for practice" in page(place.app, admin)
    monkeypatch.setitem(place.app.config, "BACKUP_PROGRAMS", "/nowhere")
    assert place.run("create").exit_code == 1
    shown = page(place.app, admin)
    assert "A backup failed" in shown
    assert "pg_dump is nowhere on this machine" in shown
    set_back("create", "27 hours")
    assert "No backup of the database has succeeded for 26 hours." in page(place.app, admin)
    monkeypatch.setitem(place.app.config, "BACKUP_PROGRAMS", programs())
    place.make()
    assert "A backup failed" not in page(place.app, admin)


def test_the_operators_page_while_one_is_made(place: Place, admin: User) -> None:
    run_id = runs.start("create", "test", "20260101T000000Z-abcd")
    runs.note(run_id, "dumping public.users, 40 %", 123)
    assert "dumping public.users, 40 %" in page(place.app, admin)
