"""After the password: the second factor; and before sensitive changes, it again."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from threading import Barrier

import pytest
import time_machine
from flask import Flask
from sqlalchemy import func, select, text, update

from namaskah.auth import passwords
from namaskah.auth.models import Session, User
from namaskah.auth.second_factor import codes, factors, pending, tries
from namaskah.auth.second_factor.models import FactorTry
from namaskah.db import db, transaction
from namaskah.extensions import redis
from tests import support
from tests.auth.factor_people import (
    HUB,
    Key,
    add_key,
    code_of,
    enter_by_key,
    give_app,
    give_password,
    log_in,
    person_with_key,
)
from tests.auth.people import Browser
from tests.auth.test_audit import kinds
from tests.auth.test_recovery_codes import give_codes
from tests.auth.test_sessions import cookie_token, move
from tests.auth.test_totp import shown_seed

Clock = time_machine.Traveller
Letters = Callable[[str], list[dict[str, str]]]
STEP = "/login/second-factor"


@pytest.fixture
def seed(app: Flask, user: User, clock: Clock) -> str:
    return give_app(app, user)


def wrong(seed: str) -> str:
    """A code that is none of those that would be taken now."""
    right = {code_of(seed, steps) for steps in (-1, 0, 1, 2)}
    return next(code for code in ("000000", "111111", "222222", "333333", "444444") if code not in right)


def age(user: User, by: timedelta) -> None:
    """The codes tried for this account were tried so much earlier."""
    with transaction():
        db.session.execute(update(FactorTry).where(FactorTry.user_id == user.id).values(at=FactorTry.at - by))


# ── Logging in


def test_the_password_alone_opens_nothing(browser: Browser, app: Flask, user: User, seed: str) -> None:
    answer = browser.log_in(user.email)
    assert (answer.status_code, answer.headers["Location"]) == (303, f"{STEP}?next=/numbers")
    assert not browser.sees_account()
    assert browser.get(HUB).headers["Location"].startswith("/login")
    assert cookie_token(browser) == ""
    with app.app_context():
        assert db.session.scalar(select(func.count(Session.id))) == 0
        assert "login" not in kinds(user)


def test_with_the_code_one_gets_to_where_one_was_going(browser: Browser, app: Flask, user: User, seed: str) -> None:
    answer = browser.submit("/login?next=/wallet", email=user.email, password="purple tuba river")
    assert answer.headers["Location"] == f"{STEP}?next=/wallet"
    assert browser.get(f"{STEP}?next=/wallet").status_code == 200
    answer = browser.submit(f"{STEP}?next=/wallet", code=code_of(seed))
    assert (answer.status_code, answer.headers["Location"]) == (303, "/wallet")
    assert browser.sees_account()
    with app.app_context():
        assert db.session.scalars(select(Session.second_factor)).all() == [True]
    with browser.client.session_transaction() as session:
        assert pending.NOTE not in session


def test_the_way_out_of_the_site_is_not_followed(browser: Browser, user: User, seed: str) -> None:
    give_password(browser, user)
    answer = browser.submit(f"{STEP}?next=//evil.example/", code=code_of(seed))
    assert answer.headers["Location"] == "/numbers"


def test_without_a_factor_the_password_is_enough(browser: Browser, user: User) -> None:
    assert browser.log_in(user.email).headers["Location"] == "/numbers"
    assert browser.sees_account()


def test_a_wrong_code_and_one_used_before_do_not_let_in(
    open_browser: Callable[[], Browser], user: User, seed: str
) -> None:
    first, second = open_browser(), open_browser()
    assert log_in(first, user, seed).status_code == 303
    for code in (code_of(seed), wrong(seed), ""):
        give_password(second, user)
        answer = second.submit(STEP, code=code)
        assert answer.status_code == 422
        assert code not in answer.text.partition("<main")[2] or not code
    assert not second.sees_account()


def test_the_half_way_note_counts_for_ten_minutes(browser: Browser, user: User, seed: str, clock: Clock) -> None:
    give_password(browser, user)
    clock.shift(pending.SECONDS - 5)
    assert browser.get(STEP).status_code == 200
    clock.shift(5)
    answer = browser.get(f"{STEP}?next=/wallet")
    assert (answer.status_code, answer.headers["Location"]) == (303, "/login?next=/wallet")
    assert "took too long" in browser.get("/login").text
    assert not browser.sees_account()


def test_it_dies_with_the_password_with_a_ban_and_with_another_log_in(
    open_browser: Callable[[], Browser], app: Flask, user: User, seed: str, ban: Callable[[User], None]
) -> None:
    changed, banned, again = (open_browser() for _ in range(3))
    for browser in (changed, again):
        give_password(browser, user)
    again.get("/login")
    assert again.get(STEP).headers["Location"].startswith("/login")
    with app.app_context():
        stored = passwords.hashed("purple tuba river")
        with transaction():
            db.session.execute(text("UPDATE users SET password_hash = :h WHERE id = :i"), {"h": stored, "i": user.id})
    assert changed.submit(STEP, page="/login", code=code_of(seed)).headers["Location"].startswith("/login")
    give_password(banned, user)
    ban(user)
    assert banned.submit(STEP, page="/login", code=code_of(seed)).headers["Location"].startswith("/login")
    assert not any(browser.sees_account() for browser in (changed, banned, again))


@pytest.mark.parametrize("note", [None, "x", 7, {"user": 0, "at": 2**40, "password": ""}])
def test_a_strange_note_is_nobody(browser: Browser, user: User, note: object) -> None:
    with browser.client.session_transaction() as session:
        session[pending.NOTE] = note
    assert browser.get(STEP).headers["Location"].startswith("/login")


def test_the_note_is_signed(browser: Browser, user: User, seed: str) -> None:
    give_password(browser, user)
    cookie = browser.client.get_cookie("session")
    assert cookie
    browser.client.set_cookie("session", cookie.value[:10] + "A" + cookie.value[11:])
    assert browser.get(STEP).headers["Location"].startswith("/login")


def test_without_its_token_the_form_does_nothing(browser: Browser, user: User, seed: str) -> None:
    give_password(browser, user)
    assert browser.post(STEP, data={"code": code_of(seed)}).status_code == 400
    assert not browser.sees_account()


# ── Limits


def test_five_wrong_codes_close_the_door_for_five_minutes_from_everywhere(
    open_browser: Callable[[], Browser], app: Flask, user: User, seed: str, letters: Letters
) -> None:
    browsers = [open_browser() for _ in range(7)]
    for browser in browsers[:6]:
        give_password(browser, user)
    statuses = [browser.submit(STEP, code=wrong(seed)).status_code for browser in browsers[:5]]
    assert statuses == [422] * 5
    answer = browsers[5].submit(STEP, code=code_of(seed))
    assert answer.status_code == 429
    assert 290 <= int(answer.headers["Retry-After"]) <= 300
    assert "Wait 5 minutes" in answer.text
    assert not browsers[5].sees_account()
    with app.app_context():
        assert kinds(user)[-5:] == ["factor_failed"] * 4 + ["factor_blocked"]
        assert "five wrong codes" in letters(user.email)[-1]["text"]
        age(user, tries.WITHIN - timedelta(seconds=5))
    assert browsers[5].submit(STEP, code=code_of(seed)).status_code == 429
    with app.app_context():
        age(user, timedelta(seconds=5))
    assert browsers[5].submit(STEP, code=code_of(seed)).status_code == 303
    with app.app_context():
        assert db.session.scalar(select(func.count(FactorTry.id))) == 0


def test_a_passkey_still_opens_it(browser: Browser, app: Flask, user: User, clock: Clock) -> None:
    key, seed = person_with_key(app, user), give_app(app, user)
    give_password(browser, user)
    statuses = [browser.submit(STEP, code=wrong(seed)).status_code for _ in range(6)]
    assert statuses == [422] * 5 + [429]
    assert enter_by_key(browser, key, page=STEP).status_code == 200
    assert browser.sees_account()


def test_recovery_codes_count_among_the_tries(browser: Browser, app: Flask, user: User, seed: str) -> None:
    good = give_codes(app, user)
    give_password(browser, user)
    for _ in range(5):
        assert browser.submit(STEP, code="AAAA-AAAA-AAAA-AAAA").status_code == 422
    assert browser.submit(STEP, code=good[0]).status_code == 429


def test_of_fifty_guesses_at_once_five_are_looked_at(app: Flask, user: User, seed: str) -> None:
    start = Barrier(50)

    def attempt(_number: int) -> str:
        with app.app_context():
            found = db.session.get_one(User, user.id)
            db.session.rollback()
            start.wait()
            try:
                return str(codes.accept(found, wrong(seed), with_recovery=True))
            except tries.TooManyTries:
                return "refused"
            finally:
                db.session.remove()

    with ThreadPoolExecutor(50) as pool:
        answers = list(pool.map(attempt, range(50)))
    assert (answers.count("None"), answers.count("refused")) == (5, 45)


def test_who_has_not_the_password_closes_nothing(
    open_browser: Callable[[], Browser], app: Flask, user: User, seed: str
) -> None:
    stranger, owner = open_browser(), open_browser()
    for _ in range(8):
        redis.client.flushdb()
        stranger.log_in(user.email, "wrong horse river")
        stranger.submit(STEP, page="/login", code="000000")
    redis.client.flushdb()
    assert log_in(owner, user, seed).status_code == 303


def test_the_owner_is_told_of_the_tries_once_a_day(app: Flask, user: User, seed: str, letters: Letters) -> None:
    before = len(letters(user.email))
    for _round in range(3):
        with app.app_context():
            for _ in range(5):
                assert codes.accept(db.session.get_one(User, user.id), wrong(seed), with_recovery=True) is None
            age(user, tries.WITHIN)
    assert len(letters(user.email)) == before + 1


def test_right_codes_are_not_counted(app: Flask, user: User, seed: str, clock: Clock) -> None:
    for _ in range(7):
        with app.app_context():
            assert codes.accept(db.session.get_one(User, user.id), code_of(seed), with_recovery=True) == "totp"
        clock.shift(30)


# ── Step-up


def test_who_has_an_app_is_asked_for_its_code_and_gets_another_token(
    browser: Browser, app: Flask, user: User, seed: str, clock: Clock
) -> None:
    log_in(browser, user, seed)
    before = cookie_token(browser)
    with app.app_context():
        move(user, confirmed_at=timedelta(minutes=10))
    answer = browser.get(f"{HUB}/totp/remove")
    assert answer.headers["Location"] == f"/confirm?next={HUB}/totp/remove"
    page = browser.get(answer.headers["Location"]).text
    assert "authenticator app" in page
    assert 'name="password"' not in page
    answer = browser.submit(answer.headers["Location"], code=code_of(seed, 1))
    assert (answer.status_code, answer.headers["Location"]) == (303, f"{HUB}/totp/remove")
    assert browser.get(f"{HUB}/totp/remove").status_code == 200
    assert cookie_token(browser) != before


def test_neither_password_nor_recovery_code_nor_a_used_code_will_do(
    browser: Browser, app: Flask, user: User, seed: str
) -> None:
    log_in(browser, user, seed)
    recovery = give_codes(app, user)
    with app.app_context():
        move(user, confirmed_at=timedelta(minutes=10))
    assert browser.submit("/confirm", password="purple tuba river").status_code == 422
    for code in (recovery[0], code_of(seed)):
        assert browser.submit("/confirm", code=code).status_code == 422
    assert browser.get(f"{HUB}/totp").headers["Location"].startswith("/confirm")
    with app.app_context():
        assert factors.of(user).codes_left == 10, "it is not spent where it counts for nothing"


def test_wrong_codes_of_the_step_up_count_for_the_log_in_too(
    open_browser: Callable[[], Browser], app: Flask, user: User, seed: str
) -> None:
    inside, outside = open_browser(), open_browser()
    log_in(inside, user, seed)
    for _ in range(5):
        assert inside.submit("/confirm", code=wrong(seed)).status_code == 422
    answer = inside.submit("/confirm", code=code_of(seed, 1))
    assert answer.status_code == 429
    assert int(answer.headers["Retry-After"]) > 0
    give_password(outside, user)
    assert outside.submit(STEP, code=code_of(seed, 1)).status_code == 429


# ── What the factors of an account are to everything else


@pytest.mark.parametrize(
    "path", ["totp", "totp/qr.svg", "totp/remove", "passkeys/new", "passkeys/1/remove", "recovery-codes"]
)
def test_whatever_changes_factors_asks_first(browser: Browser, app: Flask, user: User, path: str) -> None:
    browser.log_in(user.email)
    with app.app_context():
        move(user, confirmed_at=timedelta(minutes=5, seconds=1))
    assert browser.get(f"{HUB}/{path}").headers["Location"].startswith("/confirm?next=")
    assert browser.get(HUB).status_code == 200


def test_a_session_that_came_in_without_the_factor_changes_nothing(browser: Browser, user: User, seed: str) -> None:
    """However it came to be: opened a moment ago, and still asked."""
    support.log_in(browser.client, user, second_factor=False)
    assert browser.sees_account()
    assert browser.get(f"{HUB}/totp/remove").headers["Location"].startswith("/confirm")
    assert browser.submit("/confirm", code=code_of(seed)).status_code == 303
    assert browser.get(f"{HUB}/totp/remove").status_code == 200


def test_the_first_factor_and_the_loss_of_one_log_the_others_out(
    open_browser: Callable[[], Browser], app: Flask, user: User, clock: Clock, letters: Letters
) -> None:
    other, mine = open_browser(), open_browser()
    other.log_in(user.email)
    mine.log_in(user.email)
    seed = set_up(mine)
    assert mine.sees_account()
    assert not other.sees_account()
    log_in(other, user, seed, 1)
    answer = mine.submit(f"{HUB}/totp/remove")
    assert (answer.status_code, answer.headers["Location"]) == (303, HUB)
    assert mine.sees_account()
    assert not other.sees_account()
    assert "was removed from your account" in letters(user.email)[-1]["text"]
    with app.app_context():
        assert kinds(user)[-1] == "factor_removed"
    assert other.log_in(user.email).headers["Location"] == "/numbers"


def set_up(browser: Browser) -> str:
    """Set an app up, as a person does; its seed."""
    seed = shown_seed(browser)
    assert browser.submit(f"{HUB}/totp", code=code_of(seed)).status_code == 303
    return seed


def test_with_the_last_factor_the_recovery_codes_go(browser: Browser, app: Flask, user: User, seed: str) -> None:
    give_codes(app, user)
    log_in(browser, user, seed)
    assert "recovery codes are gone" in browser.get(f"{HUB}/totp/remove").text
    browser.submit(f"{HUB}/totp/remove")
    with app.app_context():
        assert factors.of(user) == factors.Factors(None, [], 0)


def test_an_operator_takes_everything_from_an_account_whose_owner_lost_it(
    open_browser: Callable[[], Browser], app: Flask, user: User, seed: str, letters: Letters
) -> None:
    inside, half_way = open_browser(), open_browser()
    give_codes(app, user)
    log_in(inside, user, seed)
    give_password(half_way, user)
    run = app.test_cli_runner().invoke
    assert run(args=["account", "reset-second-factor", user.email]).exit_code != 0, "a reason is wanted"
    result = run(args=["account", "reset-second-factor", user.email, "--reason", "showed passport by video"])
    assert result.exit_code == 0, result.output
    assert not inside.sees_account()
    assert half_way.get(STEP).headers["Location"].startswith("/login")
    with app.app_context():
        assert factors.of(user) == factors.Factors(None, [], 0)
        assert kinds(user)[-1] == "factors_reset"
    assert "We removed the second factor" in letters(user.email)[-1]["text"]
    assert inside.log_in(user.email).headers["Location"] == "/numbers"


# ── Admins


@pytest.fixture
def chief(app: Flask, user: User) -> User:
    """An admin with a password."""
    with transaction():
        db.session.execute(text("UPDATE users SET role = 'admin' WHERE id = :id"), {"id": user.id})
    return user


def test_an_admin_without_a_factor_is_led_to_set_one_up_and_then_let_in(
    browser: Browser, app: Flask, chief: User, clock: Clock
) -> None:
    browser.log_in(chief.email)
    answer = browser.get("/admin/")
    assert (answer.status_code, answer.headers["Location"]) == (303, HUB)
    assert "Set up a second factor" in browser.get(HUB).text
    set_up(browser)
    assert browser.get("/admin/").status_code == 200


def test_an_admins_session_that_used_no_factor_is_asked_for_it(
    browser: Browser, app: Flask, chief: User, clock: Clock
) -> None:
    browser.log_in(chief.email)
    seed = set_up(browser)
    with app.app_context(), transaction():
        db.session.execute(update(Session).values(second_factor=False))
    answer = browser.get("/admin/")
    assert answer.headers["Location"] == "/confirm?next=/admin/"
    assert browser.submit("/confirm?next=/admin/", code=code_of(seed, 1)).headers["Location"] == "/admin/"
    assert browser.get("/admin/").status_code == 200


def test_an_admins_last_factor_stays(
    open_browser: Callable[[], Browser], app: Flask, chief: User, clock: Clock
) -> None:
    browser = open_browser()
    seed = give_app(app, chief)
    log_in(browser, chief, seed)
    answer = browser.submit(f"{HUB}/totp/remove")
    assert answer.status_code == 409
    assert "Add another one first" in answer.text
    with app.app_context():
        assert factors.are_set_up(chief)
    assert add_key(browser, Key()).status_code == 200
    assert browser.submit(f"{HUB}/totp/remove").status_code == 303


def test_of_two_factors_removed_at_once_an_admin_keeps_one(app: Flask, chief: User, clock: Clock) -> None:
    person_with_key(app, chief)
    give_app(app, chief)
    start = Barrier(2)
    with app.app_context():
        id = factors.of(chief).passkeys[0].id

    def remove(number: int) -> str:
        with app.test_request_context():
            user = db.session.get_one(User, chief.id)
            db.session.rollback()
            start.wait()
            try:
                return str(factors.remove_passkey(user, id) if number else factors.remove_totp(user))
            except factors.LastFactor:
                return "refused"
            finally:
                db.session.remove()

    with ThreadPoolExecutor(2) as pool:
        assert sorted(pool.map(remove, range(2))) == ["True", "refused"]


def test_where_the_setting_says_so_a_password_will_do(
    browser: Browser, app: Flask, chief: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(app.config, "ADMIN_SECOND_FACTOR", False)
    browser.log_in(chief.email)
    assert browser.get("/admin/").status_code == 200


def test_what_was_given_is_not_kept_longer_than_needed(app: Flask, user: User, seed: str) -> None:
    with app.app_context():
        assert codes.accept(user, wrong(seed), with_recovery=True) is None
        age(user, tries.WITHIN)
        assert codes.accept(user, wrong(seed), with_recovery=True) is None
        assert db.session.scalar(select(func.count(FactorTry.id))) == 1
