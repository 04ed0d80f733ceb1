"""Each job of housekeeping runs when it is due, in one worker at a time, and everybody can see what came of it."""

import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from flask import Flask
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import text

from namaskah import worker
from namaskah.auth.models import User
from namaskah.db import db, transaction
from namaskah.housekeeping import reading, registry, running
from tests.account.life import columns_later, timedelta
from tests.housekeeping.stand import HOUR, closed, rows
from tests.numbers import shop
from tests.support import log_in
from tests.together import at_once

MANY = 501  # one more than a batch
MINUTE = timedelta(minutes=1)
# Job → rows of now, the column that says how old they are, and the age at which they go.
AGES: dict[str, tuple[str, str, timedelta]] = {
    "sessions": (
        "INSERT INTO sessions (user_id, token_hash) SELECT id, sha256(n::text::bytea) FROM users, many",
        "sessions.seen_at",
        timedelta(days=14),
    ),
    "new_addresses": (
        "INSERT INTO email_changes (user_id, email, key) SELECT id, 'x@example.com', 'key' FROM users",
        "email_changes.sent_at",
        timedelta(hours=24),
    ),
    "passkey_challenges": (
        "INSERT INTO spent_challenges (challenge_hash) SELECT sha256(n::text::bytea) FROM many",
        "spent_challenges.spent_at",
        timedelta(minutes=10),
    ),
    "wrong_codes": (
        "INSERT INTO factor_tries (user_id) SELECT id FROM users, many",
        "factor_tries.at",
        timedelta(minutes=5),
    ),
    "export_files": (
        "INSERT INTO data_exports (user_id, state, content, ended_at) SELECT id, 'ready', 'zip', now() FROM users",
        "data_exports.ended_at",
        timedelta(days=7),
    ),
    "queue": (
        "INSERT INTO procrastinate_jobs (queue_name, task_name, status)"
        " SELECT 'default', 'send_mail', 'failed' FROM many",
        "procrastinate_events.at",
        timedelta(days=7),
    ),
    "measurements": ("INSERT INTO measurements (minute) VALUES (now())", "measurements.minute", timedelta(days=7)),
    "heartbeats": (
        "INSERT INTO worker_heartbeats (name, version, turns, jobs, started_at)"
        " VALUES ('gone', '1', '{}', '{}', now())",
        "worker_heartbeats.beat_at",
        timedelta(minutes=10),
    ),
    "origins": (
        "INSERT INTO audit_events (kind, actor, address) VALUES ('login', 'user:1', '10.0.0.1')",
        "audit_events.at",
        timedelta(days=90),
    ),
}


def row(name: str) -> Any:
    [found] = rows("SELECT erased_last, erased_total, error FROM housekeeping_jobs WHERE name = :name", name=name)
    return found


@pytest.mark.parametrize("name", AGES)
def test_what_is_too_old_goes_and_what_is_not_stays(app: Flask, alice: User, name: str) -> None:
    statement, column, age = AGES[name]
    table, _dot, column = column.partition(".")
    with transaction():
        many = f"WITH many AS (SELECT n FROM generate_series(1, {MANY}) n) "
        count = db.session.execute(text(many + statement)).rowcount  # type: ignore[attr-defined]
        # Jobs that are given up have an event that says when; these were never deferred.
        db.session.execute(
            text("INSERT INTO procrastinate_events (job_id, type) SELECT id, 'failed' FROM procrastinate_jobs")
        )

    def later(by: timedelta) -> None:
        with transaction():
            db.session.execute(text("SET LOCAL session_replication_role = replica"))  # the audit log refuses it
            db.session.execute(text(f"UPDATE {table} SET {column} = {column} - :by"), {"by": by})

    later(age - MINUTE)
    assert running.run(name) == 0
    later(2 * MINUTE)
    assert running.run(name) == count
    assert row(name) == (count, count, "")
    assert running.run(name) == 0
    assert row(name) == (0, count, "")


def test_every_job_runs_and_is_due_again_after_its_time(app: Flask) -> None:
    turns = 0
    while running.tidy_due():
        turns += 1
        db.session.rollback()
    assert turns == len(registry.JOBS)
    assert {each.state for each in reading.standings()} == {"well"}
    for job in registry.JOBS:
        [(seconds,)] = rows("SELECT extract(epoch FROM due_at - ended_at) FROM housekeeping_jobs WHERE name = :name",
                            name=job.name)  # fmt: skip
        assert float(seconds) == pytest.approx(job.every, abs=1)
    columns_later("housekeeping_jobs", "due_at", timedelta(seconds=registry.OFTEN + 1))
    often = [job.name for job in registry.JOBS if job.every <= registry.OFTEN]
    assert [running.tidy_due() for _turn in range(len(often) + 1)] == [1] * len(often) + [0]


def test_what_erases_by_itself_is_in_this_list_alone() -> None:
    verbs = {job.batch for job in registry.JOBS}
    assert not verbs & {every.verb for every in worker.SCHEDULE}
    assert running.tidy_due in {every.verb for every in worker.SCHEDULE}
    assert worker.TASKS["tidy"] is running.run
    assert len(registry.names()) == len(set(registry.names())) == len(verbs)


