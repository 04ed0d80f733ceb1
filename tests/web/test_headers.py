"""What every answer tells the browser about what it may do with it."""

import re

import pytest
from flask import Flask

from namaskah.auth import devices
from namaskah.auth.models import User
from tests.support import log_in
from tests.web.site import SECURE, SITE, get, visitor

PATHS = ["/", "/login", "/nothing-here", "/static/app.css", "/webhooks/paystack", "/numbers/offers", "/health/live"]


@pytest.mark.parametrize("path", PATHS)
def test_every_answer_keeps_the_browser_strict(secure_app: Flask, path: str) -> None:
    headers = get(secure_app, path).headers
    assert headers["Strict-Transport-Security"] == "max-age=31536000; includeSubDomains"
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["X-Frame-Options"] == "DENY"
    assert headers["Referrer-Policy"] == "same-origin"
    assert headers["Cross-Origin-Opener-Policy"] == "same-origin"
    assert headers["Cross-Origin-Embedder-Policy"] == "require-corp"
    assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
    assert "camera=()" in headers["Permissions-Policy"]


def test_the_content_policy_lets_in_only_what_is_ours(secure_app: Flask) -> None:
    policy = get(secure_app, "/").headers["Content-Security-Policy"]
    rules = dict(rule.split(" ", 1) for rule in policy.split("; "))
    assert rules.pop("require-trusted-types-for") == "'script'"
    assert rules.pop("trusted-types") == "htmx"
    nothing = {"default-src", "object-src", "base-uri", "frame-ancestors"}
    assert {name for name, value in rules.items() if value == "'none'"} == nothing
    assert {value for name, value in rules.items() if name not in nothing} == {"'self'"}
    assert {"script-src", "style-src", "form-action"} <= rules.keys()


def test_plain_http_leads_to_https_on_the_same_host_and_promises_nothing(secure_app: Flask) -> None:
    answer = secure_app.test_client().get("/numbers?service=telegram", base_url="http://numbers.example")
    assert (answer.status_code, answer.location) == (302, f"{SITE}/numbers?service=telegram")
    assert "Strict-Transport-Security" not in answer.headers


def test_development_over_plain_http_has_no_redirect_and_cookies_that_work(app: Flask) -> None:
    answer = app.test_client().get("/login")
    assert answer.status_code == 200
    assert "Secure" not in answer.headers["Set-Cookie"]


def test_all_our_cookies_belong_to_this_host_alone(secure_app: Flask, alice: User) -> None:
    client = visitor(secure_app, alice)
    # What a log-in sets, through the product's own verb.
    with secure_app.test_request_context("/login", method="POST", **SECURE):
        devices.remember(alice)
        response = secure_app.process_response(secure_app.make_response("done"))
    cookies = [*client.get("/account", **SECURE).headers.getlist("Set-Cookie"), *response.headers.getlist("Set-Cookie")]
    cookies += get(secure_app, "/login").headers.getlist("Set-Cookie")
    assert len(cookies) >= 2
    for cookie in cookies:
        assert cookie.startswith("__Host-")
        for attribute in ("Secure", "HttpOnly", "SameSite=Lax", "Path=/"):
            assert attribute in cookie
        assert "Domain" not in cookie


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/", "text/html; charset=utf-8"),
        ("/nothing-here", "text/html; charset=utf-8"),
        ("/static/app.css", "text/css; charset=utf-8"),
        ("/static/app.js", "text/javascript; charset=utf-8"),
        ("/static/vendor/htmx-4.0.1.min.js", "text/javascript; charset=utf-8"),
        ("/static/manifest.webmanifest", "application/manifest+json"),
        ("/static/favicon.svg", "image/svg+xml; charset=utf-8"),
        ("/static/icon-192.png", "image/png"),
        ("/health/live", "application/json"),
    ],
)
def test_answers_say_exactly_what_they_are(secure_app: Flask, path: str, kind: str) -> None:
    assert get(secure_app, path).headers["Content-Type"] == kind


PRIVATE = [
    "/account",
    "/wallet",
    "/wallet/statement",
    "/activations",
    "/",
    "/numbers",
    "/numbers/search?q=te",
    "/nothing",
]


@pytest.mark.parametrize("path", PRIVATE)
def test_what_only_its_owner_may_see_is_kept_nowhere(app: Flask, alice: User, path: str) -> None:
    assert log_in(app.test_client(), alice).get(path).headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize("path", ["/login", "/register", "/verify-email/some-token", "/account", "/webhooks/paystack"])
def test_pages_about_accounts_are_kept_nowhere_even_of_visitors(app: Flask, path: str) -> None:
    assert app.test_client().get(path).headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize("path", ["/", "/pricing", "/terms", "/numbers"])
def test_open_pages_are_asked_for_again(app: Flask, path: str) -> None:
    assert app.test_client().get(path).headers["Cache-Control"] == "private, no-cache"


def test_files_whose_address_names_their_content_are_kept_for_good(app: Flask) -> None:
    answer = app.test_client().get("/static/app.css?v=1")
    assert answer.headers["Cache-Control"] == "public, max-age=31536000, immutable"
    assert "Set-Cookie" not in answer.headers
    assert "Cookie" not in answer.headers.get("Vary", "")


@pytest.mark.parametrize("path", ["/", "/nothing-here", "/account", "/numbers/search?q=te"])
def test_pages_say_what_they_differ_by(app: Flask, path: str) -> None:
    vary = app.test_client().get(path).headers["Vary"]
    assert {"HX-Request", "Accept-Language", "Cookie"} <= set(re.split(r",\s*", vary))


def test_logging_out_empties_what_the_browser_keeps_but_not_that_it_is_known(app: Flask, alice: User) -> None:
    client = log_in(app.test_client(), alice)
    client.set_cookie("device", "remembered")
    answer = client.post("/logout")
    assert answer.headers["Clear-Site-Data"] == '"cache", "storage"'
    assert client.get_cookie("device") is not None
    assert client.get("/account").status_code == 303


def test_no_route_lets_another_site_read_it(secure_app: Flask, alice: User) -> None:
    """There is no setting for it: nothing of ours is read by other sites' scripts."""
    client = visitor(secure_app, alice)
    asked = {"Origin": "https://evil.example", "Access-Control-Request-Method": "POST"}
    for rule in secure_app.url_map.iter_rules():
        path = re.sub(r"<[^>]+>", "1", rule.rule)
        for method in {*(rule.methods or ()), "OPTIONS"}:
            if path == "/live":
                continue
            answer = client.open(path, method=method, headers=asked, **SECURE)
            assert [name for name, _value in answer.headers if name.lower().startswith("access-control")] == []
