"""Passkeys: added, used in the place of the password and beside it, refused when anything about them is not right."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from threading import Barrier
from typing import Any

import pytest
import time_machine
from flask import Flask
from sqlalchemy import func, select, update

from namaskah.auth.models import Session, User
from namaskah.auth.second_factor import challenges, factors, passkeys
from namaskah.auth.second_factor.models import Passkey, SpentChallenge
from namaskah.db import db, transaction
from namaskah.extensions import redis
from tests.auth.factor_people import (
    HUB,
    Key,
    add_key,
    ask,
    b64,
    enter_by_key,
    give_app,
    give_password,
    person_with_key,
)
from tests.auth.people import Browser
from tests.auth.test_audit import kinds
from tests.auth.test_sessions import cookie_token, move

Clock = time_machine.Traveller
Letters = Callable[[str], list[dict[str, str]]]
NEW = f"{HUB}/passkeys/new"
ENTER = "/login/passkey"


@pytest.fixture
def key(app: Flask, user: User) -> Key:
    return person_with_key(app, user)


# ── Adding and removing


def test_several_are_added_named_and_removed(browser: Browser, app: Flask, user: User, letters: Letters) -> None:
    browser.log_in(user.email)
    answer = add_key(browser, Key(), "  My   phone ")
    assert (answer.status_code, answer.json) == (200, {"go": f"{HUB}/recovery-codes"})
    assert add_key(browser, Key(), "<b>Stick</b>" + "x" * 80).status_code == 200
    assert add_key(browser, Key(), "").status_code == 200
    page = browser.get(HUB).text
    assert "My phone" in page
    assert "&lt;b&gt;Stick" in page
    assert "<b>Stick" not in page
    with app.app_context():
        keys = factors.of(user).passkeys
        assert [len(key.name) for key in keys] == [8, 60, 7]
        assert keys[0].transports == "internal"
        first, second, third = (key.id for key in keys)
        assert kinds(user)[-1] == "factor_added"
    assert "A passkey was added" in letters(user.email)[-1]["text"]
    assert browser.submit(f"{HUB}/passkeys/{first}/remove").status_code == 303
    assert browser.get(f"{HUB}/passkeys/{first}/remove").status_code == 404
    with app.app_context():
        assert [key.id for key in factors.of(user).passkeys] == [second, third]
        assert kinds(user)[-1] == "factor_removed"


def test_what_the_browser_is_asked_for(browser: Browser, app: Flask, user: User) -> None:
    browser.log_in(user.email)
    first = Key()
    add_key(browser, first)
    options: Any = ask(browser, f"{HUB}/passkeys/options", {}, NEW).json
    assert options["rp"] == {"name": "Namaskah", "id": "localhost"}
    assert options["authenticatorSelection"]["residentKey"] == "required"
    assert options["authenticatorSelection"]["userVerification"] == "required"
    assert options["attestation"] == "none"
    assert [known["id"] for known in options["excludeCredentials"]] == [b64(first.id)]
    assert user.email not in options["user"]["id"]
    options = ask(browser, f"{ENTER}/options", {}, NEW).json
    assert (options["rpId"], options["userVerification"]) == ("localhost", "required")
    assert options["allowCredentials"] == [], "whichever its owner takes"


@pytest.mark.parametrize(
    ("base_url", "origin", "rp_id"),
    [
        ("https://Namaskah.example", "https://namaskah.example", "namaskah.example"),
        ("https://namaskah.example:443", "https://namaskah.example", "namaskah.example"),
        ("https://namaskah.example:8443", "https://namaskah.example:8443", "namaskah.example"),
        ("http://localhost:8000", "http://localhost:8000", "localhost"),
        ("http://localhost:80", "http://localhost", "localhost"),
    ],
)
def test_origin_and_rp_id_are_those_of_our_own_address(
    app: Flask, monkeypatch: pytest.MonkeyPatch, base_url: str, origin: str, rp_id: str
) -> None:
    monkeypatch.setitem(app.config, "BASE_URL", base_url)
    with app.test_request_context(headers={"Host": "evil.example"}):
        assert (passkeys._origin(), passkeys._rp_id()) == (origin, rp_id)


@pytest.mark.parametrize(
    "wrong",
    [
        {"origin": "http://localhost:8000"},
        {"origin": "https://localhost"},
        {"origin": "http://localhost.evil.example"},
        {"rp_id": "evil.example"},
        {"verified": False},
    ],
)
def test_a_key_made_elsewhere_or_without_knowing_its_owner_is_not_added(
    browser: Browser, app: Flask, user: User, wrong: dict[str, Any]
) -> None:
    browser.log_in(user.email)
    answer = add_key(browser, Key(**wrong))
    assert (answer.status_code, list(answer.json or {})) == (422, ["error"])
    with app.app_context():
        assert not factors.are_set_up(user)


def test_one_key_is_not_added_twice(open_browser: Callable[[], Browser], app: Flask, user: User, key: Key) -> None:
    browser = open_browser()
    enter_by_key(browser, key)
    key.handle = b""
    answer = add_key(browser, key)
    assert answer.status_code == 422
    assert "in use already" in str(answer.json)


def test_an_account_has_twenty_at_most(browser: Browser, app: Flask, user: User) -> None:
    browser.log_in(user.email)
    add_key(browser, Key())
    with app.app_context(), transaction():
        for number in range(passkeys.MOST - 2):
            values = {"credential_id": bytes([number]), "public_key": b"k", "sign_count": 0, "name": "x"}
            db.session.add(Passkey(user_id=user.id, **values))
    late = Key()
    options: Any = ask(browser, f"{HUB}/passkeys/options", {}, NEW).json
    with browser.client.session_transaction() as session:
        note = session[challenges.NOTE]
    assert add_key(browser, Key()).status_code == 200
    with browser.client.session_transaction() as session:
        session[challenges.NOTE] = note
    for path, sent in (("passkeys", {"credential": late.make(options)}), ("passkeys/options", {})):
        answer = ask(browser, f"{HUB}/{path}", sent, NEW)
        assert answer.status_code == 422
        assert "Remove one first" in str(answer.json)


def test_the_first_one_logs_the_other_browsers_out_and_the_second_does_not(
    open_browser: Callable[[], Browser], user: User
) -> None:
    mine, other = open_browser(), open_browser()
    mine.log_in(user.email)
    other.log_in(user.email)
    first = Key()
    add_key(mine, first)
    assert mine.sees_account()
    assert not other.sees_account()
    enter_by_key(other, first)
    add_key(mine, Key())
    assert other.sees_account()


def test_adding_needs_a_proof_of_the_last_minutes(browser: Browser, app: Flask, user: User) -> None:
    browser.log_in(user.email)
    token_page = "/account"
    with app.app_context():
        move(user, confirmed_at=timedelta(minutes=6))
    for path in (f"{HUB}/passkeys/options", f"{HUB}/passkeys"):
        answer = ask(browser, path, {}, token_page)
        assert answer.headers["Location"].startswith("/confirm")


@pytest.mark.parametrize("sent", [None, [], "x", {}, {"credential": {}}, {"credential": {"rawId": 7, "response": 7}}])
def test_nonsense_is_answered_calmly(browser: Browser, user: User, sent: Any) -> None:
    browser.log_in(user.email)
    for path in (f"{HUB}/passkeys", "/confirm/passkey", ENTER):
        ask(browser, f"{path}/options", {}, NEW)
        answer = ask(browser, path, sent, NEW)
        assert answer.status_code in (400, 422), path


# ── Using


def test_a_passkey_alone_logs_in_with_both_factors(
    browser: Browser, app: Flask, user: User, key: Key, letters: Letters
) -> None:
    answer = enter_by_key(browser, key, f"{ENTER}?next=/wallet")
    assert (answer.status_code, answer.json) == (200, {"go": "/wallet"})
    assert browser.sees_account()
    with app.app_context():
        newest = db.session.scalars(select(Session).order_by(Session.id.desc())).first()
        assert newest
        assert newest.second_factor
        assert kinds(user)[-1] == "login"
        assert factors.of(user).passkeys[0].used_at


def test_logging_in_leaves_nothing_of_whoever_used_the_browser_before(browser: Browser, key: Key) -> None:
    with browser.client.session_transaction() as session:
        session["planted"] = "by somebody before"
    enter_by_key(browser, key)
    with browser.client.session_transaction() as session:
        assert "planted" not in session


def test_the_way_out_of_the_site_is_not_followed(browser: Browser, key: Key) -> None:
    assert enter_by_key(browser, key, f"{ENTER}?next=//evil.example").json == {"go": "/numbers"}


def test_after_the_password_it_is_the_second_factor(browser: Browser, user: User, key: Key) -> None:
    step = give_password(browser, user)
    page = browser.get(step).text
    assert "Use a passkey" in page
    options: Any = ask(browser, f"{ENTER}/options", {}, step).json
    assert [known["id"] for known in options["allowCredentials"]] == [b64(key.id)]
    assert options["allowCredentials"][0]["transports"] == ["internal"]
    assert enter_by_key(browser, key, page=step).status_code == 200
    assert browser.sees_account()


def test_somebody_elses_passkey_does_not_finish_a_log_in(
    browser: Browser, app: Flask, user: User, confirmed: User, bob: User, clock: Clock
) -> None:
    give_app(app, user)
    with app.app_context(), transaction():
        db.session.execute(update(User).where(User.id == bob.id).values(password_hash=user.password_hash))
    key = person_with_key(app, bob)
    step = give_password(browser, user)
    assert enter_by_key(browser, key, page=step).status_code == 422
    assert not browser.sees_account()


@pytest.mark.parametrize(
    "wrong",
    [
        {"origin": "https://evil.example"},
        {"rp_id": "evil.example"},
        {"verified": False},
        {"handle": b"somebody else"},
        {"id": b"unknown"},
        {"_private": Key()._private},
    ],
)
def test_a_proof_that_is_none_lets_nobody_in(browser: Browser, app: Flask, key: Key, wrong: dict[str, Any]) -> None:
    for name, value in wrong.items():
        setattr(key, name, value)
    answer = enter_by_key(browser, key)
    assert (answer.status_code, list(answer.json or {})) == (422, ["error"])
    assert not browser.sees_account()


def test_the_step_up_takes_a_passkey_and_exchanges_the_token(
    open_browser: Callable[[], Browser], app: Flask, user: User, key: Key, bob: User
) -> None:
    browser = open_browser()
    enter_by_key(browser, key)
    before = cookie_token(browser)
    with app.app_context():
        move(user, confirmed_at=timedelta(minutes=10))
    confirm = browser.get(NEW).headers["Location"]
    assert confirm == f"/confirm?next={NEW}"
    page = browser.get(confirm).text
    assert "Use a passkey" in page
    assert 'name="password"' not in page
    assert 'name="code"' not in page
    answer = enter_by_key(browser, key, f"/confirm/passkey?next={NEW}", confirm)
    assert answer.json == {"go": NEW}
    assert browser.get(NEW).status_code == 200
    assert cookie_token(browser) not in ("", before)


def test_a_banned_owner_is_told_and_stays_out(
    browser: Browser, user: User, key: Key, ban: Callable[[User], None]
) -> None:
    ban(user)
    answer = enter_by_key(browser, key)
    assert answer.status_code == 403
    assert "account is closed" in str(answer.json)
    assert not browser.sees_account()


def test_a_removed_passkey_opens_nothing(open_browser: Callable[[], Browser], app: Flask, user: User, key: Key) -> None:
    inside, outside = open_browser(), open_browser()
    enter_by_key(inside, key)
    with app.app_context():
        id = factors.of(user).passkeys[0].id
    inside.submit(f"{HUB}/passkeys/{id}/remove")
    assert enter_by_key(outside, key).status_code == 422
    assert not outside.sees_account()


def test_without_our_token_nothing_is_answered(browser: Browser, user: User) -> None:
    browser.log_in(user.email)
    for path in (ENTER, "/confirm/passkey", f"{HUB}/passkeys"):
        for address in (path, f"{path}/options"):
            assert browser.post(address, json={}).status_code == 400


# ── Challenges and counts


def test_a_challenge_is_for_one_purpose_in_one_browser(
    open_browser: Callable[[], Browser], user: User, key: Key
) -> None:
    browser, other = open_browser(), open_browser()
    options: Any = ask(browser, f"{ENTER}/options", {}, "/login").json
    signed = key.sign(options)
    assert ask(other, ENTER, {"credential": signed}, "/login").status_code == 422
    ask(other, f"{ENTER}/options", {}, "/login")
    assert ask(other, ENTER, {"credential": signed}, "/login").status_code == 422
    assert ask(browser, ENTER, {"credential": signed}, "/login").status_code == 200
    assert ask(browser, "/confirm/passkey", {"credential": signed}, "/account").status_code == 422


def test_a_challenge_for_logging_in_confirms_nothing(browser: Browser, key: Key) -> None:
    enter_by_key(browser, key)
    options: Any = ask(browser, f"{ENTER}/options", {}, "/account").json
    answer = ask(browser, "/confirm/passkey", {"credential": key.sign(options)}, "/account")
    assert answer.status_code == 422


def test_a_challenge_waits_five_minutes(browser: Browser, key: Key, clock: Clock) -> None:
    for seconds, expected in ((challenges.SECONDS - 3, 200), (challenges.SECONDS, 422)):
        browser.post("/logout")
        options: Any = ask(browser, f"{ENTER}/options", {}, "/pricing" if browser.sees_account() else "/login").json
        clock.shift(seconds)
        answer = ask(browser, ENTER, {"credential": key.sign(options)}, "/login")
        assert answer.status_code == expected
        browser.submit("/logout", page="/account")


def test_of_twenty_with_the_same_answer_at_once_one_gets_in(
    open_browser: Callable[[], Browser], app: Flask, user: User, key: Key
) -> None:
    """A key that does not count: only the challenge keeps its answer to one use, even with a copy of the cookie."""
    redis.client.flushdb()
    first, start = open_browser(), Barrier(20)
    options: Any = ask(first, f"{ENTER}/options", {}, "/login").json
    signed = key.sign(options)
    with first.client.session_transaction() as session:
        note, token = session[challenges.NOTE], session["csrf_token"]

    def attempt(_number: int) -> int:
        browser = open_browser()
        with browser.client.session_transaction() as session:
            session[challenges.NOTE], session["csrf_token"] = note, token
        found = ask_token(browser)
        start.wait()
        return browser.post(ENTER, json={"credential": signed}, headers={"X-CSRFToken": found}).status_code

    with ThreadPoolExecutor(20) as pool:
        statuses = list(pool.map(attempt, range(20)))
    assert (statuses.count(200), statuses.count(422)) == (1, 19)


def ask_token(browser: Browser) -> str:
    return browser.get("/login").text.partition('data-token="')[2].partition('"')[0]


def test_a_count_that_does_not_grow_is_refused_and_written_down(
    open_browser: Callable[[], Browser], app: Flask, user: User, key: Key, caplog: pytest.LogCaptureFixture
) -> None:
    for count, expected in ((5, 200), (6, 200), (6, 422), (4, 422), (0, 422), (7, 200)):
        browser = open_browser()
        key.count = count
        assert enter_by_key(browser, key).status_code == expected, count
        assert browser.sees_account() is (expected == 200)
    assert "there may be a copy of it" in caplog.text
    with app.app_context():
        assert kinds(user).count("passkey_refused") == 3
        assert factors.of(user).passkeys[0].sign_count == 7


def test_a_key_that_never_counts_is_taken_each_time(open_browser: Callable[[], Browser], key: Key) -> None:
    assert [enter_by_key(open_browser(), key).status_code for _ in range(3)] == [200] * 3


def test_spent_challenges_are_kept_only_as_long_as_they_matter(app: Flask, clock: Clock) -> None:
    def spend(challenge: bytes) -> bool:
        with transaction():
            return challenges.spend(challenge)

    assert spend(b"old")
    assert not spend(b"old")
    with transaction():
        db.session.execute(update(SpentChallenge).values(spent_at=SpentChallenge.spent_at - challenges.KEPT))
    assert spend(b"new")
    assert db.session.scalar(select(func.count()).select_from(SpentChallenge)) == 1


def test_asking_for_a_challenge_writes_nothing(browser: Browser, app: Flask) -> None:
    ask(browser, f"{ENTER}/options", {}, "/login")
    with app.app_context():
        assert db.session.scalar(select(func.count()).select_from(SpentChallenge)) == 0