@pytest.fixture
def only(app: Flask, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """One job is all there is; gives what sets its batches."""
    counts: list[Any] = []

    def batch() -> int:
        found = counts.pop(0) if counts else 0
        if isinstance(found, Exception):
            raise found
        return int(found)

    job = replace(registry.get("queue"), batch=batch)
    monkeypatch.setattr(registry, "JOBS", (job,))
    yield counts


def test_a_failure_is_noted_and_what_was_erased_before_it_counts(only: Any) -> None:
    only += [3, 4, RuntimeError("secret words")]
    with pytest.raises(RuntimeError):
        running.tidy_due()
    assert row("queue") == (7, 7, "RuntimeError")
    assert [each.state for each in reading.standings()] == ["failed"]
    assert (reading.troubled(), running.tidy_due()) == (1, 0)
    columns_later("housekeeping_jobs", "due_at", running.AFTER_A_FAILURE)
    only += [2]
    assert running.tidy_due() == 1
    assert row("queue") == (2, 9, "")
    assert reading.troubled() == 0


def test_a_run_ends_after_its_time_and_the_rest_is_due_at_once(only: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(running, "LONGEST_SECONDS", 0.0)
    only += [1, 1]
    assert running.tidy_due() == 1
    assert row("queue")[1] == 0, "not one second was there"
    monkeypatch.setattr(running, "LONGEST_SECONDS", 20.0)
    assert running.tidy_due() == 1
    assert row("queue") == (2, 2, "")
    assert running.tidy_due() == 0


def test_two_workers_do_not_run_one_job(app: Flask, only: Any) -> None:
    only += [1, 1, 1]
    found = at_once(app, *[running.tidy_due] * 4)
    assert sorted(map(str, found)) == ["0", "0", "0", "1"]
    assert row("queue") == (3, 3, "")


def test_a_job_without_success_for_long_is_late(only: Any) -> None:
    running.tidy_due()
    columns_later("housekeeping_jobs", "started_at ended_at succeeded_at", reading.LATE_AFTER + timedelta(minutes=1))
    assert [each.state for each in reading.standings()] == ["late"]
    assert reading.troubled() == 1


# ── What an operator sees and does ───────────────────────────────────────────────────────────────────────────────────


def words_of(html: str) -> str:
    return " ".join(re.sub("<[^>]+>", " ", html).split())


def test_the_page_shows_every_job_and_has_one_done_now(app: Flask, alice: User, admin: User) -> None:
    closed(alice)
    shop.later(25 * HOUR)
    browser = log_in(app.test_client(), admin)
    page = words_of(browser.get("/admin/housekeeping").text)
    for job in registry.JOBS:
        assert job.name in page and str(job.what) in page
    assert page.count("Not run yet") == len(registry.JOBS)
    assert "24 hours after the number was closed" in page
    answer = browser.post("/admin/housekeeping/messages/run")
    assert (answer.status_code, answer.location) == (303, "/admin/housekeeping")
    assert rows("SELECT actor, details FROM audit_events WHERE kind = 'housekeeping_asked'") == [
        (f"user:{admin.id}", {"job": "messages"})
    ]
    shop.run_jobs()
    page = words_of(browser.get("/admin/housekeeping").text)
    assert page.count("Not run yet") == len(registry.JOBS) - 1
    assert "Well" in page and "took 1 sec" in page
    assert row("messages") == (1, 1, "")
    assert browser.post("/admin/housekeeping/nothing/run").status_code == 404
    assert 'href="/admin/housekeeping"' in browser.get("/admin/").text


def test_trouble_is_shown_on_the_overview(app: Flask, admin: User, only: Any) -> None:
    browser = log_in(app.test_client(), admin)
    assert "in trouble" not in browser.get("/admin/").text
    only += [ValueError("x")]
    with pytest.raises(ValueError):
        running.run("queue")
    assert "1 job is in trouble" in browser.get("/admin/").text
    page = words_of(browser.get("/admin/housekeeping").text)
    assert "Failed" in page and "ValueError" in page


def test_the_command_lists_and_runs(app: Flask, alice: User) -> None:
    closed(alice)
    shop.later(25 * HOUR)
    run = app.test_cli_runner().invoke
    listed = run(args=["housekeeping", "list"])
    assert listed.exit_code == 0
    assert [line.split()[0] for line in listed.output.splitlines()] == registry.names()
    done = run(args=["housekeeping", "run", "messages"])
    assert (done.exit_code, done.output) == (0, "messages: 1 erased\n")
    assert rows("SELECT count(*) FROM audit_events WHERE kind = 'housekeeping_asked'") == [(1,)]
    assert run(args=["housekeeping", "run", "nothing"]).exit_code == 2
    with transaction():
        db.session.execute(text("UPDATE housekeeping_jobs SET ended_at = NULL, due_at = now() + interval '1 minute'"))
    busy = run(args=["housekeeping", "run", "messages"])
    assert busy.exit_code == 1 and "at it just now" in busy.output


def test_prometheus_is_told(app: Flask, alice: User, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(app.config, "METRICS_TOKEN", "a token of this test")  # pragma: allowlist secret
    closed(alice)
    shop.later(25 * HOUR)

    def scraped() -> dict[tuple[str, str], float]:
        headers = {"Authorization": "Bearer a token of this test"}
        families = text_string_to_metric_families(app.test_client().get("/metrics", headers=headers).text)
        return {
            (sample.name, sample.labels.get("of", "")): sample.value for each in families for sample in each.samples
        }

    success = ("namaskah_housekeeping_last_success_timestamp_seconds", "messages")
    before = scraped()
    assert before[success] == 0
    assert before["namaskah_message_texts_overdue_seconds", ""] == pytest.approx(HOUR, abs=60)
    running.run("messages")
    after = scraped()
    [(now,)] = rows("SELECT extract(epoch FROM now())")
    assert after[success] == pytest.approx(float(now), abs=60)
    assert after["namaskah_housekeeping_erased_total", "messages"] == 1
    assert after["namaskah_housekeeping_erased_total", "queue"] == 0
    assert after["namaskah_message_texts_overdue_seconds", ""] == 0
