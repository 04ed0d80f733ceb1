"""Several web processes and a worker: what they tell together, what they write, and what is said when something that
they stand on goes away."""

import http.client
import json
import os
import signal
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psycopg2
import pytest
from prometheus_client.parser import text_string_to_metric_families

from dev.redis import Redis, start_redis
from namaskah.sandbox import Sandbox
from tests import support
from tests.support import Installation, installation, wait_until
from tests.web.canary_stand import Person

TOKEN = "a-token-of-this-test-alone"


@dataclass
class Stand:
    site: Installation
    redis: Redis
    data: Path
    admin_url: str
    database: str

    def get(self, path: str, **headers: str) -> tuple[int, dict[str, str], str]:
        """Over a connection of its own, so that any of the processes may answer."""
        with closing(http.client.HTTPConnection("127.0.0.1", self.site.port, timeout=40)) as connection:
            connection.request("GET", path, headers={"Connection": "close", **headers})
            answer = connection.getresponse()
            return (
                answer.status,
                {name.lower(): value for name, value in answer.headers.items()},
                answer.read().decode(),
            )

    def told(self, path: str) -> tuple[int, Any]:
        status, _headers, body = self.get(path)
        return status, json.loads(body)

    def metric(self, name: str, **labels: str) -> float | None:
        status, _headers, body = self.get("/metrics", Authorization=f"Bearer {TOKEN}")
        assert status == 200
        for family in text_string_to_metric_families(body):
            for sample in family.samples:
                if sample.name == name and labels.items() <= sample.labels.items():
                    return sample.value
        return None

    def lines(self, name: str) -> list[dict[str, Any]]:
        return [json.loads(line) for line in (self.site.logs / f"{name}.log").read_text().splitlines()]

    def let_in(self, allowed: bool) -> None:
        """Whether the database takes connections; those there are are cut when it does not."""
        with closing(psycopg2.connect(self.admin_url.replace("+psycopg2", ""))) as connection:
            connection.autocommit = True
            with connection.cursor() as cursor:
                cursor.execute(f"ALTER DATABASE {self.database} ALLOW_CONNECTIONS {str(allowed).lower()}")
                for _ in range(0 if allowed else 3):  # one that was just being let in is not among them the first time
                    cursor.execute(
                        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", (self.database,)
                    )
                    time.sleep(0.2)


@pytest.fixture(scope="module")
def stand(worker_number: int, tmp_path_factory: pytest.TempPathFactory, sandbox: Sandbox) -> Iterator[Stand]:
    data = tmp_path_factory.mktemp("processes")
    name = f"namaskah_processes_{worker_number}"
    url = support.clone_template(os.environ["TEST_DATABASE_URL"], name)
    redis = start_redis(data)
    environment = support.settings(url, redis.url, sandbox)
    environment |= {"LOG_FORMAT": "json", "LOG_LEVEL": "INFO", "METRICS_TOKEN": TOKEN, "COMMIT": "c0ffee"}
    with installation(environment, data) as site:
        made = Stand(site, redis, data, os.environ["TEST_DATABASE_URL"], name)
        site.start_web(workers=3)
        site.environment["STATUS_URL"] = f"{site.url}/"
        site.start_worker()
        wait_until(lambda: made.told("/health")[1]["worker"] == "ok", 30, "the worker's first heartbeat")
        yield made
    with suppress(ProcessLookupError):
        made.redis.stop()


def test_whichever_process_is_asked_tells_of_all(stand: Stand) -> None:
    labels = {"method": "GET", "route": "/terms", "status": "200"}
    asked, answered = 0, set[int]()
    while asked < 40 or len(answered) < 2:  # a system that has little to do may wake the same one again and again
        assert asked < 2_000, "one process alone was asked"
        assert stand.get("/terms")[0] == 200
        asked += 1
        if asked % 40 == 0:
            answered = {line["process"] for line in stand.lines("web") if line.get("where") == "GET /terms"}
    # The last is counted a moment after it was answered.
    wait_until(lambda: stand.metric("namaskah_http_requests_total", **labels) == asked, 5, "all to be counted")
    assert {stand.metric("namaskah_http_requests_total", **labels) for _ in range(8)} == {asked}
    assert stand.metric("namaskah_http_request_seconds_count", method="GET", route="/terms") == asked
    os.kill(answered.pop(), signal.SIGKILL)
    wait_until(lambda: stand.metric("namaskah_http_requests_total", **labels), 20, "an answer")
    assert stand.metric("namaskah_http_requests_total", **labels) == asked, "what the killed one had counted is kept"
    assert stand.metric("namaskah_workers") == 1
    assert stand.metric("namaskah_build", commit="c0ffee") == 1


def click(stand: Stand, request_id: str) -> None:
    """Somebody asks for a link, which leaves a job."""
    person = Person(SimpleNamespace(site=stand.site, errors=[]))  # type: ignore[arg-type]
    person.open("/forgot-password")
    sent = {"X-Request-ID": request_id}
    assert person.open("/forgot-password", {"email": "nobody@example.com"}, **sent)[0] == 303


