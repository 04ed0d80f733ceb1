"""The rules routes declare, and where they send those who may not pass."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from flask import Blueprint, Flask, url_for
from flask_login import login_user

from namaskah.auth import access
from namaskah.auth.models import User

RULES = {
    "public": access.public,
    "customer": access.customer,
    "verified": access.verified,
    "stepped up": access.stepped_up,
    "admin": access.admin_only,
    "signed": access.signed,
}


@contextmanager
def request_by(app: Flask, user: User | None, **options: object) -> Iterator[None]:
    with app.test_request_context(**options):
        if user:
            login_user(user)
        yield


def outcome(rule: Callable[[Callable[[], str]], Callable[[], str]]) -> str:
    """What a view behind `rule` answers: "in", the page people are sent to, or an error's number."""
    try:
        answer = rule(lambda: "in")()
    except Exception as error:
        return str(getattr(error, "code", error))
    return answer if isinstance(answer, str) else str(answer.headers["Location"]).partition("?")[0]  # type: ignore[unreachable]


@pytest.mark.parametrize(
    ("rule", "outcomes"),
    [
        ("public", ["in", "in", "in", "in"]),
        ("signed", ["in", "in", "in", "in"]),
        ("customer", ["/login", "in", "in", "in"]),
        ("verified", ["/login", "/verify-email", "in", "in"]),
        ("admin", ["/login", "404", "404", "in"]),
    ],
)
def test_who_passes_which_rule(app: Flask, request: pytest.FixtureRequest, rule: str, outcomes: list[str]) -> None:
    for name, expected in zip(("visitor", "carol", "alice", "admin"), outcomes, strict=True):
        user = None if name == "visitor" else request.getfixturevalue(name)
        with request_by(app, user):
            assert outcome(RULES[rule]) == expected, name


@pytest.mark.parametrize("name", RULES)
def test_a_rule_leaves_its_name_and_the_views_own(name: str) -> None:
    def page() -> str:
        """About."""
        return ""

    ruled = RULES[name](page)
    assert ruled.access == name  # type: ignore[attr-defined]
    assert (ruled.__name__, ruled.__doc__) == ("page", "About.")


def test_every_page_of_ours_declares_a_rule(app: Flask) -> None:
    ours = ("auth.", "pages.", "account.")
    undeclared = [
        name
        for name, view in app.view_functions.items()
        if name.startswith(ours) and getattr(view, "access", None) not in RULES
    ]
    assert undeclared == []


def test_that_check_would_find_a_page_without_one(app: Flask) -> None:
    assert not hasattr(Blueprint("x", __name__).get("/x")(lambda: ""), "access")


def sent_to(app: Flask, **options: object) -> str:
    with request_by(app, None, **options):
        answer = access._turn_away_visitors()
        assert answer is not None
        return answer.headers.get("HX-Redirect") or answer.headers["Location"]


def test_a_visitor_comes_back_to_the_page(app: Flask) -> None:
    assert sent_to(app, path="/wallet") == "/login?next=/wallet"
    assert sent_to(app, path="/wallet", query_string="need=5") == "/login?next=/wallet?need%3D5"


def test_a_form_brings_back_to_the_page_it_stood_on(app: Flask) -> None:
    page = "http://localhost/numbers?service=wa"
    assert sent_to(app, path="/x", method="POST", headers={"Referer": page}) == "/login?next=/numbers?service%3Dwa"
    assert sent_to(app, path="/x", method="POST") == "/login?next=/numbers"
    elsewhere = {"Referer": "http://evil.example/wallet"}
    assert sent_to(app, path="/x", method="POST", headers=elsewhere) == "/login?next=/numbers"
    broken = {"Referer": "http://[/wallet"}
    assert sent_to(app, path="/x", method="POST", headers=broken) == "/login?next=/numbers"


def test_htmx_is_told_to_leave_the_page_and_comes_back_to_it(app: Flask) -> None:
    headers = {"HX-Request": "true", "HX-Current-URL": "http://localhost/activations/7"}
    with request_by(app, None, path="/activations/7/part", headers=headers):
        answer = access._turn_away_visitors()
        assert answer is not None
        assert answer.status_code == 200
        assert answer.headers["HX-Redirect"] == url_for("auth.login", next="/activations/7")
        assert "Location" not in answer.headers


@pytest.mark.parametrize(
    "own", ["/", "/numbers", "/numbers?service=wa&country=NG#offers", "/a//b", "/@x", "/é", "/..//x", "/%5cx"]
)
def test_a_path_on_this_site_is_followed(own: str) -> None:
    assert access.safe_next(own) == own


@pytest.mark.parametrize(
    "elsewhere",
    [
        *("", "numbers", "//evil.example", "///evil.example", "/\\evil.example", "\\\\evil.example", "/a\\b"),
        *("https://evil.example", "javascript:alert(1)", "http:/x", "data:,x", "@evil.example", " /x", "?x"),
        *("/\t/evil.example", "/\n/evil.example", "/x\r\nSet-Cookie: a=b", "/\x00", "/\x85x", "/x y", "/" + "x" * 2001),
    ],
)
def test_anything_else_is_not(elsewhere: str) -> None:
    assert access.safe_next(elsewhere) == "/numbers"
    assert access.safe_next(elsewhere, "/") == "/"


def test_no_wish_is_home() -> None:
    assert access.safe_next(None) == "/numbers"
