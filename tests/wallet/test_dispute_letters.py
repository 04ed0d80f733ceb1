"""Reminders of the deadline: to every operator, two days and half a day before it, once each."""

from datetime import timedelta

import pytest
from flask import Flask
from sqlalchemy import func, update

from namaskah.auth.models import User
from namaskah.db import db, transaction
from namaskah.wallet import dispute_letters
from namaskah.wallet.dispute_models import Dispute
from namaskah.wallet.models import TopUp
from tests.support import make_user
from tests.together import at_once

from .bank import Bank, heard, letters

DAY = 86_400


@pytest.fixture
def operators(app: Flask) -> list[User]:
    banned = make_user("gone@example.com", role="admin", banned_at=func.now())
    return [make_user("one@example.com", role="admin"), make_user("two@example.com", role="admin"), banned]


def due_in(hours: float) -> None:
    with transaction():
        db.session.execute(update(Dispute).values(due_at=func.now() + timedelta(hours=hours)))


def counts(operators: list[User]) -> list[int]:
    return [len(letters(operator.email)) for operator in operators]


def test_each_reminder_comes_once_to_each_operator(operators: list[User], top_up: TopUp, bank: Bank) -> None:
    heard(bank.opens(top_up, due_seconds=5 * DAY))
    assert counts(operators) == [1, 1, 0]
    assert dispute_letters.remind_due() == 0
    due_in(47)
    assert [dispute_letters.remind_due() for _ in range(2)] == [1, 0]
    assert counts(operators) == [2, 2, 0]
    due_in(11)
    assert [dispute_letters.remind_due() for _ in range(2)] == [1, 0]
    assert counts(operators) == [3, 3, 0]


@pytest.mark.parametrize(("hours", "later"), [(24, 1), (6, 0)])
def test_what_is_due_soon_has_its_letter_when_it_opens(
    operators: list[User], top_up: TopUp, bank: Bank, hours: int, later: int
) -> None:
    heard(bank.opens(top_up, due_seconds=hours * 3600))
    assert dispute_letters.remind_due() == 0
    due_in(5)
    assert dispute_letters.remind_due() == later


def test_nobody_is_reminded_of_what_is_answered_over_or_too_late(
    operators: list[User], top_up: TopUp, bank: Bank
) -> None:
    heard(bank.opens(top_up, due_seconds=5 * DAY))
    for change in (
        {"state": "awaiting_bank_feedback"},
        {"state": "awaiting_merchant_feedback", "answer": "declined", "answer_asked_at": func.now()},
    ):
        due_in(11)
        with transaction():
            db.session.execute(update(Dispute).values(**change))
        assert dispute_letters.remind_due() == 0
    with transaction():
        db.session.execute(update(Dispute).values(answer=None, answer_asked_at=None))
    due_in(-1)
    assert dispute_letters.remind_due() == 0
    assert counts(operators) == [1, 1, 0]


def test_workers_side_by_side_remind_once(app: Flask, operators: list[User], top_up: TopUp, bank: Bank) -> None:
    heard(bank.opens(top_up, due_seconds=5 * DAY))
    due_in(11)
    at_once(app, *[dispute_letters.remind_due] * 4)
    assert counts(operators) == [2, 2, 0]
