"""Anybody can see how the service is, in their language, and so that nothing of the inside shows."""

from datetime import timedelta

import pytest
from flask import Flask
from sqlalchemy import text
from sqlalchemy.exc import OperationalError

from namaskah.auth.models import User
from namaskah.db import db, transaction
from namaskah.watch import heartbeats, measuring, status
from tests.support import log_in
from tests.watch.conftest import Page


def shown(app: Flask) -> str:
    status.forget()
    answer = app.test_client().get("/status")
    assert answer.status_code == 200
    return answer.text


def test_before_the_first_measurement_nothing_is_claimed(app: Flask) -> None:
    page = shown(app)
    assert "We do not know just now" in page
    assert "Everything works" not in page
    assert "Not measured yet" in page


def test_when_all_works_it_says_so_with_its_history(app: Flask, page: Page) -> None:
    measuring.measure_due()
    with transaction():
        db.session.execute(
            text("INSERT INTO measured_days (day, part, ok, down) VALUES (current_date - 3, 'codes', 1430, 9)")
        )
    found = shown(app)
    assert "Everything works." in found
    for name in ("Pages", "Buying numbers", "Codes arriving", "Top-ups", "E-mail"):
        assert name in found
    assert "99.37%" in found, "cut, not rounded up"
    assert "The last day with an outage was" in found
    for inside in ("fivesim", "herosms", "procrastinate", "PostgreSQL", "Redis"):
        assert inside not in found


def test_what_does_not_work_is_named_with_what_becomes_of_the_money(app: Flask, page: Page) -> None:
    with transaction():
        db.session.execute(text("UPDATE providers SET paused_until = now() + interval '1 hour'"))
    measuring.measure_due()
    found = shown(app)
    assert "Something does not work just now." in found
    assert "No number can be bought just now. Nobody is charged." in found
    assert "Codes arrive." in found


def test_the_last_hours_codes_are_told_in_a_sentence(app: Flask, page: Page) -> None:
    measuring.measure_due()
    with transaction():
        db.session.execute(text('UPDATE measurements SET figures = \'{"delivered": 9150, "half_within": 20}\''))
    assert "In the last hour 91% of the numbers got their code, half of those within 20 sec." in shown(app)


def test_an_old_measurement_is_no_news(app: Flask, page: Page) -> None:
    measuring.measure_due()
    with transaction():
        db.session.execute(text("UPDATE measurements SET minute = minute - interval '6 minutes'"))
    found = shown(app)
    assert "We do not know just now" in found
    assert "There is no fresh measurement of this." in found


@pytest.mark.parametrize("known", [False, True])
def test_without_a_database_it_says_what_does_not_work(
    app: Flask, alice: User, page: Page, monkeypatch: pytest.MonkeyPatch, known: bool
) -> None:
    if known:
        measuring.measure_due()
        assert "Everything works." in shown(app)

    def gone(*_arguments: object) -> None:
        raise OperationalError("SELECT 1", {}, Exception("gone"))

    client = log_in(app.test_client(), alice)
    monkeypatch.setattr(measuring, "latest", gone)
    monkeypatch.setattr(app.login_manager, "_user_callback", gone)  # type: ignore[attr-defined]
    status.forget()
    answer = client.get("/status")
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "30")
    assert "Something does not work just now." in answer.text
    assert "Pages do not open for everybody. Your money is safe." in answer.text


def test_it_is_read_once_in_ten_seconds(app: Flask, page: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    reads = []
    latest = measuring.latest
    monkeypatch.setattr(measuring, "latest", lambda: reads.append(1) or latest())
    client = app.test_client()
    for _ in range(3):
        client.get("/status")
    assert len(reads) == 1


def test_every_part_has_a_sentence_for_every_state() -> None:
    assert set(status.SENTENCES) == {(part, state) for part in status.NAMES for state in ("ok", "degraded", "down")}
    assert set(status.NAMES) == set(status.judging.PARTS)


@pytest.mark.parametrize(
    ("row", "look"),
    [
        (None, ""),
        ({"ok": 0, "degraded": 0, "down": 0}, ""),
        ({"ok": 1440, "degraded": 0, "down": 4}, "good"),
        ({"ok": 1430, "degraded": 0, "down": 5}, "bad"),
        ({"ok": 1420, "degraded": 15, "down": 0}, "warn"),
    ],
)
def test_a_days_bar(row: dict[str, int] | None, look: str) -> None:
    assert status._look(row) == look
    assert timedelta(days=status.DAYS) == measuring.DAYS_KEPT


def test_the_operator_sees_whether_workers_run(app: Flask, admin: User) -> None:
    assert "No worker runs" in log_in(app.test_client(), admin).get("/admin/").text
    heartbeats.beat()
    assert "1 worker runs." in log_in(app.test_client(), admin).get("/admin/").text
