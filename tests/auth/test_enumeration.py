"""Nobody learns from an answer whether an address has an account. The time it takes: bench/enumeration.py."""

from collections.abc import Callable, Iterator

import pytest
from flask import Flask
from sqlalchemy import func, select
from werkzeug.test import TestResponse

from namaskah.auth import accounts
from namaskah.auth.models import AuditEvent, User
from namaskah.db import db
from tests.auth.people import PASSWORD, Browser

NEW = "seven quiet kettles"
Ask = Callable[[Browser, str], Iterator[TestResponse]]


def log_in(browser: Browser, email: str) -> Iterator[TestResponse]:
    yield browser.log_in(email, "wrong horse river")


def register(browser: Browser, email: str) -> Iterator[TestResponse]:
    yield browser.submit("/register", email=email, password=NEW, accept="y")
    yield browser.get("/verify-email")
    yield browser.get("/verify-email")  # what was flashed is gone


def faulty_register(browser: Browser, email: str) -> Iterator[TestResponse]:
    yield browser.submit("/register", email=email, password="short")


def forget(browser: Browser, email: str) -> Iterator[TestResponse]:
    yield browser.submit("/forgot-password", email=email)
    yield browser.get("/forgot-password/sent")


def resend(browser: Browser, email: str) -> Iterator[TestResponse]:
    browser.submit("/register", email=email, password=NEW, accept="y")
    yield browser.submit("/verify-email/resend", page="/verify-email")
    yield browser.get("/verify-email")


def too_often(browser: Browser, email: str) -> Iterator[TestResponse]:
    for _ in range(4):
        yield browser.submit("/forgot-password", email=email)


def change_email(browser: Browser, email: str) -> Iterator[TestResponse]:
    accounts.register("somebody@example.com", PASSWORD, "en")
    browser.log_in("somebody@example.com")
    yield browser.submit("/account/email", email=email)
    yield browser.get("/account/email")


def seen(answer: TestResponse, email: str) -> tuple[int, int, list[tuple[str, str]]]:
    """What a stranger sees of an answer: status, length, and headers but for their time and what is random in them."""
    headers = []
    for name, value in answer.headers:
        if name == "Set-Cookie":
            cookie, _equals, rest = value.partition("=")
            headers.append((name, f"{cookie}{rest[rest.index(';') :].partition(' Expires')[0]}"))
        elif name == "X-Request-ID":
            headers.append((name, str(len(value))))
        elif name != "Date":
            headers.append((name, value.replace(email, "")))
    return answer.status_code, len(answer.data), headers


@pytest.mark.parametrize("ask", [log_in, register, faulty_register, forget, resend, too_often, change_email])
@pytest.mark.parametrize("is_verified", [True, False])
def test_known_and_unknown_addresses_get_the_same_answers(
    open_browser: Callable[[], Browser], user: User, ask: Ask, is_verified: bool
) -> None:
    if is_verified:
        accounts.confirm_email(accounts.verification_token(user))
    unknown = "".join(reversed(user.email.partition("@")[0])) + "@example.com"
    assert accounts.find_by_email(unknown) is None
    first, second = ([seen(answer, email) for answer in ask(open_browser(), email)] for email in (user.email, unknown))
    assert first == second


def test_the_comparison_would_see_a_difference(browser: Browser, user: User) -> None:
    other = f"longer{user.email}"
    assert seen(browser.log_in(user.email, "wrong"), user.email) != seen(browser.log_in(other, "wrong"), other)


def test_asking_for_a_new_password_does_the_same_work_for_every_address(
    app: Flask, browser: Browser, user: User
) -> None:
    def events() -> int:
        with app.app_context():
            return db.session.scalar(select(func.count()).select_from(AuditEvent)) or 0

    before = events()
    for email in (user.email, f"other{user.email}"):
        browser.submit("/forgot-password", email=email)
    assert events() == before, "who it is about is found out by the worker"
