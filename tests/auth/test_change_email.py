"""Giving the account another address."""

import re
from collections.abc import Callable
from datetime import timedelta

import pytest
import time_machine
from flask import Flask
from sqlalchemy import func, select, update

from namaskah.auth import accounts, audit, credentials, email_changes, sessions
from namaskah.auth.models import EmailChange, User
from namaskah.db import db, transaction
from tests.auth.people import PASSWORD, Browser
from tests.auth.test_sessions import cookie_token, move
from tests.auth.work import run_jobs, together

Letters = Callable[[str], list[dict[str, str]]]
Fresh = Callable[[User], User]
HOUR = 3600


@pytest.fixture
def inside(browser: Browser, confirmed: User) -> Browser:
    browser.log_in(confirmed.email)
    return browser


@pytest.fixture
def new(address: str) -> str:
    return f"new{address}"


def ask(browser: Browser, email: str) -> int:
    return browser.submit("/account/email", email=email).status_code


def link_in(letter: dict[str, str]) -> str:
    found = re.search(r"(/account/email/[\w.\-]+)", letter["text"])
    assert found
    return found[1]


def test_only_the_button_behind_the_link_changes_the_address(
    app: Flask, inside: Browser, confirmed: User, new: str, letters: Letters, fresh: Fresh
) -> None:
    assert ask(inside, new) == 303
    page = inside.get("/account/email").text
    assert new in page
    assert confirmed.email in page
    [letter] = run_jobs(app)
    assert letter["to"] == new
    assert "24 hours" in letter["text"]
    assert f"{app.config['BASE_URL']}{link_in(letter)}" in letter["html"]
    for method in ("GET", "HEAD"):
        assert inside.get(link_in(letter), method=method).status_code == 200
    assert fresh(confirmed).email == confirmed.email
    answer = inside.submit(link_in(letter))
    assert (answer.status_code, answer.headers["Location"]) == (303, "/account")
    assert (fresh(confirmed).email, fresh(confirmed).is_verified) == (new, True)
    assert "has its new address" in inside.get("/account").text
    assert [event.kind for event in audit.history(confirmed)][:2] == ["email_changed", "email_change_asked"]


def test_the_old_address_is_told_at_once_and_when_it_is_done(
    app: Flask, inside: Browser, confirmed: User, new: str, letters: Letters
) -> None:
    before = len(letters(confirmed.email))
    ask(inside, new)
    [asked] = letters(confirmed.email)[before:]
    assert "Somebody asked to change the e-mail address" in asked["text"]
    assert "Was it not you?" in asked["text"]
    inside.submit(link_in(run_jobs(app)[0]))
    [_asked, done] = letters(confirmed.email)[before:]
    assert "The e-mail address of your account was changed." in done["text"]
    assert "write to us at once" in done["text"]
    assert letters(new) == []


def test_other_sessions_end_and_this_one_has_a_new_token(
    app: Flask, open_browser: Callable[[], Browser], inside: Browser, confirmed: User, new: str
) -> None:
    other = open_browser()
    other.log_in(confirmed.email)
    ask(inside, new)
    before = cookie_token(inside)
    inside.submit(link_in(run_jobs(app)[0]))
    assert inside.sees_account()
    assert cookie_token(inside) != before
    assert not other.sees_account()
    assert other.log_in(confirmed.email).status_code == 422
    assert other.log_in(new).status_code == 303


def test_who_has_not_proved_who_they_are_is_asked_first(app: Flask, inside: Browser, confirmed: User) -> None:
    move(confirmed, confirmed_at=timedelta(minutes=6))
    for method in ("GET", "POST"):
        assert inside.get("/account/email", method=method).status_code in (303, 400)
    assert inside.get("/account/email").headers["Location"] == "/confirm?next=/account/email"
    assert ask(inside, "x@example.com") == 400, "there is no form to take the token from"


def test_another_device_that_is_logged_out_logs_in_and_goes_on(
    app: Flask, open_browser: Callable[[], Browser], inside: Browser, confirmed: User, new: str, fresh: Fresh
) -> None:
    ask(inside, new)
    link, phone = link_in(run_jobs(app)[0]), open_browser()
    answer = phone.get(link)
    assert answer.headers["Location"].startswith("/login?next=/account/email/")
    answer = phone.submit(answer.headers["Location"], email=confirmed.email, password=PASSWORD)
    assert answer.headers["Location"] == link
    assert phone.submit(link).status_code == 303
    assert fresh(confirmed).email == new


