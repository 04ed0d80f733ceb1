"""The operator's page of exchange rates."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select, text

from namaskah.auth.models import AuditEvent, User
from namaskah.db import db, transaction
from namaskah.numbers import rates
from tests.support import log_in

ADDRESS = "/admin/rates"


@pytest.fixture
def browser(client: FlaskClient, admin: User) -> FlaskClient:
    return log_in(client, admin)


def send(browser: FlaskClient, **fields: str) -> Any:
    return browser.post(ADDRESS, data={"currency": "USD", "rate": "1,650.50"} | fields)


def test_the_page_shows_what_holds_and_where_it_is_from(browser: FlaskClient) -> None:
    page = browser.get(ADDRESS).text
    assert "The settings" in page and "of unknown age" in page and ">1,600<" in page
    assert "Nothing was set yet" in page and "is_meant" not in page


def test_a_rate_is_set_and_shown_with_its_history(browser: FlaskClient, admin: User) -> None:
    old = datetime.now(UTC) - timedelta(days=9)
    rates.set_rate("USD", Decimal(1590), "operator:ada", source="<b>bank</b>", at=old)
    assert "9 days old" in browser.get(ADDRESS).text
    assert "Prices are made from an old exchange rate: USD" in browser.get("/admin/").text
    answer = send(browser, source="market")
    assert (answer.status_code, answer.location) == (303, ADDRESS)
    page = browser.get(ADDRESS).text
    for shown in ("1,650.5", "1,590", "market", "&lt;b&gt;bank&lt;/b&gt;", "operator:ada", admin.email):
        assert shown in page
    assert "days old" not in page and "<b>bank" not in page
    assert "old exchange rate" not in browser.get("/admin/").text
    event = db.session.scalars(select(AuditEvent).filter_by(kind="rate_set", user_id=admin.id)).one()
    assert event.details["rate"] == "1,650.5"


def test_a_rate_far_from_the_one_before_is_asked_about(browser: FlaskClient) -> None:
    asked = send(browser, rate="16000")
    assert asked.status_code == 409
    assert "That is far from the rate before, 1,600" in asked.text and 'name="is_meant"' in asked.text
    assert 'value="16000"' in asked.text
    assert rates.history() == []
    assert send(browser, rate="16000", is_meant="y").status_code == 303
    db.session.rollback()
    assert rates.rate_at("USD").rate == 16000


def test_one_to_come_is_typed_in_the_readers_zone(browser: FlaskClient, admin: User) -> None:
    with transaction():
        db.session.execute(text("UPDATE users SET timezone = 'Africa/Lagos'"))
    db.session.expire_all()
    assert send(browser, starts="2190-01-05T09:00").status_code == 303
    [row] = rates.history()
    assert row.valid_from == datetime(2190, 1, 5, 8, tzinfo=UTC)
    assert rates.rate_at("USD").rate == 1600
    assert "To come" in browser.get(ADDRESS).text


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"currency": "dollar"}, "three letters"),
        ({"currency": "NGN"}, "it needs no rate"),
        ({"rate": "1600,50"}, "Write a rate above zero"),
        ({"rate": "0"}, "Write a rate above zero"),
        ({"rate": ""}, "Write a rate above zero"),
        ({"starts": "soon"}, "Write a day and time"),
        ({"starts": "9999-01-01"}, "Write a day and time"),
        ({"source": "x" * 121}, "Say it shorter."),
    ],
)
def test_what_makes_no_sense_comes_back_and_sets_nothing(
    browser: FlaskClient, fields: dict[str, str], told: str
) -> None:
    answer = send(browser, **fields)
    assert answer.status_code == 422 and told in answer.text
    assert rates.history() == []


def test_it_is_set_only_by_who_has_just_proved_who_they_are(app: Flask, admin: User) -> None:
    browser = log_in(app.test_client(), admin)
    with transaction():
        db.session.execute(text("UPDATE sessions SET confirmed_at = now() - interval '2 hours'"))
    db.session.expire_all()
    answer = send(browser)
    assert answer.status_code == 303 and "/confirm" in answer.location
    assert rates.history() == []


def test_a_rate_of_the_settings_is_told_of_unless_nobody_wants_to_know(
    app: Flask, browser: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = "The exchange rate of USD is the one of the settings and has no date"
    assert told in browser.get("/admin/").text
    monkeypatch.setitem(app.config, "FX_STALE_DAYS", 0)
    assert told not in browser.get("/admin/").text
    assert "of unknown age" not in browser.get(ADDRESS).text


def test_a_provider_without_a_rate_is_told_of(
    app: Flask, browser: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(app.config, "FX_RATES", {})
    told = "Without a rate nothing is sold of providers that are paid in USD"
    assert told in browser.get(ADDRESS).text
    assert told in browser.get("/admin/").text
