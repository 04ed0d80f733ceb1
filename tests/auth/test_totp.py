"""Codes of an authenticator app: set up by a first code, good around now, and once."""

import re
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest
import time_machine
from flask import Flask
from sqlalchemy import select

from namaskah.auth.models import User
from namaskah.auth.second_factor import factors, totp
from namaskah.auth.second_factor.models import TotpSeed
from namaskah.db import db
from tests.auth.factor_people import HUB, code_of, give_app, give_password, log_in
from tests.auth.people import Browser
from tests.auth.test_audit import kinds

Clock = time_machine.Traveller


def shown_seed(browser: Browser) -> str:
    page = browser.get(f"{HUB}/totp").text
    found = re.search(r"<code>([A-Z2-7 ]+)</code>", page)
    assert found, page
    return found[1].replace(" ", "")


def is_on(app: Flask, user: User) -> bool:
    with app.app_context():
        return factors.are_set_up(user)


def test_an_app_counts_once_its_first_code_is_typed(
    browser: Browser, app: Flask, user: User, clock: Clock, letters: Callable[[str], list[dict[str, str]]]
) -> None:
    browser.log_in(user.email)
    seed = shown_seed(browser)
    assert len(seed) == 32
    assert shown_seed(browser) == seed, "loading the page again must not end what was scanned"
    assert not is_on(app, user)
    answer = browser.submit(f"{HUB}/totp", code="000000" if code_of(seed) != "000000" else "000001")
    assert (answer.status_code, "not the app’s code" in answer.text) == (422, True)
    assert not is_on(app, user)
    answer = browser.submit(f"{HUB}/totp", code=f" {code_of(seed)[:3]} {code_of(seed)[3:]} ")
    assert (answer.status_code, answer.headers["Location"]) == (303, f"{HUB}/recovery-codes")
    assert is_on(app, user)
    assert "An authenticator app was added" in letters(user.email)[-1]["text"]
    with app.app_context():
        assert kinds(user)[-1] == "factor_added"
    assert shown_seed(browser) != seed


def test_the_picture_holds_the_same_seed_and_is_for_its_owner_alone(
    browser: Browser, open_browser: Callable[[], Browser], user: User
) -> None:
    browser.log_in(user.email)
    assert browser.get(f"{HUB}/totp/qr.svg").status_code == 404
    shown_seed(browser)
    picture = browser.get(f"{HUB}/totp/qr.svg")
    assert (picture.status_code, picture.mimetype) == (200, "image/svg+xml")
    assert picture.headers["Cache-Control"] == "no-store"
    assert "viewBox" in picture.text
    assert open_browser().get(f"{HUB}/totp/qr.svg").headers["Location"].startswith("/login")


def test_a_seed_that_waits_is_encrypted_in_the_cookie_and_works_for_nobody_else(
    browser: Browser, open_browser: Callable[[], Browser], user: User, bob: User, app: Flask
) -> None:
    browser.log_in(user.email)
    seed = shown_seed(browser)
    with browser.client.session_transaction() as session:
        note = session["totp"]
    assert seed not in str(note)
    with app.test_request_context():
        assert totp.address_of(seed, user).startswith("otpauth://totp/Namaskah:")
    other = open_browser()
    other.log_in(user.email)
    with other.client.session_transaction() as session:
        session["totp"] = note
    assert shown_seed(other) == seed
    with browser.client.session_transaction() as session:
        session["totp"] = note | {"seed": note["seed"][:-8] + "AAAAAAA="}
    assert shown_seed(browser) != seed


def test_a_seed_waits_half_an_hour(browser: Browser, user: User, clock: Clock) -> None:
    browser.log_in(user.email)
    seed = shown_seed(browser)
    with browser.client.session_transaction() as session:
        session["totp"] = session["totp"] | {"at": int(time.time()) - 1790}
    assert shown_seed(browser) == seed
    with browser.client.session_transaction() as session:
        session["totp"] = session["totp"] | {"at": int(time.time()) - 1800}
    assert shown_seed(browser) != seed