def test_a_stranger_to_whom_the_letter_went_by_mistake_changes_nothing(
    app: Flask, open_browser: Callable[[], Browser], inside: Browser, confirmed: User, new: str, fresh: Fresh
) -> None:
    accounts.register(new.replace("new", "third"), PASSWORD, "en")
    ask(inside, new)
    link, stranger = link_in(run_jobs(app)[0]), open_browser()
    assert stranger.submit(link, page="/login").headers["Location"].startswith("/login")
    stranger.log_in(new.replace("new", "third"))
    assert stranger.submit(link, page="/account").status_code == 410
    assert fresh(confirmed).email == confirmed.email


def test_an_address_that_has_an_account_gets_the_same_answer_and_its_owner_a_letter(
    app: Flask, inside: Browser, confirmed: User, new: str, letters: Letters
) -> None:
    accounts.register(new, PASSWORD, "en")
    other = new.replace("new", "nwe")
    pages = []
    for email in (new, other):
        assert ask(inside, email) == 303
        pages.append(inside.get("/account/email").text.replace(email, ""))
    assert re.sub(r'value="[^"]+"', "", pages[0]) == re.sub(r'value="[^"]+"', "", pages[1])
    inside.submit("/account/email/cancel", page="/account/email")
    assert run_jobs(app) == [], "all that was asked for is called off"
    ask(inside, new.upper())
    assert run_jobs(app) == []
    assert letters(new)[-1]["subject"] == "You have an account at Namaskah with this address"
    assert "/account/email/" not in letters(new)[-1]["text"]


def test_a_change_of_capitals_is_a_change(app: Flask, inside: Browser, confirmed: User, fresh: Fresh) -> None:
    name, _at, domain = confirmed.email.partition("@")
    assert ask(inside, f"{name.upper()}@{domain}") == 303
    inside.submit(link_in(run_jobs(app)[0]))
    assert fresh(confirmed).email == f"{name.upper()}@{domain}"


@pytest.mark.parametrize(("typed", "said"), [("", "Type your new"), ("nobody", "no e-mail address")])
def test_what_is_no_address_is_said(inside: Browser, typed: str, said: str) -> None:
    answer = inside.submit("/account/email", email=typed)
    assert (answer.status_code, said in answer.text) == (422, True)


def test_the_address_one_has_is_no_new_one(inside: Browser, confirmed: User) -> None:
    answer = inside.submit("/account/email", email=confirmed.email)
    assert (answer.status_code, "has already" in answer.text) == (422, True)


def test_a_link_works_for_a_day_and_once(app: Flask, inside: Browser, confirmed: User, new: str) -> None:
    with app.test_request_context():
        email_changes.ask(confirmed, new)
        change = email_changes.find(confirmed)
        assert change
    with time_machine.travel(1_700_000_000, tick=False) as clock, app.app_context():
        token = email_changes.token_of(change)
        clock.shift(24 * HOUR - 1)
        assert email_changes.get_by_token(confirmed, token).email == new
        clock.shift(2)
        with pytest.raises(accounts.InvalidLink):
            email_changes.get_by_token(confirmed, token)
    token = email_changes.token_of(change)
    assert inside.submit(f"/account/email/{token}").status_code == 303
    assert inside.submit(f"/account/email/{token}", page="/account").status_code == 410


def test_what_nobody_confirms_in_a_day_is_forgotten(app: Flask, confirmed: User, new: str) -> None:
    with app.test_request_context():
        email_changes.ask(confirmed, new)
        age(timedelta(hours=23, minutes=59))
        assert email_changes.drop_old_due() == 0
        assert email_changes.find(confirmed)
        age(timedelta(minutes=2))
        assert email_changes.find(confirmed) is None
        assert email_changes.drop_old_due() == 1


def age(by: timedelta) -> None:
    with transaction():
        db.session.execute(update(EmailChange).values(sent_at=EmailChange.sent_at - by))


def test_asking_again_cancelling_and_a_new_password_kill_the_link(
    app: Flask, inside: Browser, confirmed: User, new: str, fresh: Fresh
) -> None:
    ask(inside, f"typo{new}")
    first = link_in(run_jobs(app)[0])
    ask(inside, new)
    assert inside.submit(first, page="/account").status_code == 410
    second = link_in(run_jobs(app)[0])
    inside.submit("/account/email/cancel", page="/account/email")
    assert "Waiting to be confirmed" not in inside.get("/account/email").text
    assert inside.submit(second, page="/account").status_code == 410
    ask(inside, new)
    third = link_in(run_jobs(app)[0])
    inside.submit("/account/password", current=PASSWORD, password="seven quiet kettles")
    assert inside.submit(third, page="/account").status_code == 410
    assert fresh(confirmed).email == confirmed.email


