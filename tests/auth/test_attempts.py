"""How often one may try to log in: guessing is hopeless, and nobody is locked out by somebody else's guesses."""

import secrets
import threading
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
import time_machine
from flask import Flask

from namaskah.auth.models import User
from tests.auth.people import PASSWORD, Browser

WRONG = "wrong horse river"
Open = Callable[[], Browser]


def fail(browser: Browser, email: str, times: int) -> list[int]:
    return [browser.log_in(email, WRONG).status_code for _ in range(times)]


def at_network(browser: Browser, address: str) -> Browser:
    browser.client.environ_base["REMOTE_ADDR"] = address
    return browser


def known(browser: Browser, user: User) -> Browser:
    """A browser of the account's owner, logged out again."""
    assert browser.log_in(user.email).status_code == 303
    browser.submit("/logout", page="/account")
    return browser


def test_one_network_fails_five_times_at_one_account(open_browser: Open, user: User) -> None:
    stranger = open_browser()
    assert fail(stranger, user.email, 6) == [422] * 5 + [429]
    assert stranger.log_in(f" {user.email.upper()}").status_code == 429, "however the address is written"


def test_it_may_try_again_when_it_was_told_to_and_not_before(open_browser: Open, user: User) -> None:
    stranger = open_browser()
    start = datetime.now(UTC).replace(microsecond=0)
    for minute in range(5):  # one failure a minute
        with time_machine.travel(start + timedelta(minutes=minute), tick=False):
            assert fail(stranger, user.email, 1) == [422]
    with time_machine.travel(start + timedelta(minutes=6), tick=False):
        answer = stranger.log_in(user.email, WRONG)
        assert answer.status_code == 429
        assert answer.headers["Retry-After"] in ("540", "541"), "until the first is 15 minutes ago"
        assert "Try again in 9 minutes" in answer.text or "Try again in 10 minutes" in answer.text
    with time_machine.travel(start + timedelta(minutes=14, seconds=58), tick=False):
        assert fail(stranger, user.email, 1) == [429]
    with time_machine.travel(start + timedelta(minutes=15, seconds=1), tick=False):
        assert fail(stranger, user.email, 2) == [422, 429]


def test_many_networks_fail_twenty_times_at_one_account(open_browser: Open, user: User) -> None:
    assert [fail(open_browser(), user.email, 1)[0] for _ in range(21)] == [422] * 20 + [429]
    assert open_browser().log_in(user.email).status_code == 429, "a stranger with the right password waits too"


def test_one_network_fails_thirty_times_at_many_accounts(open_browser: Open, address: str) -> None:
    with time_machine.travel(datetime.now(UTC), tick=False) as clock:
        stranger = open_browser()
        answers = []
        for number in range(31):
            clock.shift(timedelta(seconds=7))
            answers += fail(stranger, f"{number}{address}", 1)
    assert answers == [422] * 30 + [429]


def test_an_unknown_address_is_counted_as_a_known_one(open_browser: Open, user: User, address: str) -> None:
    assert fail(open_browser(), f"nobody{address}", 6) == fail(open_browser(), user.email, 6)


def test_the_owner_is_not_locked_out_of_a_browser_that_is_known(open_browser: Open, user: User) -> None:
    own = known(open_browser(), user)
    for _ in range(21):
        fail(open_browser(), user.email, 1)
    assert open_browser().log_in(user.email).status_code == 429
    assert own.log_in(user.email).status_code == 303


def test_not_even_by_those_behind_the_same_address(open_browser: Open, user: User, address: str) -> None:
    shared = "102.89.1.7"  # a mobile network's
    own = known(at_network(open_browser(), shared), user)
    stranger = at_network(open_browser(), shared)
    with time_machine.travel(datetime.now(UTC), tick=False) as clock:
        for number in range(8):
            fail(stranger, f"{number}{address}", 5)
            clock.shift(timedelta(seconds=16))
        assert fail(stranger, f"last{address}", 1) == [429]
        fail(stranger, user.email, 6)
        assert own.log_in(user.email).status_code == 303


def test_whoever_is_logged_in_is_not_stopped_by_the_address(open_browser: Open, user: User, address: str) -> None:
    shared = "102.89.1.8"
    own = at_network(open_browser(), shared)
    own.log_in(user.email)
    fail(at_network(open_browser(), shared), f"x{address}", 20)
    assert own.sees_account()
    assert own.get("/numbers/search?q=te").status_code == 200


