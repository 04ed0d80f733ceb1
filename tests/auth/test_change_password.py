"""Changing the password, knowing the present one."""

from collections.abc import Callable

from flask import Flask
from sqlalchemy import text

from namaskah.auth import accounts, audit, credentials, email_changes, passwords, sessions
from namaskah.auth.models import User
from namaskah.db import db, transaction
from tests.auth.people import PASSWORD, Browser
from tests.auth.test_sessions import cookie_token
from tests.auth.work import together

NEW = "seven quiet kettles"


def change(browser: Browser, current: str = PASSWORD, new: str = NEW) -> tuple[int, str]:
    answer = browser.submit("/account/password", current=current, password=new)
    return answer.status_code, answer.text


def test_this_session_stays_with_a_new_token_and_the_others_end(
    open_browser: Callable[[], Browser], confirmed: User, letters: Callable[[str], list[dict[str, str]]]
) -> None:
    here, elsewhere, thief = open_browser(), open_browser(), open_browser()
    here.log_in(confirmed.email)
    elsewhere.log_in(confirmed.email)
    before = cookie_token(here)
    assert change(here)[0] == 303
    assert "Your password is changed" in here.get("/account").text
    assert cookie_token(here) != before
    assert not elsewhere.sees_account()
    with thief.client.session_transaction() as session:
        session["_user_id"] = before
    assert not thief.sees_account()
    assert "The password of your account was changed." in letters(confirmed.email)[-1]["text"]
    assert audit.history(confirmed)[0].kind == "password_changed"
    assert elsewhere.log_in(confirmed.email).status_code == 422
    assert elsewhere.log_in(confirmed.email, NEW).status_code == 303


def test_a_wrong_present_password_changes_nothing_and_is_written_down(
    browser: Browser, confirmed: User, fresh: Callable[[User], User]
) -> None:
    browser.log_in(confirmed.email)
    status, page = change(browser, current="wrong horse river")
    assert (status, "not your present password" in page) == (422, True)
    assert fresh(confirmed).password_hash == confirmed.password_hash
    assert audit.history(confirmed)[0].kind == "confirm_failed"


def test_ten_wrong_ones_close_the_page_for_a_while_and_refused_new_ones_do_not(
    browser: Browser, confirmed: User
) -> None:
    browser.log_in(confirmed.email)
    assert {change(browser, new="short")[0] for _ in range(12)} == {422}
    assert [change(browser, current="wrong horse river")[0] for _ in range(11)] == [422] * 10 + [429]
    assert change(browser)[0] == 429


def test_the_new_one_must_keep_the_rule(browser: Browser, confirmed: User) -> None:
    browser.log_in(confirmed.email)
    assert "at least 15" in change(browser, new="qX9!mZ2pLkqW4v")[1]
    assert "guessed early" in change(browser, new="passwordpassword1")[1]
    assert change(browser, new="qX9!mZ2pLkqW4v7")[0] == 303


def test_an_old_short_password_still_opens_the_account(app: Flask, browser: Browser, confirmed: User) -> None:
    with app.app_context(), transaction():
        stored = {"h": passwords.hashed("tuba9!river"), "i": confirmed.id}
        db.session.execute(text("UPDATE users SET password_hash = :h WHERE id = :i"), stored)
    assert browser.log_in(confirmed.email, "tuba9!river").status_code == 303
    assert change(browser, current="tuba9!river")[0] == 303


def test_of_many_at_once_one_is_done(app: Flask, confirmed: User) -> None:
    new = iter(f"{NEW} {number}" for number in range(6))
    with app.app_context(), transaction():
        token = sessions.open_session(confirmed).token

    def one() -> str:
        user, chosen = sessions.find_user(token), next(new)
        assert user
        assert credentials.change_password(user, PASSWORD, chosen)
        return chosen

    done = [chosen for chosen in together(app, 6, one) if isinstance(chosen, str)]
    assert len(done) == 1
    with app.app_context():
        assert accounts.authenticate(confirmed.email, done[0])


def test_an_address_that_waits_to_be_confirmed_is_forgotten(app: Flask, browser: Browser, confirmed: User) -> None:
    with app.test_request_context():
        email_changes.ask(confirmed, "elsewhere@example.com")
    browser.log_in(confirmed.email)
    change(browser)
    with app.app_context():
        assert email_changes.find(confirmed) is None
