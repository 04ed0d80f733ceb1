"""A new password by a link in a letter."""

import re
from collections.abc import Callable

import pytest
import time_machine
from flask import Flask
from sqlalchemy import text

from namaskah.auth import accounts, audit, credentials, email_changes, links, passwords
from namaskah.auth.models import User
from namaskah.db import db, transaction
from tests.auth.people import PASSWORD, Browser
from tests.auth.work import run_jobs, together

Letters = Callable[[str], list[dict[str, str]]]
NEW = "seven quiet kettles"
MINUTE = 60


def ask(app: Flask, browser: Browser, email: str) -> list[str]:
    """The paths of the links that an address is sent after asking."""
    answer = browser.submit("/forgot-password", email=email)
    assert (answer.status_code, answer.headers["Location"]) == (303, "/forgot-password/sent")
    return [re.search(r"(/reset-password/[\w.\-]+)", letter["text"])[1] for letter in run_jobs(app)]  # type: ignore[index]


def link_for(app: Flask, user: User) -> str:
    with app.app_context():
        return f"/reset-password/{credentials.reset_token(db.session.get_one(User, user.id))}"


def is_dead(browser: Browser, link: str) -> bool:
    looked, pressed = browser.get(link), browser.submit(link, page="/login", password=NEW)
    assert looked.status_code == pressed.status_code
    return looked.status_code == 410 and "does not work any more" in pressed.text


def test_from_forgetting_to_logging_in(
    app: Flask, open_browser: Callable[[], Browser], confirmed: User, letters: Letters
) -> None:
    browser, other = open_browser(), open_browser()
    other.log_in(confirmed.email)
    [link] = ask(app, browser, f" {confirmed.email.upper()} ")
    assert confirmed.email in browser.get(link).text
    answer = browser.submit(link, password=NEW)
    assert (answer.status_code, answer.headers["Location"]) == (303, "/login")
    assert "Your new password works from now on" in browser.get("/login").text
    assert not browser.sees_account()
    assert not other.sees_account()
    assert browser.log_in(confirmed.email).status_code == 422
    assert browser.log_in(confirmed.email, NEW).status_code == 303
    # And no letter about a new device: the one about the password names it.
    assert "The password of your account was changed." in letters(confirmed.email)[-1]["text"]
    events = [event.kind for event in audit.history(confirmed)]
    assert events[:4] == ["login", "login_failed", "password_reset", "reset_asked"]


def test_the_letter_leads_to_our_own_address_and_says_how_long(app: Flask, browser: Browser, confirmed: User) -> None:
    browser.submit("/forgot-password", email=confirmed.email, headers={"X-Forwarded-Host": "evil.example"})
    [letter] = run_jobs(app)
    assert letter["to"] == confirmed.email
    for part in (letter["text"], letter["html"]):
        assert f"{app.config['BASE_URL']}/reset-password/" in part
        assert "60 minutes" in part
        assert "evil.example" not in part


def test_the_link_lies_in_no_job(app: Flask, browser: Browser, confirmed: User) -> None:
    browser.submit("/forgot-password", email=confirmed.email)
    with app.app_context():
        waiting = db.session.scalars(text("SELECT args::text FROM procrastinate_jobs")).all()
    assert any(confirmed.email in job for job in waiting)
    assert not any("/reset-password/" in job for job in waiting)
    assert len(run_jobs(app)) == 1
    with app.app_context():
        assert not any(
            "/reset-password/" in job for job in db.session.scalars(text("SELECT args::text FROM procrastinate_jobs"))
        )


def test_an_unknown_address_and_a_closed_account_get_no_letter(
    app: Flask, browser: Browser, confirmed: User, address: str, ban: Callable[[User], None]
) -> None:
    ban(confirmed)
    assert ask(app, browser, f"un{address}") == []
    assert ask(app, browser, confirmed.email) == []


def test_looking_uses_nothing_up(app: Flask, browser: Browser, confirmed: User) -> None:
    link = link_for(app, confirmed)
    for method in ("GET", "HEAD", "GET"):
        assert browser.get(link, method=method).status_code == 200
    assert browser.submit(link, password=NEW).status_code == 303


def test_a_page_with_a_secret_address_is_neither_kept_nor_passed_on(app: Flask, browser: Browser, user: User) -> None:
    headers = browser.get(link_for(app, user)).headers
    assert (headers["Referrer-Policy"], headers["Cache-Control"]) == ("no-referrer", "no-store")


def test_a_link_works_for_an_hour(app: Flask, browser: Browser, confirmed: User) -> None:
    with time_machine.travel(1_700_000_000, tick=False) as clock:
        link = link_for(app, confirmed)
        clock.shift(60 * MINUTE + 1)
        assert is_dead(browser, link)
        clock.shift(-2)
        assert browser.get(link).status_code == 200


def test_a_link_works_once(app: Flask, browser: Browser, confirmed: User) -> None:
    link, sooner = link_for(app, confirmed), link_for(app, confirmed)
    assert browser.submit(link, password=NEW).status_code == 303
    assert is_dead(browser, link)
    assert is_dead(browser, sooner)


