"""The wallet's cast: payers, the gateway's counter, and the wallet's invariants after every test."""

import itertools
from collections.abc import Callable, Iterator

import pytest
from flask import Flask
from sqlalchemy import text

from namaskah.auth.models import User
from namaskah.db import db
from namaskah.sandbox import Sandbox
from namaskah.wallet.checks import CHECKS
from namaskah.wallet.models import TopUp
from tests import support

from .bank import Bank, paid_top_up
from .counter import Counter

_numbers = itertools.count(1)


@pytest.fixture
def broken_on_purpose() -> set[str]:
    """Invariants that this file's tests leave broken: none, unless the file says otherwise."""
    return set()


@pytest.fixture
def money_is_right(app: Flask, broken_on_purpose: set[str]) -> Iterator[None]:
    """The wallet's own invariants only: tests here hold money for references behind which there is no activation."""
    yield
    db.session.rollback()
    offenders = {name: rows for name, _, sql in CHECKS if (rows := db.session.execute(text(sql)).all())}
    assert {name: rows for name, rows in offenders.items() if name not in broken_on_purpose} == {}


@pytest.fixture
def funded(app: Flask) -> Callable[[int], User]:
    """Makes a verified customer with this many minor units to spend."""
    return lambda money: support.make_user(f"payer{next(_numbers)}@example.com", money=money)


@pytest.fixture
def new_user(funded: Callable[[int], User]) -> Callable[[], User]:
    return lambda: funded(0)


@pytest.fixture
def payer(new_user: Callable[[], User]) -> User:
    """A verified customer with an empty wallet."""
    return new_user()


@pytest.fixture
def counter(app: Flask, sandbox: Sandbox) -> Counter:
    return Counter(sandbox)


@pytest.fixture
def bank(counter: Counter) -> Bank:
    return Bank(counter)


@pytest.fixture
def top_up(payer: User, counter: Counter) -> TopUp:
    """Paid at the gateway and credited here."""
    return paid_top_up(payer, counter)