def test_a_code_is_good_one_step_before_and_one_after_its_own(app: Flask, user: User, clock: Clock) -> None:
    start = int(time.time()) // 30 * 30
    for seconds, expected in ((-31, False), (-30, True), (-1, True), (0, True), (29, True), (59, True), (60, False)):
        clock.move_to(start - 60)
        seed = give_app(app, user)
        clock.move_to(start)
        code = code_of(seed)
        clock.move_to(start + seconds)
        with app.app_context():
            assert totp.accept(user, code) is expected, seconds


def test_the_code_that_set_the_app_up_and_any_that_let_in_are_used_up_and_so_are_earlier_ones(
    app: Flask, user: User, clock: Clock
) -> None:
    seed = give_app(app, user)
    with app.app_context():
        assert not totp.accept(user, code_of(seed, -1)), "the one that set it up"
        assert totp.accept(user, code_of(seed, 1))
        assert not totp.accept(user, code_of(seed, 1))
        assert not totp.accept(user, code_of(seed)), "an earlier one"
        clock.shift(60)
        assert totp.accept(user, code_of(seed))


@pytest.mark.parametrize("digits", ["٠١٢٣٤٥٦٧٨٩", "۰۱۲۳۴۵۶۷۸۹", "０１２３４５６７８９"])
def test_a_code_may_be_typed_in_the_digits_of_ones_own_script(
    browser: Browser, open_browser: Callable[[], Browser], user: User, clock: Clock, digits: str
) -> None:
    own = str.maketrans("0123456789", digits)
    browser.log_in(user.email)
    seed = shown_seed(browser)
    assert browser.submit(f"{HUB}/totp", code=code_of(seed).translate(own)).status_code == 303
    clock.shift(30)
    other = open_browser()
    assert other.submit(give_password(other, user), code=code_of(seed).translate(own)).status_code == 303
    assert other.sees_account()


@pytest.mark.parametrize("code", ["", "12345", "1234567", "٠٠٠٠٠٠", "é", "\x00", "-1", "abcdef"])
def test_what_is_no_code_is_refused(app: Flask, user: User, code: str) -> None:
    give_app(app, user)
    assert not totp.accept(user, code)


def test_without_an_app_no_code_is_right(app: Flask, user: User) -> None:
    assert not totp.accept(user, "000000")


def test_of_twenty_with_the_same_code_at_once_one_gets_in(app: Flask, user: User, clock: Clock) -> None:
    seed = give_app(app, user)
    code, start = code_of(seed), Barrier(20)

    def attempt(_number: int) -> bool:
        with app.app_context():
            start.wait()
            accepted = totp.accept(user, code)
            db.session.remove()
            return accepted

    with ThreadPoolExecutor(20) as pool:
        assert sum(pool.map(attempt, range(20))) == 1


def test_of_twenty_browsers_with_the_same_code_at_once_one_gets_in(
    app: Flask, open_browser: Callable[[], Browser], user: User, clock: Clock
) -> None:
    seed = give_app(app, user)
    browsers = [open_browser() for _ in range(20)]
    for browser in browsers:
        give_password(browser, user)
    code, start = code_of(seed), Barrier(20)
    tokens = [re.search(r'csrf_token"[^>]* value="([^"]+)"', b.get("/login/second-factor").text) for b in browsers]

    def attempt(number: int) -> int:
        token = tokens[number]
        assert token
        start.wait()
        data = {"csrf_token": token[1], "code": code}
        return browsers[number].post("/login/second-factor", data=data).status_code

    with ThreadPoolExecutor(20) as pool:
        statuses = list(pool.map(attempt, range(20)))
    assert statuses.count(303) == 1
    assert set(statuses) <= {303, 422, 429}
    assert sum(browser.sees_account() for browser in browsers) == 1


def test_another_app_takes_the_place_of_the_first_once_it_is_confirmed(
    browser: Browser, app: Flask, user: User, clock: Clock
) -> None:
    old = give_app(app, user)
    log_in(browser, user, old)
    new = shown_seed(browser)
    assert new != old
    clock.shift(60)
    with app.app_context():
        assert totp.accept(user, code_of(old))
    assert browser.submit(f"{HUB}/totp", code=code_of(new, 1)).status_code == 303
    clock.shift(60)
    with app.app_context():
        assert len(db.session.scalars(select(TotpSeed)).all()) == 1
        assert not totp.accept(user, code_of(old))
        assert totp.accept(user, code_of(new))