def test_the_owner_gets_in_at_a_new_browser_after_a_wait(open_browser: Open, user: User) -> None:
    start = datetime.now(UTC)
    with time_machine.travel(start, tick=False):
        for _ in range(20):
            fail(open_browser(), user.email, 1)
        told = int(open_browser().log_in(user.email).headers["Retry-After"])
    assert 0 < told <= 901
    with time_machine.travel(start + timedelta(seconds=told + 1), tick=False):
        assert open_browser().log_in(user.email).status_code == 303


def test_a_known_browser_has_ten_failures_of_its_own(open_browser: Open, user: User) -> None:
    own, other = known(open_browser(), user), known(open_browser(), user)
    with time_machine.travel(datetime.now(UTC), tick=False) as clock:
        answers = []
        for _ in range(11):
            clock.shift(timedelta(seconds=10))
            answers += fail(own, user.email, 1)
        assert answers == [422] * 10 + [429]
        assert other.log_in(user.email).status_code == 303


def test_a_browser_known_to_one_account_is_a_stranger_to_another(
    open_browser: Open, user: User, confirmed: User, app: Flask
) -> None:
    own = known(open_browser(), user)
    assert fail(own, f"other{user.email}", 6) == [422] * 5 + [429]


def test_an_invented_device_is_no_known_one(open_browser: Open, user: User) -> None:
    stranger = open_browser()
    stranger.client.set_cookie("device", f"eyJpZCI6IngiLCJhY2NvdW50cyI6WzFdfQ.{secrets.token_urlsafe(20)}")
    assert fail(stranger, user.email, 6) == [422] * 5 + [429]


def test_successes_do_not_count(open_browser: Open, user: User) -> None:
    assert [open_browser().log_in(user.email).status_code for _ in range(25)] == [303] * 25


def test_but_nobody_has_passwords_checked_all_day(open_browser: Open, user: User) -> None:
    browser = known(open_browser(), user)
    answers = []
    with time_machine.travel(datetime.now(UTC), tick=False):
        for _ in range(21):
            answers.append(browser.submit("/login", email=user.email, password=PASSWORD).status_code)
            browser.client.delete_cookie("session")
    assert answers == [303] * 20 + [429]


def test_a_refused_attempt_adds_nothing(open_browser: Open, user: User) -> None:
    """Or a stranger who goes on would keep the account closed to other strangers for ever."""
    stranger = open_browser()
    fail(stranger, user.email, 40)
    assert fail(open_browser(), user.email, 5) == [422] * 5


def test_the_halves_of_ipv6_networks_are_one_each(open_browser: Open, user: User) -> None:
    answers = [
        fail(at_network(open_browser(), f"2001:db8:7:8:{number:x}::1"), user.email, 1)[0] for number in range(1, 7)
    ]
    assert answers == [422] * 5 + [429]
    assert fail(at_network(open_browser(), "2001:db8:7:9::1"), user.email, 1) == [422]


def test_many_at_once_are_no_way_around(app: Flask, open_browser: Open, user: User) -> None:
    stranger = open_browser()
    token = stranger.get("/login").text.split('name="csrf_token"')[1].split('value="')[1].split('"')[0]
    cookie = stranger.client.get_cookie("session")
    assert cookie
    answers: Counter[int] = Counter()

    def attempt() -> None:
        browser = at_network(open_browser(), stranger.client.environ_base["REMOTE_ADDR"])
        browser.client.set_cookie("session", cookie.value)
        form = {"email": user.email, "password": WRONG, "csrf_token": token}
        answers[browser.post("/login", data=form).status_code] += 1

    threads = [threading.Thread(target=attempt) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == {422: 5, 429: 7}


@pytest.mark.parametrize("language", ["en", "ar"])
def test_it_is_said_in_words_when_to_come_back_in_the_page_and_in_the_fragment(
    open_browser: Open, user: User, language: str
) -> None:
    stranger = open_browser()
    fail(stranger, user.email, 5)
    stranger.get(f"/language/{language}")
    wait = {"en": "in 15 minutes", "ar": "خلال ١٥ دقيقة"}[language]
    for headers in (None, {"HX-Request": "true"}):
        answer = stranger.submit("/login", email=user.email, password=WRONG, headers=headers)
        assert answer.status_code == 429
        assert 880 < int(answer.headers["Retry-After"]) <= 900
        assert wait in answer.text or wait.translate(str.maketrans("١٥", "15")) in answer.text
        assert ("<html" in answer.text) == (headers is None)
