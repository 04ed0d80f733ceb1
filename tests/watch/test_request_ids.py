"""One id goes with a request wherever its work goes: the answer, the error page, jobs, and calls to others."""

import re
from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import text

from namaskah import http, jobs, tracing, worker
from namaskah.auth.models import User
from namaskah.db import db, transaction
from tests.support import log_in
from tests.watch.conftest import Page

GOOD = "edge-1234.abcd_EF"
MADE = r"[0-9a-f]{32}"


def test_an_id_that_is_one_is_taken_over(app: Flask) -> None:
    answer = app.test_client().get("/pricing", headers={"X-Request-ID": GOOD})
    assert answer.headers["X-Request-ID"] == GOOD


@pytest.mark.parametrize(
    "sent", ["", "short", "a" * 65, "with space 123", "<script>alert(1)", "ünïcödë-id", "-dash-first"]
)
def test_what_is_none_is_replaced(app: Flask, sent: str) -> None:
    answer = app.test_client().get("/pricing", headers={"X-Request-ID": sent})
    assert re.fullmatch(MADE, answer.headers["X-Request-ID"])


def test_two_requests_have_two(app: Flask) -> None:
    client = app.test_client()
    assert len({client.get("/pricing").headers["X-Request-ID"] for _ in range(3)}) == 3


@pytest.mark.parametrize(
    ("method", "path", "headers"),
    [
        ("GET", "/nothing-here", {}),
        ("GET", "/account", {}),
        ("GET", "/static/app.css", {}),
        ("GET", "/health/live", {}),
        ("PROPFIND", "/", {}),
        ("POST", "/webhooks/paystack", {}),
        ("GET", "/", {"Host": "evil.example"}),
        ("POST", "/theme", {"Sec-Fetch-Site": "cross-site"}),
    ],
)
def test_every_answer_names_its_own(app: Flask, method: str, path: str, headers: dict[str, str]) -> None:
    answer = app.test_client().open(path, method=method, headers={"X-Request-ID": GOOD, **headers})
    assert answer.headers.getlist("X-Request-ID") == [GOOD]


@pytest.mark.parametrize("headers", [{}, {"HX-Request": "true"}])
def test_an_error_page_shows_it(app: Flask, headers: dict[str, str]) -> None:
    answer = app.test_client().get("/nothing-here", headers={"X-Request-ID": GOOD, **headers})
    assert GOOD in answer.text


def test_a_crash_shows_the_id_that_its_log_lines_have(
    app: Flask, alice: User, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(**_arguments: object) -> str:
        raise RuntimeError("a fault of ours")

    monkeypatch.setitem(app.view_functions, "pages.pricing", broken)
    monkeypatch.setitem(app.config, "PROPAGATE_EXCEPTIONS", False)
    answer = app.test_client().get("/pricing", headers={"X-Request-ID": GOOD})
    assert (answer.status_code, GOOD in answer.text) == (500, True)
    assert "unhandled error" in caplog.text


def test_a_job_belongs_to_the_request_that_caused_it(app: Flask, alice: User, monkeypatch: pytest.MonkeyPatch) -> None:
    log_in(app.test_client(), alice).post("/account/export", headers={"X-Request-ID": GOOD})
    [(name, arguments)] = db.session.execute(
        text("SELECT task_name, args FROM procrastinate_jobs WHERE task_name = 'make_export'")
    ).all()
    assert arguments[jobs.REQUEST_ID] == GOOD
    db.session.rollback()
    seen: list[tuple[str, str, dict[str, Any]]] = []
    done = performed(app, name, lambda **given: seen.append((tracing.known_id(), tracing.work(), given)))
    done(**arguments)
    assert seen == [(GOOD, "job make_export", {key: arguments[key] for key in arguments if key != jobs.REQUEST_ID})]
    assert tracing.known_id() == ""


def performed(app: Flask, name: str, verb: Callable[..., Any]) -> Callable[..., None]:
    """What the queue calls for a job, made as the worker makes it."""
    found: list[Callable[..., None]] = []

    class Queue:
        def task(self, **_options: object) -> Callable[[Callable[..., None]], None]:
            return found.append

    worker._register(Queue(), app, name, verb)  # type: ignore[arg-type]
    return found[0]


def test_a_job_of_nobody_has_none_in_its_arguments(app: Flask) -> None:
    with transaction():
        jobs.defer("no_such_task", number=1)
    assert db.session.scalar(text("SELECT args FROM procrastinate_jobs")) == {"number": 1}


def test_a_call_to_somebody_else_carries_it(page: Page) -> None:
    with tracing.working("job test", GOOD):
        http.request("GET", page.url)
    with tracing.working("verb test"):
        http.request("GET", page.url)
        http.request("GET", page.url)
    ids = [asked["x-request-id"] for asked in page.asked]
    assert ids[0] == GOOD
    assert re.fullmatch(MADE, ids[1])
    assert ids[1] == ids[2]