def test_of_twenty_at_once_one_chooses_the_password(app: Flask, confirmed: User, letters: Letters) -> None:
    before = len(letters(confirmed.email))
    token = link_for(app, confirmed).rpartition("/")[2]
    chosen = iter(f"{NEW} {number}" for number in range(20))
    found = together(app, 20, lambda: _reset(token, next(chosen)))
    done = [new for new in found if isinstance(new, str)]
    assert len(done) == 1
    assert sum(isinstance(error, accounts.InvalidLink) for error in found) == 19
    with app.test_request_context():
        assert accounts.authenticate(confirmed.email, done[0])
    assert len(letters(confirmed.email)) == before + 1


def _reset(token: str, new: str) -> str:
    credentials.reset_password(token, new)
    return new


@pytest.mark.parametrize("what", ["password", "ban", "address", "confirmed"])
def test_a_link_dies_with_what_it_was_made_for_and_with_nothing_else(
    app: Flask, browser: Browser, user: User, address: str, what: str
) -> None:
    link = link_for(app, user)
    change = {
        "password": ("password_hash = :value", passwords.hashed(PASSWORD)),
        "ban": ("banned_at = now(), theme = :value", ""),
        "address": ("email = :value", f"new{address}"),
        "confirmed": ("email_verified_at = now(), theme = :value", ""),
    }[what]
    with app.app_context(), transaction():
        db.session.execute(text(f"UPDATE users SET {change[0]} WHERE id = :i"), {"value": change[1], "i": user.id})
    if what == "confirmed":
        assert browser.get(link).status_code == 200
    else:
        assert is_dead(browser, link)


def test_what_was_signed_for_another_purpose_resets_nothing(app: Flask, browser: Browser, user: User) -> None:
    good = link_for(app, user).rpartition("/")[2]
    verification = accounts.verification_token(user)
    change = links.sign("change-email", user.id, credentials._seal(user))
    spoilt = good[:-5] + ("A" if good[-5] != "A" else "B") + good[-4:]  # the last letter has bits that say nothing
    for token in (verification, change, spoilt, good[1:], "x", "a.b.c"):
        assert browser.get(f"/reset-password/{token}").status_code == 410
    assert browser.get(f"/verify-email/{good}").status_code == 410


def test_whoever_resets_by_mail_has_confirmed_the_address(
    app: Flask, open_browser: Callable[[], Browser], user: User, fresh: Callable[[User], User]
) -> None:
    squatter, owner = open_browser(), open_browser()
    squatter.log_in(user.email)
    [link] = ask(app, owner, user.email)
    assert not fresh(user).is_verified
    owner.get(link)
    assert not fresh(user).is_verified
    owner.submit(link, password=NEW)
    assert fresh(user).is_verified
    assert not squatter.sees_account()
    reset = next(event for event in audit.history(user) if event.kind == "password_reset")
    assert reset.details == {"confirmed_address": True}


def test_an_address_that_waits_to_be_confirmed_is_forgotten(app: Flask, browser: Browser, confirmed: User) -> None:
    with app.test_request_context():
        email_changes.ask(confirmed, "elsewhere@example.com")
    browser.submit(link_for(app, confirmed), password=NEW)
    with app.app_context():
        assert email_changes.find(confirmed) is None


def test_a_refused_password_can_be_mended(app: Flask, browser: Browser, confirmed: User) -> None:
    link = link_for(app, confirmed)
    for bad, said in (("", "Choose a password"), ("short", "at least 15"), (f"{confirmed.email}1", "guessed early")):
        answer = browser.submit(link, password=bad)
        assert (answer.status_code, said in answer.text) == (422, True)
    assert browser.submit(link, password=NEW).status_code == 303


def test_whoever_is_logged_in_is_logged_out_with_it(
    app: Flask, open_browser: Callable[[], Browser], confirmed: User, address: str
) -> None:
    here, stranger = open_browser(), open_browser()
    here.log_in(confirmed.email)
    accounts.register(f"other{address}", PASSWORD, "en")
    stranger.log_in(f"other{address}")
    assert confirmed.email in here.get("/forgot-password").text
    stranger.submit(link_for(app, confirmed), password=NEW)
    assert f"other{address}" in stranger.get("/account").text, "another account's log-in stays"
    assert not here.sees_account()
    assert here.log_in(confirmed.email, NEW).status_code == 303
    answer = here.submit(link_for(app, confirmed), password=PASSWORD)
    assert (answer.status_code, answer.headers["Location"]) == (303, "/login")
    assert "Your new password works" in here.get("/login").text


def test_three_letters_an_hour_go_to_an_address_and_the_last_ones_link_still_works(
    app: Flask, open_browser: Callable[[], Browser], confirmed: User
) -> None:
    answers = [open_browser().submit("/forgot-password", email=confirmed.email) for _ in range(4)]
    assert [answer.status_code for answer in answers] == [303, 303, 303, 429]
    assert int(answers[3].headers["Retry-After"]) > 0
    assert len(run_jobs(app)) == 3
    assert open_browser().submit("/forgot-password", email=f"other{confirmed.email}").status_code == 303


def test_what_is_no_address_is_said(browser: Browser) -> None:
    answer = browser.submit("/forgot-password", email="nobody")
    assert (answer.status_code, "no e-mail address" in answer.text) == (422, True)
    assert browser.get("/forgot-password/sent").headers["Location"] == "/forgot-password"
