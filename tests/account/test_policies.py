"""Versions of the policies: accepted at registration, asked for anew when one is newer, and never in the way of a
refund."""

from typing import Any

import pytest
from flask import Flask
from sqlalchemy import select

from namaskah import config
from namaskah.auth import accounts, policies
from namaskah.auth.models import PolicyAcceptance, User
from namaskah.db import db, transaction
from tests.account.conftest import Open
from tests.numbers import shop

NEWER = "2027-02-01"


def accepted(user: User) -> list[str]:
    db.session.rollback()
    rows = select(PolicyAcceptance.version).where(PolicyAcceptance.user_id == user.id).order_by(PolicyAcceptance.id)
    return list(db.session.scalars(rows))


@pytest.fixture
def newer(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    """A later version holds from now on."""
    monkeypatch.setitem(app.config, "POLICY_VERSION", NEWER)
    monkeypatch.setitem(policies.CHANGES, NEWER, ("Prices are round.",))


def test_who_registers_has_accepted_the_present_version(app: Flask) -> None:
    with app.test_request_context(environ_base={"REMOTE_ADDR": "10.1.2.3"}):
        accounts.register("new@example.com", "purple tuba river", "en")
    user = accounts.find_by_email("new@example.com")
    assert user is not None
    row = db.session.scalars(select(PolicyAcceptance).where(PolicyAcceptance.user_id == user.id)).one()
    assert (row.version, row.address) == (policies.present(), "10.1.2.3")
    assert policies.has_accepted(user)


def test_money_moves_only_after_the_newer_version_is_accepted(
    app: Flask, enter: Open, alice: User, newer: None
) -> None:
    browser = enter(alice)
    for path, page in (("/activations", "/numbers"), ("/wallet/top-up", "/wallet")):
        answer = browser.submit(path, page=page, headers={"Referer": f"http://localhost{page}"})
        assert answer.location == f"/accept-policies?next={page}"
    asked = browser.get("/accept-policies?next=/wallet").text
    assert "Prices are round." in asked
    assert str(policies.CHANGES["2026-11-28"][0]) not in asked, "that was accepted before"
    assert "Log out" in asked
    answer = browser.submit("/accept-policies?next=/wallet")
    assert answer.location == "/wallet"
    assert accepted(alice) == [NEWER]
    assert "do it now" in browser.get("/wallet").text
    assert browser.submit("/wallet/top-up", page="/wallet", amount="1000").location.startswith("/wallet/top-ups/")
    assert "New version of the rules accepted" in browser.get("/account/security").text


def test_reading_cancelling_and_leaving_stay_open(app: Flask, enter: Open, alice: User, monkeypatch: Any) -> None:
    shop.only("fivesim")
    bought = shop.buy(alice)
    monkeypatch.setitem(app.config, "POLICY_VERSION", NEWER)
    browser = enter(alice)
    for path in (
        "/account",
        "/wallet",
        "/wallet/statement",
        f"/activations/{bought.id}",
        "/account/export",
        "/account/delete",
    ):
        assert browser.get(path).status_code == 200, path
    browser.submit(f"/activations/{bought.id}/cancel", page="/account")
    assert shop.fresh(bought).state == "cancelled"


def test_who_accepted_the_version_before_is_told_what_this_one_changes(enter: Open, alice: User) -> None:
    with transaction():
        alice.policy_version = "2026-11-25"
    browser = enter(alice)
    assert browser.submit("/wallet/top-up", page="/wallet").location.startswith("/accept-policies?next=")
    asked = browser.get("/accept-policies").text
    for change in policies.CHANGES["2026-11-28"]:
        assert str(change) in asked
    assert str(policies.CHANGES["2026-11-25"][0]) not in asked, "that was accepted before"
    browser.submit("/accept-policies", page="/account")
    assert accepted(alice) == ["2026-11-28"]


def test_the_newest_changes_are_those_of_the_version_that_holds(app: Flask) -> None:
    assert list(policies.CHANGES)[-1] == max(policies.CHANGES) == policies.present()


def test_accepting_twice_is_once_and_says_nothing_new(enter: Open, alice: User, newer: None) -> None:
    first, second = enter(alice), enter(alice)
    for browser in (first, second):
        assert browser.submit("/accept-policies", page="/account").status_code == 303
    policies.accept(alice)
    assert accepted(alice) == [NEWER]
    assert first.get("/accept-policies?next=//evil.example").location == "/numbers"


def test_an_earlier_version_brought_back_asks_nobody(app: Flask, alice: User, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(app.config, "POLICY_VERSION", "2026-01-01")
    assert policies.has_accepted(alice)


def test_changes_are_told_from_what_was_accepted_to_what_holds(app: Flask, newer: None) -> None:
    assert policies.changes_since("2026-11-28") == ["Prices are round."]
    assert len(policies.changes_since("2026-11-01")) == 1 + sum(map(len, list(policies.CHANGES.values())[:-1]))
    assert policies.changes_since(NEWER) == []


@pytest.mark.parametrize("path", ["/terms", "/privacy", "/acceptable-use", "/refunds"])
def test_every_policy_says_its_version_its_day_and_where_it_stands_what_is_kept(
    enter: Open, alice: User, path: str
) -> None:
    page = enter(alice).get(path).text
    assert f"Version {policies.present()}, holds from November 28, 2026" in page
    assert "90 days" in page if path == "/privacy" else 'href="/privacy#kept"' in page


@pytest.mark.parametrize("wrong", ["soon", "2026-13-01", "2026-1-1", "20261125"])
def test_a_version_is_a_day(wrong: str) -> None:
    with pytest.raises(ValueError, match="a day is wanted"):
        config.day(wrong)
    assert config.day("2026-11-25") == "2026-11-25"
