"""Confirming the address."""

from collections.abc import Callable

import time_machine
from flask import Flask
from itsdangerous import URLSafeTimedSerializer
from sqlalchemy import text

from namaskah.auth import accounts
from namaskah.auth.models import User
from namaskah.db import db, transaction
from tests.auth.people import PASSWORD, Browser

Letters = Callable[[str], list[dict[str, str]]]
LinkIn = Callable[[dict[str, str]], str]
HOUR = 3600


def token_of(app: Flask, user: User) -> str:
    with app.app_context():
        return accounts.verification_token(user)


def test_opening_the_link_confirms_nothing_pressing_the_button_does(
    browser: Browser, user: User, letters: Letters, link_in: LinkIn, fresh: Callable[[User], User]
) -> None:
    link = link_in(letters(user.email)[0])
    browser.log_in(user.email)
    page = browser.get(link)
    assert page.status_code == 200
    assert user.email in page.text
    browser.get(link, method="HEAD")
    assert not fresh(user).is_verified
    assert "is confirmed." not in browser.get("/account").text
    answer = browser.submit(link)
    assert (answer.status_code, answer.headers["Location"]) == (303, "/wallet")
    assert fresh(user).is_verified
    assert "Top up to buy your first number" in browser.get("/account").text


def test_another_device_that_is_logged_out_will_do(
    open_browser: Callable[[], Browser], user: User, letters: Letters, link_in: LinkIn, fresh: Callable[[User], User]
) -> None:
    phone = open_browser()
    answer = phone.submit(link_in(letters(user.email)[0]))
    assert (answer.status_code, answer.headers["Location"]) == (303, "/login?next=/wallet")
    assert fresh(user).is_verified
    assert "address is confirmed" in phone.get("/login").text
    assert not phone.sees_account()


def test_somebody_elses_log_in_stays_theirs(
    browser: Browser, app: Flask, user: User, address: str, letters: Letters, link_in: LinkIn
) -> None:
    with app.app_context():
        accounts.register(f"other{address}", PASSWORD, "en")
    browser.log_in(f"other{address}")
    assert browser.submit(link_in(letters(user.email)[0])).headers["Location"].startswith("/login")
    assert f"other{address}" in browser.get("/account").text


def test_the_second_click_is_friendly(browser: Browser, app: Flask, user: User) -> None:
    link = f"/verify-email/{token_of(app, user)}"
    assert [browser.submit(link).status_code for _ in range(2)] == [303, 303]


def test_a_link_works_for_a_day(browser: Browser, app: Flask, user: User, fresh: Callable[[User], User]) -> None:
    with time_machine.travel(1_700_000_000, tick=False) as clock:
        link = f"/verify-email/{token_of(app, user)}"
        clock.shift(24 * HOUR + 1)
        assert browser.get(link).status_code == 410
        clock.shift(-2)
        assert browser.get(link).status_code == 200


def test_an_old_link_says_so_and_confirms_nothing(
    browser: Browser, app: Flask, user: User, fresh: Callable[[User], User]
) -> None:
    with time_machine.travel(1_700_000_000, tick=False):
        token = token_of(app, user)
    answer = browser.get(f"/verify-email/{token}")
    assert answer.status_code == 410
    assert "does not work any more" in answer.text
    with app.app_context():
        try:
            accounts.confirm_email(token)
        except accounts.InvalidLink as error:
            assert error.status == 410
        else:
            raise AssertionError("an old link was taken")
    assert not fresh(user).is_verified


def test_an_old_link_to_a_confirmed_address_is_still_friendly(browser: Browser, app: Flask, confirmed: User) -> None:
    with time_machine.travel(1_700_000_000, tick=False):
        token = token_of(app, confirmed)
    assert browser.get(f"/verify-email/{token}").status_code == 200


def test_a_link_is_for_the_address_it_was_sent_to(
    browser: Browser, app: Flask, user: User, address: str, fresh: Callable[[User], User]
) -> None:
    link = f"/verify-email/{token_of(app, user)}"
    with app.app_context(), transaction():
        db.session.execute(text("UPDATE users SET email = :e WHERE id = :i"), {"e": f"new{address}", "i": user.id})
    assert browser.get(link).status_code == 410
    assert not fresh(user).is_verified


def test_what_was_signed_for_another_purpose_confirms_nothing(browser: Browser, app: Flask, user: User) -> None:
    other = URLSafeTimedSerializer(app.config["SECRET_KEY"], salt="another purpose").dumps([user.id, user.email])
    stranger = URLSafeTimedSerializer("f" * 32, salt="namaskah.auth.verify-email").dumps([user.id, user.email])
    good = token_of(app, user)
    for token in (other, stranger, good[:-1] + ("A" if good[-1] != "A" else "B"), good[1:], "x", "a.b.c"):
        assert browser.get(f"/verify-email/{token}").status_code == 410


def test_the_letter_comes_again_three_times_an_hour(browser: Browser, user: User, letters: Letters) -> None:
    browser.log_in(user.email)
    answers = [browser.submit("/verify-email/resend", page="/verify-email").status_code for _ in range(4)]
    assert answers == [303, 303, 303, 429]
    assert len(letters(user.email)) == 1 + 3


def test_a_confirmed_account_gets_no_further_letter(browser: Browser, confirmed: User, letters: Letters) -> None:
    browser.log_in(confirmed.email)
    browser.submit("/verify-email/resend", page="/account")
    assert len(letters(confirmed.email)) == 1
    assert browser.get("/verify-email").headers["Location"] == "/numbers"


def test_a_visitor_who_opened_no_account_here_is_asked_to_log_in(browser: Browser) -> None:
    assert browser.get("/verify-email").headers["Location"] == "/login?next=/verify-email"
    assert browser.submit("/verify-email/resend", page="/login").headers["Location"].startswith("/login")


def test_whoever_came_to_buy_goes_on_buying(browser: Browser, address: str, letters: Letters, link_in: LinkIn) -> None:
    wanted = "/numbers?service=whatsapp&country=NG"
    browser.submit(
        "/register?next=/numbers%3Fservice%3Dwhatsapp%26country%3DNG", email=address, password=PASSWORD, accept="y"
    )
    answer = browser.submit(link_in(letters(address)[0]))
    assert browser.submit(answer.headers["Location"], email=address, password=PASSWORD).headers["Location"] == wanted