def test_a_link_that_was_used_is_not_said_to_have_changed_nothing(
    app: Flask, inside: Browser, confirmed: User, new: str, fresh: Fresh
) -> None:
    ask(inside, new)
    link = link_in(run_jobs(app)[0])
    inside.submit(link)
    assert fresh(confirmed).email == new
    for answer in (inside.get(link), inside.submit(link, page="/account")):
        assert answer.status_code == 410
        assert "It was used already" in answer.text and new in answer.text
        assert "was not changed" not in answer.text and "what it was" not in answer.text


def test_the_letter_comes_again_three_times_an_hour(app: Flask, inside: Browser, new: str) -> None:
    assert inside.submit("/account/email/resend", page="/account/email").status_code == 303
    assert run_jobs(app) == []
    ask(inside, new)
    answers = [inside.submit("/account/email/resend", page="/account/email").status_code for _ in range(3)]
    assert answers == [303, 303, 429]
    links = {link_in(letter) for letter in run_jobs(app)}
    assert inside.get(links.pop()).status_code == 200


def test_no_address_is_sent_more_than_three_links_an_hour(inside: Browser, new: str) -> None:
    assert [ask(inside, new) for _ in range(4)] == [303, 303, 303, 429]


def test_an_address_taken_meanwhile_stays_with_who_took_it(
    app: Flask, inside: Browser, confirmed: User, new: str, fresh: Fresh, letters: Letters
) -> None:
    ask(inside, new)
    link = link_in(run_jobs(app)[0])
    accounts.register(new.upper(), PASSWORD, "en")
    before = len(letters(confirmed.email))
    answer = inside.submit(link)
    assert (answer.status_code, "account with this address by now" in answer.text) == (410, True)
    assert fresh(confirmed).email == confirmed.email
    assert len(letters(confirmed.email)) == before, "nothing was changed, so nobody is told that it was"
    assert "Waiting to be confirmed" not in inside.get("/account/email").text


def test_of_many_accounts_that_want_an_address_one_gets_it(app: Flask, confirmed: User, new: str) -> None:
    tokens: list[tuple[str, str]] = []
    for number in range(5):
        accounts.register(f"{number}{new}", PASSWORD, "en")
        with app.test_request_context(), transaction():
            user = accounts.find_by_email(f"{number}{new}")
            assert user
            session_token = sessions.open_session(user).token
        with app.test_request_context():
            email_changes.ask(user, new)
            change = email_changes.find(user)
            assert change
            tokens.append((session_token, email_changes.token_of(change)))
    waiting = iter(tokens)

    def one() -> int:
        session_token, token = next(waiting)
        user = sessions.find_user(session_token)
        assert user
        email_changes.confirm(user, token)
        return user.id

    found = together(app, 5, one)
    assert sum(isinstance(result, int) for result in found) == 1
    assert sum(isinstance(result, accounts.InvalidLink) for result in found) == 4
    with app.app_context():
        assert db.session.scalar(select(func.count()).where(User.email == new)) == 1


def test_links_to_the_old_address_are_dead_after_it(app: Flask, inside: Browser, confirmed: User, new: str) -> None:
    reset = credentials.reset_token(confirmed)
    ask(inside, new)
    inside.submit(link_in(run_jobs(app)[0]))
    assert inside.get(f"/reset-password/{reset}").status_code == 410


def test_who_mistyped_the_address_at_registration_can_mend_it(
    app: Flask, browser: Browser, user: User, new: str, fresh: Fresh
) -> None:
    browser.log_in(user.email)
    assert "Wrong address?" in browser.get("/verify-email").text
    ask(browser, new)
    browser.submit(link_in(run_jobs(app)[0]))
    assert (fresh(user).email, fresh(user).is_verified) == (new, True)


def test_the_link_lies_in_no_job(app: Flask, inside: Browser, confirmed: User, new: str, letters: Letters) -> None:
    ask(inside, new)
    assert not any("/account/email/" in letter["text"] for to in (new, confirmed.email) for letter in letters(to))
