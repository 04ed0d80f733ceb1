"""Logging in and out, and what a log-in cookie is worth."""

import time
from collections.abc import Callable

import pytest
from argon2 import PasswordHasher
from flask import Flask
from sqlalchemy import text

from namaskah.auth import accounts, passwords, sessions
from namaskah.auth.models import User
from namaskah.db import db, transaction
from tests.auth.people import PASSWORD, Browser


def test_the_right_password_leads_to_where_one_was_going(browser: Browser, user: User) -> None:
    answer = browser.get("/account")
    assert (answer.status_code, answer.headers["Location"]) == (303, "/login?next=/account")
    answer = browser.submit(answer.headers["Location"], email=f"  {user.email.upper()} ", password=PASSWORD)
    assert (answer.status_code, answer.headers["Location"]) == (303, "/account")
    assert browser.sees_account()


def test_the_way_out_of_the_site_is_not_followed(browser: Browser, user: User) -> None:
    answer = browser.submit("/login?next=//evil.example/", email=user.email, password=PASSWORD)
    assert answer.headers["Location"] == "/numbers"


@pytest.mark.parametrize(
    ("email", "password"),
    [
        ("", "wrong horse river"),
        ("nobody@example.com", PASSWORD),
        ("nobody\x00@example.com", PASSWORD),
        ("ß" * 99, "\x00"),
    ],
)
def test_wrong_password_and_unknown_address_get_the_same_answer(
    browser: Browser, user: User, email: str, password: str
) -> None:
    answer = browser.log_in(email or user.email, password)
    assert answer.status_code == 422
    assert "do not belong together" in answer.text
    assert not browser.sees_account()


def test_an_unknown_address_takes_as_long_as_a_known_one(
    app: Flask, user: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(app.config, "PASSWORD_MEMORY_MIB", 32)
    with app.app_context(), transaction():
        stored = {"h": passwords.hashed(PASSWORD), "i": user.id}
        db.session.execute(text("UPDATE users SET password_hash = :h WHERE id = :i"), stored)

    def seconds(email: str) -> float:
        started = time.perf_counter()
        assert accounts.authenticate(email, "wrong horse river") is None
        return time.perf_counter() - started

    with app.app_context():
        seconds("nobody@example.com")
        known = min(seconds(user.email) for _ in range(5))
        unknown = min(seconds("nobody@example.com") for _ in range(5))
    assert unknown > known / 2


def test_cookies_cannot_be_read_by_scripts_nor_sent_by_other_sites(browser: Browser, user: User) -> None:
    cookies = browser.log_in(user.email).headers.getlist("Set-Cookie")
    assert len(cookies) == 2
    for cookie in cookies:
        assert "HttpOnly" in cookie
        assert "SameSite=Lax" in cookie


def test_logging_in_forgets_what_the_session_carried_but_the_language(browser: Browser, user: User) -> None:
    browser.get("/language/ar")
    with browser.client.session_transaction() as session:
        session["planted"] = "by somebody before"
    browser.log_in(user.email)
    with browser.client.session_transaction() as session:
        assert "planted" not in session
        assert session["language"] == "ar"


def test_a_closed_browser_is_remembered(browser: Browser, user: User) -> None:
    [session] = [c for c in browser.log_in(user.email).headers.getlist("Set-Cookie") if c.startswith("session=")]
    assert "Expires=" in session


def test_logging_out_takes_the_memory_along(browser: Browser, user: User) -> None:
    browser.log_in(user.email)
    answer = browser.submit("/logout", page="/account")
    assert (answer.status_code, answer.headers["Location"]) == (303, "/")
    assert not browser.sees_account()


def test_a_tab_led_to_the_log_in_while_another_logs_out_can_send_it(browser: Browser, user: User) -> None:
    """The other tab's answer and its next page come after the form was loaded, and set the cookie once more."""
    browser.log_in(user.email)
    browser.get("/account")
    cookie = browser.client.get_cookie("session")
    browser.submit("/logout", page="/account")
    after = browser.client.get_cookie("session")
    assert cookie and after
    browser.client.set_cookie("session", cookie.value)
    protection = browser.protection("/login")
    browser.client.set_cookie("session", after.value)
    browser.get("/")
    assert protection
    answer = browser.post("/login", data=protection | {"email": user.email, "password": PASSWORD})
    assert answer.status_code == 303


def test_a_ban_works_at_once_and_is_told_only_to_who_knows_the_password(
    open_browser: Callable[[], Browser], user: User, ban: Callable[[User], None]
) -> None:
    inside, outside = open_browser(), open_browser()
    inside.log_in(user.email)
    ban(user)
    assert not inside.sees_account()
    answer = outside.log_in(user.email)
    assert answer.status_code == 422
    assert "account is closed" in answer.text
    assert "account is closed" not in outside.log_in(user.email, "wrong horse river").text


def test_a_hash_of_older_parameters_is_renewed(app: Flask, user: User, fresh: Callable[[User], User]) -> None:
    weak = PasswordHasher(time_cost=1, memory_cost=512, parallelism=1).hash(PASSWORD)
    with app.app_context(), transaction():
        db.session.execute(text("UPDATE users SET password_hash = :h WHERE id = :i"), {"h": weak, "i": user.id})
    with app.app_context():
        assert accounts.authenticate(user.email, PASSWORD) is not None
    assert "m=1024,t=3,p=1" in fresh(user).password_hash
    with app.app_context():
        assert accounts.authenticate(user.email, PASSWORD) is not None


def test_a_password_that_is_changed_while_it_is_checked_opens_nothing(
    app: Flask, user: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    really_matches = passwords.matches

    def change_first(stored: str, password: str) -> bool:
        with transaction():
            new = {"h": passwords.hashed("another one, quite long"), "i": user.id}
            db.session.execute(text("UPDATE users SET password_hash = :h WHERE id = :i"), new)
        return really_matches(stored, password)

    monkeypatch.setattr(passwords, "matches", change_first)
    assert accounts.authenticate(user.email, PASSWORD) is None


def test_no_session_begins_with_a_password_that_was_changed_before_it(app: Flask, user: User) -> None:
    checked = accounts.authenticate(user.email, PASSWORD)
    assert checked
    db.session.expunge(checked)
    with transaction():
        db.session.execute(text("UPDATE users SET password_hash = 'new' WHERE id = :i"), {"i": user.id})
    with app.test_request_context(), pytest.raises(sessions.PasswordChanged):
        sessions.log_in(checked, "password")
    assert sessions.of_user(user) == []


def test_a_hash_that_is_renewed_does_not_undo_a_change(
    app: Flask, user: User, fresh: Callable[[User], User], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(passwords, "is_outdated", lambda stored: True)
    really_hashed = passwords.hashed

    def change_first(password: str) -> str:
        with transaction():
            db.session.execute(text("UPDATE users SET password_hash = 'new' WHERE id = :i"), {"i": user.id})
        return really_hashed(password)

    monkeypatch.setattr(passwords, "hashed", change_first)
    assert accounts.authenticate(user.email, PASSWORD) is None
    assert fresh(user).password_hash == "new"


def test_without_its_token_the_form_does_nothing(app: Flask, browser: Browser, user: User) -> None:
    answer = browser.post("/login", data={"email": user.email, "password": PASSWORD})
    assert answer.status_code == 400
    assert not browser.sees_account()
