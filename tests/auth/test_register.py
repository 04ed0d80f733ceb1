"""Opening an account."""

import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from flask import Flask
from sqlalchemy import func, select

from namaskah.auth import accounts
from namaskah.auth.models import User
from namaskah.db import db
from tests.auth.people import PASSWORD, Browser

Letters = Callable[[str], list[dict[str, str]]]


def register(browser: Browser, email: str, password: str = PASSWORD, **more: str) -> tuple[int, str]:
    answer = browser.submit("/register", email=email, password=password, **({"accept": "y"} | more))
    return answer.status_code, answer.headers.get("Location") or answer.text


def accounts_with(app: Flask, email: str) -> int:
    with app.app_context():
        return db.session.scalar(select(func.count()).where(func.lower(User.email) == email.lower())) or 0


def test_a_new_account_gets_one_letter_with_a_link_to_our_own_address(
    app: Flask, browser: Browser, address: str, letters: Letters
) -> None:
    assert register(browser, address) == (303, "/verify-email")
    [letter] = letters(address)
    assert f"{app.config['BASE_URL']}/verify-email/" in letter["text"]
    assert f"{app.config['BASE_URL']}/verify-email/" in letter["html"]
    assert "24 hours" in letter["text"]
    assert address in browser.get("/verify-email").text


def test_what_was_accepted_and_chosen_is_kept(app: Flask, browser: Browser, address: str) -> None:
    browser.get("/language/ar")
    register(browser, address, timezone="Africa/Nairobi")
    user = accounts.find_by_email(address)
    assert user
    assert user.policy_version == app.config["POLICY_VERSION"]
    assert datetime.now(UTC) - user.policy_accepted_at < timedelta(minutes=1)
    assert (user.language, user.timezone, user.role, user.is_verified) == ("ar", "Africa/Nairobi", "customer", False)
    assert user.password_hash.startswith("$argon2id$v=19$m=1024,t=3,p=1$")  # less memory than in production


def test_the_letter_is_in_the_language_of_the_page(browser: Browser, address: str, letters: Letters) -> None:
    browser.get("/language/ar")
    register(browser, address)
    [letter] = letters(address)
    assert 'lang="ar" dir="rtl"' in letter["html"]


def test_an_unknown_time_zone_becomes_the_default(browser: Browser, address: str, app: Flask) -> None:
    assert register(browser, address, timezone="Mars/Olympus")[0] == 303
    user = accounts.find_by_email(address)
    assert user
    assert user.timezone == "Africa/Lagos"


def test_a_known_address_gets_the_same_answer_and_its_owner_a_letter(
    open_browser: Callable[[], Browser], app: Flask, address: str, letters: Letters
) -> None:
    first, stranger = open_browser(), open_browser()
    answer = register(first, address)
    assert register(stranger, address.upper(), "another long one 7") == answer
    assert accounts_with(app, address) == 1
    confirmation, warning = letters(address)
    assert "/verify-email/" in confirmation["text"]
    assert "/verify-email/" not in warning["text"]
    assert f"{app.config['BASE_URL']}/login" in warning["text"]
    assert first.log_in(address).status_code == 303
    assert stranger.log_in(address, "another long one 7").status_code == 422


def test_two_at_once_are_one_account(app: Flask, address: str, letters: Letters) -> None:
    barrier = threading.Barrier(4)
    failures: list[BaseException] = []

    def open_one() -> None:
        try:
            with app.app_context():
                barrier.wait()
                accounts.register(address, PASSWORD, "en")
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=open_one) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert accounts_with(app, address) == 1
    subjects = [letter["subject"] for letter in letters(address)]
    assert len(subjects) == 4
    assert len(set(subjects)) == 2
    assert subjects.count(max(subjects, key=subjects.count)) == 3


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"email": "nobody"}, "no e-mail address"),
        ({"email": ""}, "Type your e-mail address"),
        ({"email": "a@b"}, "no e-mail address"),
        ({"password": "short"}, "at least 15 characters"),
        ({"password": "x" * 257}, "at most 256 characters"),
        ({"password": "NaijaNaija12345"}, "guessed early"),
        ({"accept": ""}, "Without accepting"),
    ],
)
def test_a_faulty_form_says_what_is_wrong_and_opens_nothing(
    app: Flask, browser: Browser, address: str, letters: Letters, changed: dict[str, str], said: str
) -> None:
    status, page = register(browser, **({"email": address, "password": PASSWORD, "accept": "y"} | changed))
    assert status == 422
    assert said in page
    assert accounts_with(app, address) == 0
    assert letters(address) == []


def test_only_accounts_opened_count_towards_the_hour(open_browser: Callable[[], Browser], address: str) -> None:
    browser = open_browser()
    assert [register(browser, "nobody")[0] for _ in range(6)] == [422] * 6
    assert [register(browser, f"{number}{address}")[0] for number in range(10)] == [303] * 10
    assert register(browser, f"last{address}")[0] == 429


def test_no_address_is_sent_more_than_five_letters_an_hour(
    open_browser: Callable[[], Browser], address: str, letters: Letters
) -> None:
    answers = [register(open_browser(), address)[0] for _ in range(6)]
    assert answers == [303] * 5 + [429]
    assert len(letters(address)) == 5


def test_whoever_is_logged_in_needs_no_second_account(browser: Browser, user: User) -> None:
    browser.log_in(user.email)
    answer = browser.get("/register?next=/wallet")
    assert (answer.status_code, answer.headers["Location"]) == (303, "/wallet")