def of_job(stand: Stand, request_id: str, since: int = 0) -> list[dict[str, Any]]:
    return [line for line in stand.lines("worker")[since:] if line.get("request_id") == request_id]


def test_all_that_is_written_is_one_object_a_line_and_names_the_request_in_web_and_worker(stand: Stand) -> None:
    click(stand, "from-click-to-job")
    [line] = wait_until(lambda: of_job(stand, "from-click-to-job"), 20, "the job's line")
    assert line["where"] == "job send_reset_link"
    about = [line for line in stand.lines("web") if line.get("request_id") == "from-click-to-job"]
    [clicked] = [line for line in about if line["logger"] == "namaskah.access"]
    assert (clicked["where"], clicked["status"]) == ("POST /forgot-password", 303)
    for name in ("web", "worker"):
        assert all({"at", "level", "logger", "message"} <= line.keys() for line in stand.lines(name))
        assert "nobody@example.com" not in (stand.site.logs / f"{name}.log").read_text()
    assert any(line["logger"] == "gunicorn.error" and "Listening" in line["message"] for line in stand.lines("web"))
    assert any("worker is ready" in line["message"] for line in stand.lines("worker"))


def test_the_worker_measures_what_the_status_page_tells(stand: Stand) -> None:
    wait_until(lambda: (stand.metric("namaskah_measured_age_seconds") or 1e9) < 100, 30, "the first measurement")
    assert stand.metric("namaskah_part_state", part="pages") == 1
    assert (stand.metric("namaskah_verb_lag_seconds", verb="poll_due") or 0) < 60
    assert "Service status" in stand.get("/status")[2]


def test_redis_away(stand: Stand) -> None:
    stand.redis.stop()
    try:
        status, found = wait_until(
            lambda: (told := stand.told("/health"))[1]["redis"] == "down" and told, 10, "health to see it"
        )
        assert (status, found["status"], found["database"]) == (200, "degraded", "ok")
        assert "redis" in found["degraded"]
        assert stand.told("/health/ready") == (200, {"status": "degraded", "degraded": ["redis"]})
        assert stand.get("/pricing")[0] == 200
        assert stand.metric("namaskah_redis_up") == 0
        assert stand.metric("namaskah_database_up") == 1
    finally:
        stand.redis = start_redis(stand.data)
    wait_until(lambda: stand.told("/health/ready")[1]["degraded"] == [], 10, "Redis back")


def test_the_database_gone(stand: Stand) -> None:
    stand.let_in(False)
    try:
        # Until the first attempt has run out of its second it is "busy": nothing is known yet.
        answered, found = wait_until(
            lambda: (told := stand.told("/health"))[1]["database"] == "down" and told, 15, "health to see it"
        )
        assert (answered, found["status"], found["worker"]) == (503, "down", "unknown")
        wait_until(lambda: stand.told("/health/ready")[1] == {"status": "not ready", "why": ["database"]}, 5)
        assert stand.told("/health/live") == (200, {"status": "ok"})
        status, headers, page = stand.get("/numbers?service=telegram")  # of which nothing is kept in Redis
        assert (status, headers["retry-after"]) == (503, "5")
        assert "Your money is safe" in page
        assert headers["x-request-id"] in page, "what a customer can quote"
        # The page is kept for some seconds.
        page = wait_until(lambda: (told := stand.get("/status"))[0] == 503 and told[2], 30, "the status page to see it")
        assert "Something does not work just now." in page
        time.sleep(1.1)  # for so long each process believes what it saw last
        assert stand.metric("namaskah_database_up") == 0
        assert stand.metric("namaskah_workers") is None
        assert (stand.metric("namaskah_http_requests_total", route="/numbers", status="503") or 0) >= 1
    finally:
        stand.let_in(True)
    wait_until(lambda: stand.told("/health/ready")[0] == 200, 15, "requests to be welcome again")
    assert stand.get("/pricing")[0] == 200
    # The worker is the same process, does its rounds, and takes jobs.
    assert stand.site.processes[-1].poll() is None
    wait_until(lambda: (stand.metric("namaskah_worker_heartbeat_age_seconds") or 99) < 8, 30, "its heart to beat again")
    before = len(stand.lines("worker"))
    click(stand, "after-the-outage")
    wait_until(lambda: of_job(stand, "after-the-outage", before), 30, "a job to be done")


def test_a_worker_that_is_stopped_is_not_missed(stand: Stand) -> None:
    worker = stand.site.processes[-1]
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(25) == 0
    stand.site.processes.remove(worker)
    wait_until(lambda: stand.metric("namaskah_workers") == 0, 5, "its row to go")
    wait_until(lambda: "worker" in stand.told("/health")[1]["degraded"], 10, "health to see it")
