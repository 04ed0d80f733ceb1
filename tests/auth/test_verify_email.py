"""Confirming the address."""

import re
from collections.abc import Callable

import time_machine
from flask import Flask
from itsdangerous import URLSafeTimedSerializer
from sqlalchemy import text

from namaskah.auth import accounts, audit
from namaskah.auth.models import User
from namaskah.db import db, transaction
from tests.auth.people import PASSWORD, Browser
from tests.auth.work import run_jobs, together

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
    for token in (other, stranger, good[:-2] + ("A" if good[-2] != "A" else "B") + good[-1], good[1:], "x", "a.b.c"):
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


def test_a_visitor_who_has_just_registered_gets_the_letter_again_and_no_word_on_whose_address_it_is(
    app: Flask, open_browser: Callable[[], Browser], confirmed: User, address: str, letters: Letters
) -> None:
    unknown = f"new{address}"
    answers = []
    for email in (unknown, confirmed.email):
        browser = open_browser()
        browser.submit("/register", email=email, password=PASSWORD, accept="y")
        statuses = [browser.submit("/verify-email/resend", page="/verify-email").status_code for _ in range(4)]
        answers.append((statuses, browser.get("/verify-email").text.replace(email, "")))
    assert answers[0][0] == answers[1][0] == [303, 303, 303, 429]
    run_jobs(app)
    assert ["/verify-email/" in letter["text"] for letter in letters(unknown)] == [True] * 4
    assert ["/verify-email/" in letter["text"] for letter in letters(confirmed.email)] == [True, *[False] * 4]


def test_an_address_that_nobody_has_any_more_gets_no_letter(app: Flask, address: str, letters: Letters) -> None:
    accounts.send_verification(address)
    assert letters(address) == []


def test_two_confirmations_at_once_are_one_event(app: Flask, user: User) -> None:
    token = token_of(app, user)
    together(app, 6, lambda: accounts.confirm_email(token))
    assert [event.kind for event in audit.history(user)].count("email_confirmed") == 1


def test_a_page_whose_address_is_a_secret_tells_it_to_nobody(browser: Browser, app: Flask, user: User) -> None:
    for path in (f"/verify-email/{token_of(app, user)}", "/verify-email/expired"):
        headers = browser.get(path).headers
        assert (headers["Referrer-Policy"], headers["Cache-Control"]) == ("no-referrer", "no-store")
    assert browser.get("/login").headers["Referrer-Policy"] == "same-origin"


def test_its_form_works_over_https_though_the_browser_names_no_page(browser: Browser, app: Flask, user: User) -> None:
    link, secure = f"/verify-email/{token_of(app, user)}", {"wsgi.url_scheme": "https"}
    token = re.search(r'name="csrf_token"[^>]* value="([^"]+)"', browser.get(link, environ_overrides=secure).text)
    assert token
    answer = browser.post(link, data={"csrf_token": token[1]}, environ_overrides=secure, headers={"Origin": "null"})
    assert answer.status_code == 303


def test_whoever_came_to_buy_goes_on_buying(browser: Browser, address: str, letters: Letters, link_in: LinkIn) -> None:
    wanted = "/numbers?service=whatsapp&country=NG"
    browser.submit(
        "/register?next=/numbers%3Fservice%3Dwhatsapp%26country%3DNG", email=address, password=PASSWORD, accept="y"
    )
    answer = browser.submit(link_in(letters(address)[0]))
    assert browser.submit(answer.headers["Location"], email=address, password=PASSWORD).headers["Location"] == wanted
