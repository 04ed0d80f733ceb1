"""The security history, and the list of devices with its log-outs."""

from datetime import timedelta

from flask import Flask
from sqlalchemy import func, select, update

from namaskah.auth import accounts, audit, sessions
from namaskah.auth.models import AuditEvent, Session, User
from namaskah.db import db, transaction
from tests.account.conftest import Open
from tests.auth.people import Browser
from tests.support import open_session

PHONE = "Mozilla/5.0 (Linux; Android 14) Chrome/140.0"


def sessions_of(user: User) -> list[int]:
    db.session.rollback()
    return list(db.session.scalars(select(Session.id).where(Session.user_id == user.id).order_by(Session.id)))


def note(user: User, kind: str, times: int = 1, actor: str = "") -> None:
    for _time in range(times):
        with transaction():
            audit.record(kind, user.id, actor)


def not_confirmed_lately(user: User) -> None:
    with transaction():
        db.session.execute(
            update(Session)
            .where(Session.user_id == user.id)
            .values(confirmed_at=Session.confirmed_at - sessions.CONFIRMED_FOR - timedelta(seconds=1))
        )


def test_a_customer_sees_what_happened_to_their_account_and_to_no_other(enter: Open, alice: User, bob: User) -> None:
    browser = enter(alice, PHONE)
    browser.submit("/account/sessions/end-others", page="/account/sessions")
    note(bob, "email_confirmed")
    note(alice, "banned", actor="operator:ada")
    page = browser.get("/account/security").text
    assert "All other devices were logged out" in page
    assert "Chrome · Android" in page
    assert browser.client.environ_base["REMOTE_ADDR"] in page
    assert "E-mail address confirmed" not in page
    assert "Account closed by us" in page
    assert "operator:ada" not in page


def test_the_history_goes_on_page_by_page_to_its_end(enter: Open, alice: User, bob: User) -> None:
    note(alice, "login", 21)
    note(bob, "login", 3)
    note(alice, "logout", 20)
    browser = enter(alice)
    first = browser.get("/account/security").text
    assert (first.count("Logged out"), first.count("Logged in<")) == (20, 0)
    oldest = db.session.scalars(
        select(func.min(AuditEvent.id)).where(AuditEvent.user_id == alice.id, AuditEvent.kind == "logout")
    ).one()
    second = browser.get(f"/account/security?before={oldest}").text
    assert f"before={oldest}" in first
    assert (second.count("Logged out<"), second.count("Logged in<")) == (0, 20)
    last = browser.get(f"/account/security?before={oldest - 3 - 20}").text
    assert last.count("Logged in<") == 1
    assert 'rel="next"' not in last
    for odd in ("0", "-1", "99999999999999999999999", "x"):
        assert browser.get(f"/account/security?before={odd}").status_code == 200


def test_another_device_is_listed_and_logged_out(enter: Open, alice: User) -> None:
    here, there = enter(alice), enter(alice, PHONE)
    page = here.get("/account/sessions").text
    assert page.count("Chrome · Android") == 1
    assert page.count("This device") == 1
    mine, other = sessions_of(alice)
    assert f"/account/sessions/{mine}/end" not in page
    answer = here.submit(f"/account/sessions/{other}/end", page="/account/sessions")
    assert (answer.status_code, answer.location) == (303, "/account/sessions")
    assert "That device is logged out." in here.get("/account/sessions").text
    assert not there.sees_account()
    assert here.sees_account()


def test_htmx_is_sent_on_as_a_whole_page(enter: Open, alice: User) -> None:
    here = enter(alice)
    open_session(alice)
    _mine, other = sessions_of(alice)
    answer = here.submit(f"/account/sessions/{other}/end", page="/account/sessions", headers={"HX-Request": "true"})
    assert (answer.status_code, answer.headers["HX-Redirect"]) == (200, "/account/sessions")
    assert len(sessions_of(alice)) == 1


def test_a_session_of_somebody_else_is_as_unknown_as_none(enter: Open, alice: User, bob: User) -> None:
    browser, other = enter(bob), enter(alice)
    [hers] = sessions_of(alice)
    for unknown in (hers, 10**9, 10**30):
        assert browser.submit(f"/account/sessions/{unknown}/end", page="/account/sessions").status_code == 404
    assert other.sees_account()


def test_everywhere_else_is_everywhere_but_here(enter: Open, alice: User, bob: User) -> None:
    here, others, stranger = enter(alice), [enter(alice) for _number in range(3)], enter(bob)
    answer = here.submit("/account/sessions/end-others", page="/account/sessions")
    assert answer.location == "/account/sessions"
    assert "3 other devices are logged out." in here.get("/account/sessions").text
    assert here.sees_account()
    assert stranger.sees_account()
    assert not any(browser.sees_account() for browser in others)


def test_ending_this_very_session_is_a_log_out(enter: Open, alice: User) -> None:
    here = enter(alice)
    [mine] = sessions_of(alice)
    assert here.submit(f"/account/sessions/{mine}/end", page="/account/sessions").location == "/login"
    assert sessions_of(alice) == []
    assert not here.sees_account()


def test_a_thief_at_an_open_browser_cannot_log_the_owner_out(enter: Open, alice: User) -> None:
    browser, owner = enter(alice), enter(alice)
    not_confirmed_lately(alice)
    for path in (f"/account/sessions/{sessions_of(alice)[1]}/end", "/account/sessions/end-others"):
        answer = browser.submit(
            path, page="/account/sessions", headers={"Referer": "http://localhost/account/sessions"}
        )
        assert answer.location == "/confirm?next=/account/sessions"
    assert owner.sees_account()


def test_nothing_is_ended_without_the_pages_own_protection(enter: Open, alice: User) -> None:
    here, there = enter(alice), enter(alice)
    assert here.post("/account/sessions/end-others").status_code == 400
    assert there.sees_account()


def test_names_of_devices_stay_text(app: Flask, enter: Open, alice: User) -> None:
    browser = enter(alice, "<img src=x onerror=alert(1)>")
    browser.submit("/account/sessions/end-others", page="/account/sessions")
    for path in ("/account/security", "/account/sessions"):
        page = browser.get(path).text
        assert "<img src=x" not in page
        assert "&lt;img src=x" in page


def test_a_banned_customer_reads_no_history(app: Flask, enter: Open, alice: User) -> None:
    browser: Browser = enter(alice)
    accounts.ban(alice, "operator", "spam")
    assert browser.get("/account/security").location == "/login?next=/account/security"
