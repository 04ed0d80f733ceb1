"""Addresses, preferences and demo accounts."""

from collections.abc import Callable

import pytest
from flask import Flask

from namaskah.auth import accounts, sessions
from namaskah.auth.models import User
from tests.auth.people import Browser
from tests.support import open_session


@pytest.mark.parametrize(
    ("typed", "kept"),
    [
        ("  Ada.Obi@Example.COM ", "Ada.Obi@example.com"),
        ("ada+sms@example.co.uk", "ada+sms@example.co.uk"),
        ("ada@namaskah.test", "ada@namaskah.test"),
        ("ada@bücher.example", "ada@bücher.example"),
        ("ada", None),
        ("ada@", None),
        ("@example.com", None),
        ("ada@localhost", None),
        ("a b@example.com", None),
        ("ada@example.com\nBcc: x@example.com", None),
        ("ada@exa_mple.com", None),
        ("a@" + "b." * 130 + "com", None),
    ],
)
def test_an_address_is_kept_in_one_spelling(app: Flask, typed: str, kept: str | None) -> None:
    assert accounts.parse_email(typed) == kept


def test_production_takes_no_test_address(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(app.config, "ENVIRONMENT", "production")
    assert accounts.parse_email("ada@namaskah.test") is None


def test_an_account_is_found_however_the_address_is_written(app: Flask, user: User) -> None:
    found = accounts.find_by_email(f" {user.email.upper()} ")
    assert found
    assert found.id == user.id
    assert accounts.find_by_email("") is None


def test_demo_accounts_are_made_once_confirmed_and_open(app: Flask) -> None:
    made = accounts.create_demo_accounts()
    assert [(account.email, account.role) for account in made] == [
        ("demo@namaskah.test", "customer"),
        ("admin@namaskah.test", "admin"),
    ]
    assert made[0].password != made[1].password
    for account in made:
        user = accounts.authenticate(account.email, account.password)
        assert user
        assert (user.role, user.is_verified) == (account.role, True)
    assert accounts.create_demo_accounts() == []


def test_reset_demo_passwords_replace_the_old_and_end_sessions(app: Flask) -> None:
    assert accounts.reset_demo_passwords() == []
    old = accounts.create_demo_accounts()
    inside = accounts.find_by_email(old[0].email)
    assert inside
    token = open_session(inside)
    new = accounts.reset_demo_passwords()
    assert [account.email for account in new] == [account.email for account in old]
    for before, after in zip(old, new, strict=True):
        assert accounts.authenticate(before.email, before.password) is None
        assert accounts.authenticate(after.email, after.password)
    assert sessions.find_user(token) is None


def save(browser: Browser, **changed: str) -> int:
    wanted = {"language": "ar", "timezone": "Asia/Jakarta", "theme": "night"}
    return browser.submit("/account", **(wanted | changed)).status_code


def test_what_is_chosen_is_kept_and_shown(browser: Browser, user: User, fresh: Callable[[User], User]) -> None:
    browser.log_in(user.email)
    assert save(browser) == 303
    kept = fresh(user)
    assert (kept.language, kept.timezone, kept.theme, kept.sound) == ("ar", "Asia/Jakarta", "night", False)
    page = browser.get("/account").text
    assert 'lang="ar" dir="rtl" data-theme="night"' in page
    assert '<option selected value="Asia/Jakarta">' in page
    assert save(browser, sound="y") == 303
    assert fresh(user).sound is True


@pytest.mark.parametrize("changed", [{"language": "xx"}, {"timezone": "Mars/Olympus"}, {"theme": "pink"}])
def test_what_is_not_offered_is_not_kept(
    browser: Browser, user: User, fresh: Callable[[User], User], changed: dict[str, str]
) -> None:
    browser.log_in(user.email)
    assert save(browser, **changed) == 422
    kept = fresh(user)
    assert (kept.language, kept.timezone, kept.theme, kept.sound) == ("en", "Africa/Lagos", "", True)


def test_the_page_says_whether_the_address_is_confirmed(browser: Browser, user: User) -> None:
    browser.log_in(user.email)
    assert "Not confirmed yet" in browser.get("/account").text
    accounts.confirm_email(accounts.verification_token(user))
    page = browser.get("/account").text
    assert "Not confirmed yet" not in page
    assert user.email in page


def test_a_language_or_theme_chosen_anywhere_stays_with_the_account(
    open_browser: Callable[[], Browser], user: User, fresh: Callable[[User], User]
) -> None:
    browser, other = open_browser(), open_browser()
    browser.log_in(user.email)
    assert browser.get("/language/ar?next=/account").headers["Location"] == "/account"
    browser.submit("/theme", page="/account", theme="day")
    assert (fresh(user).language, fresh(user).theme) == ("ar", "day")
    other.log_in(user.email)
    assert 'lang="ar" dir="rtl" data-theme="day"' in other.get("/account").text
