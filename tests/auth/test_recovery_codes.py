"""Recovery codes: ten, shown once, good once."""

import re
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest
from flask import Flask
from sqlalchemy import select

from namaskah.auth.models import User
from namaskah.auth.second_factor import factors, papers, recovery_codes
from namaskah.auth.second_factor.models import RecoveryCode
from namaskah.db import db
from tests.auth.factor_people import HUB, give_app, give_password, log_in
from tests.auth.people import Browser
from tests.auth.test_audit import kinds

Letters = Callable[[str], list[dict[str, str]]]
SHAPE = r"<code>((?:[A-Z2-7]{4}-){3}[A-Z2-7]{4})</code>"


def give_codes(app: Flask, user: User) -> list[str]:
    with app.app_context():
        return recovery_codes.renew(db.session.get_one(User, user.id))


@pytest.fixture
def seed(app: Flask, user: User, clock: object) -> str:
    return give_app(app, user)


def test_the_page_shows_ten_of_eighty_bits_once(
    browser: Browser, app: Flask, user: User, seed: str, letters: Letters
) -> None:
    log_in(browser, user, seed)
    assert not re.search(SHAPE, browser.get(f"{HUB}/recovery-codes").text)
    shown = re.findall(SHAPE, browser.submit(f"{HUB}/recovery-codes").text)
    assert len(set(shown)) == 10
    assert not re.search(SHAPE, browser.get(f"{HUB}/recovery-codes").text)
    assert "10 of 10 left" in browser.get(HUB).text
    assert "New recovery codes were made" in letters(user.email)[-1]["text"]
    with app.app_context():
        assert kinds(user)[-1] == "recovery_codes_made"
        kept = " ".join(db.session.scalars(select(RecoveryCode.code_hash)))
        assert kept.count("$argon2id$v=19$m=19456,t=2,p=1$") == 10
        assert not any(code in kept or code.replace("-", "") in kept for code in shown)


def test_the_page_offers_what_it_shows_as_a_file(browser: Browser, user: User, seed: str) -> None:
    log_in(browser, user, seed)
    page = browser.submit(f"{HUB}/recovery-codes").text
    sealed = re.search(r'name="sealed" value="([^"]+)"', page)
    assert sealed
    answer = browser.submit(f"{HUB}/recovery-codes/file", page=HUB, sealed=sealed[1])
    assert (answer.status_code, answer.mimetype) == (200, "text/plain")
    assert answer.headers["Content-Disposition"].startswith("attachment")
    assert answer.headers["Cache-Control"] == "no-store"
    assert all(code in answer.text for code in re.findall(SHAPE, page))
    assert browser.submit(f"{HUB}/recovery-codes/file", page=HUB, sealed="nonsense").status_code == 410


def test_the_file_is_for_its_owner_and_for_an_hour(app: Flask, alice: User, bob: User, clock: object) -> None:
    sealed = papers.seal(alice, ["A"])
    assert papers.unseal(bob, sealed) is None
    for second, expected in ((papers.SECONDS - 2, ["A"]), (2, None)):
        clock.shift(second)  # type: ignore[attr-defined]
        assert papers.unseal(alice, sealed) == expected


def test_a_code_lets_in_once_and_leads_to_where_something_new_can_be_set_up(
    open_browser: Callable[[], Browser], app: Flask, user: User, seed: str, letters: Letters
) -> None:
    first, second = open_browser(), open_browser()
    codes = give_codes(app, user)
    answer = first.submit(give_password(first, user), code=f" {codes[3].lower().replace('-', ' ')} ")
    assert (answer.status_code, answer.headers["Location"]) == (303, HUB)
    page = first.get(HUB).text
    assert "9 recovery codes are left" in page
    assert "9 of 10 left" in page
    assert first.get(f"{HUB}/totp/remove").status_code == 200, "it is why one came"
    assert "A recovery code was used" in letters(user.email)[-2]["text"] + letters(user.email)[-1]["text"]
    with app.app_context():
        assert kinds(user)[-2:] == ["recovery_code_used", "login"]
    answer = second.submit(give_password(second, user), code=codes[3])
    assert answer.status_code == 422
    assert not second.sees_account()
    assert second.submit("/login/second-factor", code=codes[4]).status_code == 303


@pytest.mark.parametrize("typed", ["", "AAAA-AAAA-AAAA-AAAA", "é" * 16, "\x00" * 16, "-" * 16])
def test_what_is_none_of_them_is_refused(app: Flask, user: User, typed: str) -> None:
    give_codes(app, user)
    with app.app_context():
        assert not recovery_codes.use(user, typed)


def test_letters_taken_for_digits_are_understood(app: Flask, user: User) -> None:
    codes = [code for code in give_codes(app, user) if set(code) & set("OIB")]
    with app.app_context():
        for code in codes:
            assert recovery_codes.use(user, code.translate(str.maketrans("OIB", "018")))


def test_a_new_set_ends_the_old_one(app: Flask, user: User) -> None:
    old, new = give_codes(app, user), give_codes(app, user)
    with app.app_context():
        assert not recovery_codes.use(user, old[0])
        assert recovery_codes.use(user, new[0])
        assert factors.of(user).codes_left == 9


def test_nobody_elses_codes_are_right(app: Flask, user: User, bob: User) -> None:
    give_codes(app, user)
    codes = give_codes(app, bob)
    with app.app_context():
        assert not recovery_codes.use(user, codes[0])


def test_codes_made_with_other_parameters_still_work(app: Flask, user: User, monkeypatch: pytest.MonkeyPatch) -> None:
    codes = give_codes(app, user)
    monkeypatch.setitem(recovery_codes.COST, "time_cost", 3)
    with app.app_context():
        assert recovery_codes.use(user, codes[0])


def test_of_twenty_with_the_same_code_at_once_one_gets_in(app: Flask, user: User) -> None:
    codes, start = give_codes(app, user), Barrier(20)

    def attempt(_number: int) -> bool:
        with app.app_context():
            start.wait()
            used = recovery_codes.use(db.session.get_one(User, user.id), codes[0])
            db.session.remove()
            return used

    with ThreadPoolExecutor(20) as pool:
        assert sum(pool.map(attempt, range(20))) == 1
    with app.app_context():
        assert factors.of(user).codes_left == 9


def test_looking_a_code_up_costs_one_hash(app: Flask, user: User) -> None:
    codes = give_codes(app, user)
    with app.app_context():
        started = time.perf_counter()
        assert recovery_codes.use(user, codes[9])
        one = time.perf_counter() - started
        started = time.perf_counter()
        recovery_codes.renew(db.session.get_one(User, user.id))
        assert one < (time.perf_counter() - started) / 2


def test_they_are_no_factor_and_without_one_there_are_none(browser: Browser, app: Flask, user: User) -> None:
    browser.log_in(user.email)
    answer = browser.get(f"{HUB}/recovery-codes")
    assert (answer.status_code, answer.headers["Location"]) == (303, HUB)
    give_codes(app, user)
    with app.app_context():
        assert not factors.are_set_up(user)
