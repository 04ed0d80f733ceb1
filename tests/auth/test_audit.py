"""The audit log: it grows, it is chained, and nobody changes it unseen."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from flask import Flask
from sqlalchemy import func, select, text
from sqlalchemy.exc import DBAPIError

from namaskah.auth import accounts, audit
from namaskah.auth.models import AuditEvent, User
from namaskah.db import db, transaction
from tests.auth.people import Browser


def kinds(user: User) -> list[str]:
    db.session.rollback()
    return [event.kind for event in reversed(audit.history(user))]


def fill(user: User, count: int = 5) -> None:
    for _number in range(count):
        with transaction():
            audit.record("login_failed", user.id)


def tamper(statement: str) -> None:
    """What somebody with all rights in the database could do."""
    with transaction():
        db.session.execute(text("SET LOCAL session_replication_role = replica"))
        db.session.execute(text(statement))


def test_logging_in_and_out_and_failing_are_written_down(browser: Browser, app: Flask, user: User) -> None:
    browser.log_in(user.email, "wrong horse river")
    browser.log_in(user.email)
    browser.submit("/logout", page="/account")
    with app.app_context():
        assert kinds(user) == ["registered", "login_failed", "login", "logout"]
        event = audit.history(user)[0]
        assert (event.actor, event.address) == (f"user:{user.id}", browser.client.environ_base["REMOTE_ADDR"])
        assert audit.breaks() == []


def test_a_ban_says_who_and_why(app: Flask, alice: User, letters: Callable[[str], list[dict[str, str]]]) -> None:
    accounts.ban(alice, "operator:ada", "resold numbers")
    [letter] = letters(alice.email)
    assert letter["subject"] == "Your account at Namaskah is closed"
    assert "resold" not in letter["text"], "our own words are not for the letter"
    accounts.unban(alice, "operator:ada", "was a mistake")
    closed, opened = reversed(audit.history(alice))
    assert (closed.kind, closed.actor, closed.details) == ("banned", "operator:ada", {"reason": "resold numbers"})
    assert opened.kind == "unbanned"


def test_two_operators_close_an_account_once(
    app: Flask, alice: User, letters: Callable[[str], list[dict[str, str]]]
) -> None:
    accounts.ban(alice, "operator:ada", "resold numbers")
    since = db.session.scalar(select(User.banned_at))
    accounts.ban(alice, "operator:ben", "fraud")
    assert len(letters(alice.email)) == 1
    assert db.session.scalar(select(User.banned_at)) == since
    for operator in ("ada", "ben"):
        accounts.unban(alice, f"operator:{operator}", "was a mistake")
    assert [event.kind for event in audit.history(alice)] == ["unbanned", "banned"]
    assert alice.banned_at is None


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE audit_events SET kind = 'logout'",
        "UPDATE audit_events SET at = now()",
        "UPDATE audit_events SET address = '10.0.0.1'",
        "UPDATE audit_events SET address = NULL",
        "DELETE FROM audit_events",
        "TRUNCATE audit_events",
    ],
)
def test_postgresql_refuses_to_change_the_log(app: Flask, alice: User, statement: str) -> None:
    fill(alice)
    with pytest.raises(DBAPIError, match="append-only"), transaction():
        db.session.execute(text(statement))


@pytest.mark.parametrize(
    ("statement", "broken"),
    [
        ("UPDATE audit_events SET kind = 'logout' WHERE id = 3", [3]),
        ("UPDATE audit_events SET user_id = 0 WHERE id = 3", [3]),
        ("UPDATE audit_events SET at = at + interval '1 microsecond' WHERE id = 3", [3]),
        ("UPDATE audit_events SET address = '10.0.0.1' WHERE id = 3", [3]),
        ("DELETE FROM audit_events WHERE id = 3", [4]),
        ("DELETE FROM audit_events WHERE id = 1", [2]),
    ],
)
def test_what_was_changed_around_postgresql_shows(app: Flask, alice: User, statement: str, broken: list[int]) -> None:
    fill(alice)
    assert audit.breaks() == []
    tamper(statement)
    assert [found.id for found in audit.breaks()] == broken


def test_a_log_cut_off_at_its_end_no_longer_holds_the_head_somebody_kept(app: Flask, alice: User) -> None:
    fill(alice)
    number, digest = audit.head()
    assert (number, len(digest)) == (5, 64)
    tamper("DELETE FROM audit_events WHERE id = 5")
    assert audit.breaks() == []
    assert audit.head() != (number, digest)


def test_many_writers_at_once_make_one_chain(app: Flask, alice: User) -> None:
    def write(_number: int) -> None:
        with app.app_context():
            fill(alice, 10)
            db.session.remove()

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(write, range(8)))
    db.session.rollback()
    assert db.session.scalar(select(func.count()).select_from(AuditEvent)) == 80
    assert audit.breaks() == []


def test_where_an_event_came_from_is_forgotten_after_ninety_days_and_the_chain_still_holds(
    app: Flask, browser: Browser, user: User
) -> None:
    browser.log_in(user.email)
    with app.app_context():
        tamper(f"UPDATE audit_events SET at = at - interval '{audit.ORIGIN_KEPT - timedelta(minutes=1)}'")
        assert audit.forget_origins_due() == 0
        tamper("UPDATE audit_events SET at = at - interval '2 minutes' WHERE kind = 'login'")
        assert audit.forget_origins_due() == 1
        rows = {event.kind: event.address for event in audit.history(user)}
        assert rows["login"] is None


def test_forgetting_breaks_no_chain(app: Flask, browser: Browser, user: User) -> None:
    browser.log_in(user.email)
    with app.app_context():
        with transaction():
            audit.forget_origins_of(user.id)
        assert audit.breaks() == []
        assert {event.address for event in audit.history(user)} == {None}
