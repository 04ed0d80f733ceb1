"""A new secret key logs nobody out, and open forms and mailed links stay good, until the old key is taken off."""

import re
import secrets
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from flask import Flask
from itsdangerous import BadSignature

from namaskah import create_app
from namaskah.auth import accounts
from namaskah.auth.models import User
from namaskah.auth.signing import lasting_signer, signer
from namaskah.db import db
from tests import support
from tests.auth.people import PASSWORD, Browser

OLD, NEW = secrets.token_hex(32), secrets.token_hex(32)
MakeApp = Callable[..., Flask]


@pytest.fixture
def started(app: Flask, settings: dict[str, str]) -> Iterator[MakeApp]:
    """The product as it starts with these keys."""
    made: list[Flask] = []

    def start(key: str, *old: str) -> Flask:
        keys = {"SECRET_KEY": key, "SECRET_KEYS_OLD": ",".join(old)}
        made.append(create_app(support.load_settings(settings | keys) | {"WTF_CSRF_ENABLED": True}))
        made[-1].test_client_class = support.Visitor
        return made[-1]

    yield start
    for one in made:
        with one.app_context():
            db.session.remove()
            db.engine.dispose()


def moved(browser: Browser, to: Flask) -> Browser:
    """The same browser, at the installation as it is after its restart."""
    new = Browser(to)
    for name in ("session", "device"):
        cookie = browser.client.get_cookie(name)
        if cookie:
            new.client.set_cookie(name, cookie.value)
    return new


def test_a_new_key_logs_nobody_out_and_keeps_open_forms(started: MakeApp, user: User) -> None:
    browser = Browser(started(OLD))
    browser.log_in(user.email)
    token = re.search(r'name="csrf_token" value="([^"]+)"', browser.get("/account").text)
    assert token
    after = moved(browser, started(NEW, OLD))
    assert after.sees_account()
    answer = after.post("/theme", data={"theme": "night", "csrf_token": token[1]})
    assert answer.status_code == 303
    assert "night" in after.get("/account").text


def test_a_key_taken_off_the_list_ends_what_it_signed(started: MakeApp, user: User) -> None:
    browser = Browser(started(OLD))
    browser.log_in(user.email)
    token = re.search(r'name="csrf_token" value="([^"]+)"', browser.get("/account").text)
    assert token
    after = moved(browser, started(NEW))
    assert not after.sees_account()
    assert after.post("/theme", data={"theme": "night", "csrf_token": token[1]}).status_code == 400


def test_what_is_sent_out_after_the_change_no_longer_needs_the_old_key(started: MakeApp, user: User) -> None:
    between = Browser(started(NEW, OLD))
    between.log_in(user.email)
    assert moved(between, started(NEW)).sees_account()


def test_mailed_links_outlive_a_new_key_as_long_as_the_old_one_is_listed(started: MakeApp, user: User) -> None:
    with started(OLD).app_context():
        token = accounts.verification_token(user)
    assert Browser(started(NEW)).get(f"/verify-email/{token}").status_code == 410
    assert Browser(started(NEW, secrets.token_hex(32), OLD)).get(f"/verify-email/{token}").status_code == 200


def test_a_known_browser_stays_known(
    started: MakeApp, user: User, letters: Callable[[str], list[dict[str, str]]]
) -> None:
    browser = Browser(started(OLD))
    browser.log_in(user.email)
    browser.submit("/logout", page="/account")
    before = len(letters(user.email))
    after = moved(browser, started(NEW, OLD))
    assert after.log_in(user.email, PASSWORD).status_code == 303
    assert len(letters(user.email)) == before  # no letter about a new device


@pytest.mark.parametrize("make", [signer, lasting_signer])
def test_a_signer_takes_no_other_purposes_values(app: Flask, make: Callable[[str], Any]) -> None:
    value = make("one").dumps([1])
    assert make("one").loads(value) == [1]
    with pytest.raises(BadSignature):
        make("another").loads(value)
