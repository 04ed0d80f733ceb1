"""Every page scores at least 130 by the rules of Mozilla's Observatory, whoever reads it."""

import re

import pytest
from flask import Flask
from flask.testing import FlaskClient

from namaskah.auth.models import User
from tests.guards.test_routes import Scene
from tests.web.observatory import Page, score
from tests.web.site import SECURE, visitor

WANTED = 130
HOST = "numbers.example"


def scan(client: FlaskClient, path: str) -> Page | None:
    """What a scanner sees of a page; None for what is no page."""
    answer = client.get(path, **SECURE)
    if answer.mimetype != "text/html":
        return None
    plain = client.get(path, base_url=f"http://{HOST}")
    return Page(answer.headers, answer.headers.getlist("Set-Cookie"), answer.text, plain.location)


def paths(app: Flask, values: dict[str, str]) -> list[str]:
    """The address of every route one can look at, its places filled from `values`."""
    found = {rule.rule for rule in app.url_map.iter_rules() if "GET" in (rule.methods or ()) and rule.rule != "/live"}
    for name, value in values.items():
        found = {path.replace(f"<{name}>", value) for path in found}
    return sorted({re.sub(r"<[^>]+>", "unknown", path) for path in found})


@pytest.mark.parametrize("who", ["visitor", "carol", "alice", "admin"])
def test_every_page_scores_at_least_130(secure_app: Flask, scene: Scene, who: str) -> None:
    client = visitor(secure_app, scene.cast[who])
    scanned = {path: scan(client, path) for path in [*paths(secure_app, scene.values), "/nothing-here"]}
    pages = {path: page for path, page in scanned.items() if page}
    assert len(pages) > 20
    low = {path: score(page, HOST) for path, page in pages.items() if score(page, HOST) < WANTED}
    # By the rules from before COOP and COEP were among them, too.
    low |= {path: found for path, page in pages.items() if (found := score(page, HOST, isolation=False)) < WANTED}
    assert low == {}


def test_the_cookie_of_a_log_in_counts(secure_app: Flask, alice: User) -> None:
    page = scan(visitor(secure_app, alice), "/account")
    assert page
    assert any(cookie.startswith("__Host-session=") for cookie in page.cookies)
    assert score(page, HOST) == 155


@pytest.mark.parametrize(
    ("header", "value", "loss"),
    [
        ("Content-Security-Policy", "default-src 'self' 'unsafe-inline'", 75),
        ("Content-Security-Policy", "default-src 'none'; script-src 'self'; frame-ancestors 'none'", 5),
        ("Strict-Transport-Security", "max-age=1000", 10),
        ("Referrer-Policy", "unsafe-url", 10),
        ("X-Content-Type-Options", "", 5),
    ],
)
def test_a_weaker_header_scores_less(secure_app: Flask, header: str, value: str, loss: int) -> None:
    page = scan(visitor(secure_app), "/login")
    assert page
    weaker = Page(dict(page.headers) | {header: value}, page.cookies, page.html, page.http_location)
    assert score(weaker, HOST) <= score(page, HOST) - loss


def test_an_open_cookie_and_a_missing_redirect_cost(secure_app: Flask) -> None:
    page = scan(visitor(secure_app), "/login")
    assert page
    assert score(Page(page.headers, ["session=x; HttpOnly"], page.html, page.http_location), HOST) < score(page, HOST)
    assert score(Page(page.headers, page.cookies, page.html, None), HOST) < WANTED
