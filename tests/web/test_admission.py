"""Which requests come in: for our own name, by https, from our own pages, by methods we know."""

import re

import pytest
from flask import Flask
from sqlalchemy import text

from namaskah import admission
from namaskah.auth.models import User
from namaskah.db import db
from tests.support import log_in
from tests.web.site import SECURE, SITE, get, visitor


@pytest.mark.parametrize(
    "host", ["evil.example", "numbers.example.evil.example", "numbers.example@evil.example", "[::1]"]
)
def test_another_host_is_refused_and_not_repeated(secure_app: Flask, host: str) -> None:
    answer = get(secure_app, "/login", headers={"Host": host})
    assert answer.status_code == 400
    assert "evil" not in answer.text
    assert "evil" not in str(answer.headers)
    assert answer.mimetype == "text/plain"


@pytest.mark.parametrize("host", ["numbers.example", "numbers.example:443", "NUMBERS.example"])
def test_our_own_host_is_let_in(secure_app: Flask, host: str) -> None:
    assert get(secure_app, "/login", headers={"Host": host}).status_code == 200


def test_the_hosts_we_answer_to() -> None:
    config = {"BASE_URL": "https://numbers.example:8443", "TRUSTED_HOSTS": ("www.numbers.example",)}
    assert admission.trusted_hosts(config) == ["numbers.example", "www.numbers.example"]
    config = {"BASE_URL": "http://[2001:db8::7]:8000", "TRUSTED_HOSTS": ()}
    assert admission.trusted_hosts(config) == ["[2001:db8::7]", "localhost", "127.0.0.1", "[::1]"]


@pytest.mark.parametrize(
    "name", ["X-Forwarded-Host", "X-Forwarded-Server", "Forwarded", "X-Forwarded-Prefix", "X-Host"]
)
def test_a_forwarded_host_changes_nothing(secure_app: Flask, name: str) -> None:
    value = "host=evil.example" if name == "Forwarded" else "evil.example"
    answer = get(secure_app, "/account", headers={name: value})
    assert answer.status_code == 303
    assert answer.location == "/login?next=/account"
    assert "evil" not in get(secure_app, "/", headers={name: value}).text


def test_mailed_links_lead_to_our_own_address_whatever_the_request_says(secure_app: Flask, carol: User) -> None:
    said = {"X-Forwarded-Host": "evil.example", "Forwarded": "host=evil.example", "Referer": f"{SITE}/"}
    answer = visitor(secure_app, carol).post("/verify-email/resend", headers=said, **SECURE)
    assert answer.status_code == 303
    letter = str(db.session.scalars(text("SELECT args FROM procrastinate_jobs")).one())
    assert f"{SITE}/verify-email/" in letter
    assert "evil" not in letter


def test_without_proxies_nobody_is_believed_to_have_come_by_https(secure_app: Flask) -> None:
    answer = secure_app.test_client().get(
        "/login", base_url="http://numbers.example", headers={"X-Forwarded-Proto": "https"}
    )
    assert (answer.status_code, answer.location) == (302, "https://numbers.example/login")


def test_the_health_check_is_answered_under_any_name_by_plain_http_and_sets_nothing(secure_app: Flask) -> None:
    answer = secure_app.test_client().get("/health/live", base_url="http://10.0.0.7:8000")
    assert (answer.status_code, answer.json, answer.mimetype) == (200, {"status": "ok"}, "application/json")
    assert "Set-Cookie" not in answer.headers
    assert answer.headers["Cache-Control"] == "no-store"


def test_the_health_check_asks_neither_the_database_nor_redis(
    secure_app: Flask, alice: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = visitor(secure_app, alice)

    def refuse(_token: str) -> None:
        raise AssertionError("the database was asked")

    monkeypatch.setattr(secure_app.login_manager, "_user_callback", refuse)  # type: ignore[attr-defined]
    assert client.get("/health/live", **SECURE).status_code == 200


@pytest.mark.parametrize("site", ["cross-site", "same-site", ""])
def test_a_form_of_another_site_is_refused_by_what_the_browser_says(app: Flask, alice: User, site: str) -> None:
    client = log_in(app.test_client(), alice)
    answer = client.post("/theme", data={"theme": "night"}, headers={"Sec-Fetch-Site": site})
    assert answer.status_code == 403
    assert "another site" in answer.text


@pytest.mark.parametrize(
    "origin", ["https://evil.example", "null", "http://localhost:8001", "http://localhost.evil.example"]
)
def test_a_form_of_another_origin_is_refused(app: Flask, origin: str) -> None:
    assert app.test_client().post("/theme", data={"theme": ""}, headers={"Origin": origin}).status_code == 403


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Sec-Fetch-Site": "same-origin"},
        {"Sec-Fetch-Site": "none"},
        {"Origin": "http://localhost"},
        {"Sec-Fetch-Site": "same-origin", "Origin": "null"},  # what privacy tools make of an origin
    ],
)
def test_our_own_forms_come_in(app: Flask, headers: dict[str, str]) -> None:
    assert app.test_client().post("/theme", data={"theme": ""}, headers=headers).status_code == 303


def test_reading_from_another_site_is_a_link_like_any_other(app: Flask) -> None:
    headers = {"Sec-Fetch-Site": "cross-site", "Origin": "https://evil.example"}
    assert app.test_client().get("/pricing", headers=headers).status_code == 200


def test_programs_have_no_origin_of_ours_and_are_not_asked(app: Flask) -> None:
    headers = {"Origin": "https://api.paystack.co", "Sec-Fetch-Site": "cross-site"}
    assert app.test_client().post("/webhooks/paystack", headers=headers).status_code == 401


@pytest.mark.parametrize("path", ["/webhooks/paystack", "/webhooks/providers/fivesim"])
def test_a_program_that_calls_in_the_clear_is_refused_not_led_on(secure_app: Flask, path: str) -> None:
    answer = secure_app.test_client().post(path, base_url="http://numbers.example")
    assert answer.status_code == 403


@pytest.mark.parametrize(
    "method", ["TRACE", "TRACK", "CONNECT", "PROPFIND", "OPTIONS", "PUT", "DELETE", "PATCH", "EVIL"]
)
@pytest.mark.parametrize("path", ["/", "/login", "/static/app.css", "/webhooks/paystack", "/health/live"])
def test_methods_no_page_has_are_refused(app: Flask, path: str, method: str) -> None:
    answer = app.test_client().open(path, method=method, headers={"X-Echo": "CNRY"})
    assert answer.status_code == 405
    assert "CNRY" not in answer.text + str(answer.headers)
    assert re.fullmatch(r"(GET|HEAD|POST)(, (GET|HEAD|POST))*", answer.headers["Allow"])
