"""What Sentry hears, at a server that speaks its protocol: errors and times of requests, jobs and periodic verbs, with
release, request and number of the user, and nothing that anybody typed."""

import secrets
from collections.abc import Iterator
from typing import Any

import pytest
import sentry_sdk
from flask import Flask
from flask_login import current_user
from sqlalchemy import text

from namaskah import crashes, release, tracing, worker
from namaskah.auth.models import User
from namaskah.db import db
from tests.support import log_in, wait_until
from tests.watch.sentry_server import SentryServer
from tests.watch.test_request_ids import performed

SECRET = f"CNRY-{secrets.token_hex(8)}"


@pytest.fixture
def sentry(app: Flask) -> Iterator[SentryServer]:
    made = SentryServer()
    crashes.report_to(dict(app.config) | {"SENTRY_DSN": made.dsn, "SENTRY_TRACES_PERCENT": 10_000})
    yield made
    sentry_sdk.get_client().close(timeout=2)
    sentry_sdk.get_global_scope().set_client(None)
    made.stop()


def sent(sentry: SentryServer, kind: str, count: int = 1) -> list[dict[str, Any]]:
    sentry_sdk.flush(5)
    wait_until(lambda: len(sentry.of(kind)) >= count, 5, f"{count} of {kind}")
    assert sentry.refused == []
    return sentry.of(kind)


def fail(**_arguments: object) -> str:
    hidden = SECRET
    db.session.execute(text("SELECT 1"))
    raise RuntimeError(f"a fault with {hidden}")


def test_an_error_of_a_request(app: Flask, alice: User, sentry: SentryServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(app.config, "PROPAGATE_EXCEPTIONS", False)
    client = log_in(app.test_client(), alice)
    headers = {"X-Request-ID": "sentry-test-1", "User-Agent": SECRET, "Referer": f"http://localhost/{SECRET}"}

    def look(**arguments: object) -> str:
        assert current_user.is_authenticated
        return fail(**arguments)

    monkeypatch.setitem(app.view_functions, "wallet.show", look)
    assert client.get(f"/wallet?q={SECRET}", headers=headers).status_code == 500
    [event] = sent(sentry, "event")
    assert event["exception"]["values"][-1]["type"] == "RuntimeError"
    assert event["tags"]["request_id"] == "sentry-test-1"
    assert event["user"] == {"id": str(alice.id)}
    assert event["release"] == release.name(app.config)
    assert event["environment"] == "test"
    [timed] = sent(sentry, "transaction")
    assert timed["transaction"] == "/wallet"
    assert timed["user"] == {"id": str(alice.id)}
    assert timed["tags"]["request_id"] == "sentry-test-1"
    assert timed["contexts"]["trace"]["op"] == "http.server"
    assert {"db"} <= {span["op"] for span in timed["spans"]}
    assert all(span["description"] == (span.get("op") or "") for span in timed["spans"])
    everything = "".join(sentry.raw)
    for hidden in (SECRET, alice.email, "session=", "SELECT"):
        assert hidden not in everything


def test_an_error_of_a_job_is_told_once_with_the_request_that_caused_it(app: Flask, sentry: SentryServer) -> None:
    run = performed(app, "send_mail", fail)
    with pytest.raises(RuntimeError) as raised:
        run(to=SECRET, _request_id="sentry-test-2")
    # The queue writes the same error into the log.
    worker.log.error("Job send_mail[1] ended with status: Error", exc_info=raised.value)
    run = performed(app, "make_export", lambda: None)
    run()
    times = sent(sentry, "transaction", 2)
    [event] = sent(sentry, "event")
    assert event["tags"] == {"request_id": "sentry-test-2", "work": "job send_mail"}
    assert [(each["transaction"], each["contexts"]["trace"]["op"]) for each in times] == [
        ("send_mail", "job"),
        ("make_export", "job"),
    ]
    assert SECRET not in "".join(sentry.raw)


def test_an_error_of_a_periodic_verb(app: Flask, sentry: SentryServer) -> None:
    stop = worker.threading.Event()

    def poll_something() -> int:
        stop.set()
        tracing.current_id()
        raise RuntimeError(SECRET)

    worker._repeat(app, worker.Every(0.01, poll_something), stop)
    [event] = sent(sentry, "event")
    assert event["tags"]["work"] == "verb poll_something"
    assert len(event["tags"]["request_id"]) == 32
    assert SECRET not in "".join(sentry.raw)


def test_turns_are_timed_a_fiftieth_as_often() -> None:
    share = crashes._sampler(0.5)
    assert share({"transaction_context": {"op": "verb"}}) == 0.01
    assert share({"transaction_context": {"op": "job"}}) == share({}) == 0.5


def test_without_an_address_nothing_is_told(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    crashes.report_to(dict(app.config) | {"SENTRY_DSN": ""})
    assert not sentry_sdk.get_client().is_active()
    with crashes.timed("job", "x"):
        pass


def test_what_is_no_envelope_is_refused_by_the_tests_own_server() -> None:
    server = SentryServer()
    assert server.take("/api/42/store/", {}, b"{}") == 400
    good = {"Content-Type": "application/x-sentry-envelope", "X-Sentry-Auth": "Sentry sentry_key=public-key"}
    assert server.take("/api/42/envelope/", good, b"no json\n{}") == 400
    body = b'{"event_id":"1"}\n{"type":"event","length":10}\n{"a":"\\n"}\n{"type":"x"}\n{}\n'
    assert server.take("/api/42/envelope/", good, body) == 200
    assert server.items == [("event", {"a": "\n"}), ("x", {})]
    server.stop()
