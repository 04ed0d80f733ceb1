"""Nobody shares an address with anybody, of mail or of network: limits and accounts of one test are no other's."""

import re
import secrets
import time
from collections.abc import Callable, Iterator

import pytest
import time_machine
from flask import Flask
from sqlalchemy import text

from namaskah.auth import accounts
from namaskah.auth.models import User
from namaskah.db import db, transaction
from tests.auth.people import PASSWORD, Browser


@pytest.fixture
def open_browser(app: Flask) -> Callable[[], Browser]:
    return lambda: Browser(app)


@pytest.fixture
def browser(open_browser: Callable[[], Browser]) -> Browser:
    return open_browser()


@pytest.fixture(autouse=True)
def forms_are_protected(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(app.config, "WTF_CSRF_ENABLED", True)


@pytest.fixture
def address() -> str:
    return f"{secrets.token_hex(6)}@example.com"


@pytest.fixture
def user(app: Flask, address: str) -> User:
    """A customer whose address is not confirmed yet."""
    with app.app_context():
        accounts.register(address, PASSWORD, "en")
        found = accounts.find_by_email(address)
        assert found
        db.session.expunge(found)
        return found


@pytest.fixture
def fresh(app: Flask) -> Callable[[User], User]:
    """The account as the database has it now."""

    def load(user: User) -> User:
        with app.app_context():
            found = db.session.get_one(User, user.id)
            db.session.expunge(found)
            return found

    return load


@pytest.fixture
def confirmed(app: Flask, user: User, fresh: Callable[[User], User]) -> User:
    with app.app_context():
        accounts.confirm_email(accounts.verification_token(user))
    return fresh(user)


@pytest.fixture
def ban(app: Flask) -> Callable[[User], None]:
    def close(user: User) -> None:
        with app.app_context(), transaction():
            db.session.execute(text("UPDATE users SET banned_at = now() WHERE id = :id"), {"id": user.id})

    return close


@pytest.fixture
def letters(app: Flask) -> Callable[[str], list[dict[str, str]]]:
    """The letters waiting to be sent to an address, oldest first."""

    def waiting(to: str) -> list[dict[str, str]]:
        jobs = text(
            "SELECT args FROM procrastinate_jobs WHERE task_name = 'send_mail' AND lower(args->>'to') = lower(:to)"
            " ORDER BY id"
        )
        with app.app_context():
            return [dict(row) for row in db.session.scalars(jobs, {"to": to})]

    return waiting


@pytest.fixture
def link_in() -> Callable[[dict[str, str]], str]:
    """The path of the confirmation link in a letter."""

    def find(letter: dict[str, str]) -> str:
        found = re.search(r"(/verify-email/[\w.\-]+)", letter["text"])
        assert found
        return found[1]

    return find


@pytest.fixture
def clock() -> Iterator[time_machine.Traveller]:
    """A clock that has just begun a step of 30 seconds, and can be moved."""
    with time_machine.travel((time.time() // 30 + 1) * 30 + 1, tick=True) as moved:
        yield moved
