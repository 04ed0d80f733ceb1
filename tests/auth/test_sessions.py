"""Sessions: kept by the server, ended from anywhere, and over by themselves when idle or old."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from flask import Flask
from sqlalchemy import func, select, update

from namaskah.auth import sessions
from namaskah.auth.models import Session, User
from namaskah.db import db, transaction
from tests.auth.people import Browser
from tests.support import make_user, open_session


def cookie_token(browser: Browser) -> str:
    with browser.client.session_transaction() as session:
        return str(session.get("_user_id", ""))


def move(user: User, **columns: timedelta) -> None:
    """All sessions of a user, so much earlier in these columns."""
    with transaction():
        db.session.execute(
            update(Session)
            .where(Session.user_id == user.id)
            .values({name: getattr(Session, name) - by for name, by in columns.items()})
        )
    db.session.expire_all()


def test_the_token_is_nowhere_in_the_database(app: Flask, alice: User) -> None:
    token = open_session(alice)
    row = db.session.scalars(select(Session)).one()
    assert len(token) >= 43
    assert token.encode() not in row.token_hash
    assert len(row.token_hash) == 32


@pytest.mark.parametrize("token", ["", ".", "7", "\x00", "é", "x" * 5000])
def test_a_made_up_cookie_is_nobody(app: Flask, alice: User, token: str) -> None:
    open_session(alice)
    assert sessions.find_user(token) is None


def test_logging_in_gives_a_new_session_and_the_old_cookie_of_the_browser_is_worth_nothing(
    open_browser: Callable[[], Browser], user: User
) -> None:
    browser, thief = open_browser(), open_browser()
    browser.log_in(user.email)
    first = cookie_token(browser)
    with thief.client.session_transaction() as session:
        session["_user_id"] = first
    assert thief.sees_account()
    browser.submit("/logout", page="/account")
    assert not thief.sees_account(), "a copied cookie must not outlive the log-out"
    browser.log_in(user.email)
    assert cookie_token(browser) not in ("", first)


def test_a_session_is_over_after_its_idle_and_its_whole_time(app: Flask) -> None:
    for role, (idle, oldest) in sessions.LIMITS.items():
        user = make_user(f"{role}@example.com", role=role)
        token = open_session(user)
        second = timedelta(seconds=2)
        move(user, seen_at=idle - second)
        assert sessions.find_user(token)
        move(user, seen_at=2 * second)
        assert sessions.find_user(token) is None
        token = open_session(user)
        move(user, created_at=oldest - second)
        assert sessions.find_user(token)
        move(user, created_at=2 * second)
        assert sessions.find_user(token) is None


def test_being_there_keeps_a_session_alive(open_browser: Callable[[], Browser], app: Flask, user: User) -> None:
    browser = open_browser()
    browser.log_in(user.email)
    with app.app_context():
        move(user, seen_at=timedelta(days=13))
    assert browser.sees_account()
    with app.app_context():
        assert db.session.scalar(select(func.now() - Session.seen_at)) < timedelta(minutes=1)
        move(user, seen_at=timedelta(days=13))
    assert browser.sees_account()


def test_rows_of_sessions_that_are_over_are_removed(app: Flask, alice: User, bob: User) -> None:
    open_session(alice)
    kept = open_session(bob)
    move(alice, seen_at=timedelta(days=15))
    assert sessions.end_old_due() == 1
    assert sessions.find_user(kept)


def test_confirming_exchanges_the_token(open_browser: Callable[[], Browser], app: Flask, user: User) -> None:
    browser, thief = open_browser(), open_browser()
    browser.log_in(user.email)
    before = cookie_token(browser)
    with app.app_context():
        move(user, confirmed_at=timedelta(minutes=10))
    answer = browser.submit("/confirm?next=/wallet", password="wrong horse river")
    assert (answer.status_code, "not your password" in answer.text) == (422, True)
    answer = browser.submit("/confirm?next=/wallet", password="purple tuba river")
    assert (answer.status_code, answer.headers["Location"]) == (303, "/wallet")
    assert cookie_token(browser) != before
    assert browser.sees_account()
    with thief.client.session_transaction() as session:
        session["_user_id"] = before
    assert not thief.sees_account()
    with app.app_context():
        assert sessions.is_confirmed(db.session.scalars(select(Session).where(Session.user_id == user.id)).one())


def test_an_answer_that_was_long_on_its_way_does_not_bring_the_old_token_back(
    open_browser: Callable[[], Browser], user: User
) -> None:
    """Another tab's page was asked for before the token was exchanged, and its answer comes after that."""
    browser, late = open_browser(), open_browser()
    browser.log_in(user.email)
    browser.get("/account")
    before = browser.client.get_cookie("session")
    assert before is not None
    late.client.set_cookie("session", before.value)
    browser.submit("/confirm", password="purple tuba river")
    for answer in (late.get("/"), late.get("/account")):
        for cookie in answer.headers.getlist("Set-Cookie"):
            browser.client.set_cookie("session", cookie.partition("session=")[2].partition(";")[0])
    assert browser.sees_account()


def test_a_new_browser_is_told_by_mail_and_a_known_one_is_not(
    open_browser: Callable[[], Browser], user: User, letters: Callable[[str], list[dict[str, str]]]
) -> None:
    first, second = open_browser(), open_browser()

    def notices() -> int:
        return sum("A new device logged in" in letter["text"] for letter in letters(user.email))

    first.log_in(user.email)
    assert notices() == 0, "the first one of all is no news"
    second.log_in(user.email, headers={"User-Agent": "Mozilla/5.0 (Linux; Android 14) Chrome/140.0"})
    assert notices() == 1
    assert "Chrome · Android" in letters(user.email)[-1]["text"]
    for browser in (first, second):
        browser.submit("/logout", page="/account")
        browser.log_in(user.email)
    assert notices() == 1
