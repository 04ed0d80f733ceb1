"""What is told of our health, with everything there, and with each thing missing."""

import json
import threading
import time
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import text

from dev.process import free_port
from namaskah import draining, extensions, release
from namaskah.db import db, transaction
from namaskah.watch import health, heartbeats, probing


@pytest.fixture
def without_redis(monkeypatch: pytest.MonkeyPatch) -> None:
    handle = extensions.RedisHandle()
    handle.init_app(f"redis://127.0.0.1:{free_port()}/0")
    monkeypatch.setattr(extensions.redis, "_client", handle.client)


@pytest.fixture
def without_database(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing listens where the database should."""
    url = f"postgresql+psycopg2://nobody@127.0.0.1:{free_port()}/nothing"
    monkeypatch.setitem(app.config, "SQLALCHEMY_DATABASE_URI", url)
    health.forget()


@pytest.fixture
def schema(app: Flask) -> Iterator[Any]:
    """Has the database claim another migration."""

    def claim(revision: str) -> None:
        with transaction():
            db.session.execute(text("UPDATE alembic_version SET version_num = :it"), {"it": revision})
        health.forget()

    yield claim
    claim(probing.head())


def told(app: Flask, path: str = "/health") -> tuple[int, dict[str, Any]]:
    answer = app.test_client().get(path)
    assert answer.mimetype == "application/json"
    return answer.status_code, json.loads(answer.text)


def test_all_is_well(app: Flask) -> None:
    heartbeats.beat()
    status, found = told(app)
    assert (status, found["status"], found["degraded"]) == (200, "ok", [])
    assert (found["database"], found["redis"], found["worker"], found["workers"]) == ("ok", "ok", "ok", 1)
    assert (found["queue_age_seconds"], found["version"]) == (0, release.VERSION)
    assert found["time"].endswith("+00:00")
    assert told(app, "/health/ready") == (200, {"status": "ok", "degraded": []})


def test_without_a_worker_and_with_a_job_that_waits_it_is_degraded(app: Flask) -> None:
    with transaction():
        db.session.execute(text("INSERT INTO procrastinate_jobs (queue_name, task_name) VALUES ('default', 'x')"))
        db.session.execute(text("UPDATE procrastinate_events SET at = now() - interval '3 minutes'"))
    status, found = told(app)
    assert (status, found["status"], found["degraded"]) == (200, "degraded", ["worker", "queue"])
    assert found["worker"] == "down"
    assert 180 <= found["queue_age_seconds"] < 200
    assert told(app, "/health/ready")[0] == 200


def test_a_heart_that_stopped_counts_no_more_and_is_forgotten(app: Flask) -> None:
    heartbeats.beat()
    with transaction():
        db.session.execute(text("UPDATE worker_heartbeats SET beat_at = now() - interval '1 minute', name = 'gone'"))
    assert told(app)[1]["worker"] == "down"
    with transaction():
        db.session.execute(text("UPDATE worker_heartbeats SET beat_at = now() - interval '11 minutes'"))
    heartbeats.beat()
    assert heartbeats.forget_gone_due() == 1
    assert [worker.name for worker in heartbeats.workers()] == [heartbeats._Process.name]
    heartbeats.leave()
    assert heartbeats.workers() == []


def test_without_redis_requests_may_come(app: Flask, without_redis: None) -> None:
    heartbeats.beat()
    status, found = told(app)
    assert (status, found["status"], found["redis"], found["degraded"]) == (200, "degraded", "down", ["redis"])
    assert told(app, "/health/ready") == (200, {"status": "degraded", "degraded": ["redis"]})


def test_without_a_database_they_may_not(app: Flask, without_database: None) -> None:
    status, found = told(app)
    assert (status, found["status"], found["database"]) == (503, "down", "down")
    assert (found["worker"], found["queue_age_seconds"], found["redis"]) == ("unknown", None, "ok")
    assert told(app, "/health/ready") == (503, {"status": "not ready", "why": ["database"]})
    assert told(app, "/health/live") == (200, {"status": "ok"})


def test_a_schema_that_is_behind_is_not_served(app: Flask, schema: Any) -> None:
    schema("0001")
    assert told(app, "/health/ready") == (503, {"status": "not ready", "why": ["migrations"]})
    assert told(app)[1]["database"] == "not migrated"


def test_the_schema_of_a_later_release_is(app: Flask, schema: Any) -> None:
    schema("9999_of_tomorrow")
    assert told(app, "/health/ready")[0] == 200


def test_a_process_that_is_about_to_end_wants_no_more_requests(app: Flask) -> None:
    draining.start()
    assert told(app, "/health/ready") == (503, {"status": "not ready", "why": ["draining"]})
    assert told(app)[0] == 200


def test_a_database_that_hangs_is_told_within_the_time(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    until = threading.Event()
    monkeypatch.setattr(probing, "_ask", lambda _url: until.wait(20) and None)
    started = time.monotonic()
    assert told(app, "/health/ready")[0] == 503
    assert time.monotonic() - started < 2
    until.set()


def test_a_server_that_vanished_during_a_look_is_given_up(app: Flask) -> None:
    """Else the process is not ready for hours after the database is back: one look at a time."""
    with probing._engine(app.config["SQLALCHEMY_DATABASE_URI"]).connect() as connection:
        used = connection.connection.dbapi_connection.get_dsn_parameters()  # type: ignore[union-attr]  # psycopg2's
    assert int(used["keepalives_idle"]) + int(used["keepalives_interval"]) * int(used["keepalives_count"]) <= 20
    assert int(used["tcp_user_timeout"]) <= 20_000
    assert used["connect_timeout"] == "1"


def test_a_pool_that_is_used_up_is_told_at_once_and_is_no_reason_to_go(app: Flask) -> None:
    db.session.rollback()
    held = [db.engine.connect() for _ in range(app.config["DATABASE_POOL_SIZE"])]
    try:
        started = time.monotonic()
        status, found = told(app)
        assert (status, found["status"], found["database"]) == (503, "down", "busy")
        assert told(app, "/health/ready")[0] == 200
        assert time.monotonic() - started < 3
    finally:
        for connection in held:
            connection.close()


def test_a_verb_that_does_not_come_back_is_named(app: Flask) -> None:
    heartbeats.turned("poll_due", 0.2)
    heartbeats.turned("take_snapshots_due", 600, failed=True)
    heartbeats.worked("send_mail")
    heartbeats.beat()
    with transaction():
        db.session.execute(text("UPDATE worker_heartbeats SET beat_at = now() - interval '5 minutes'"))
    [worker] = heartbeats.workers()
    assert worker.late == ["poll_due"]
    assert worker.turns["take_snapshots_due"]["failed"] == 1
    assert worker.jobs == {"send_mail": {"done": 1, "failed": 0}}
    assert not worker.is_alive


def test_the_version_is_the_projects(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
    assert project["version"] == release.VERSION
    assert release.revision({"COMMIT": "abc"}) == "abc"
    monkeypatch.setenv("RENDER_GIT_COMMIT", "f" * 40)
    assert release.name({"COMMIT": ""}) == f"namaskah@{release.VERSION}+ffffffffffff"
