"""The worker checks our own books; the operator sees what it found, and when."""

import pytest
from flask import Flask
from sqlalchemy import func, select, text

from namaskah.auth.models import User
from namaskah.db import db, transaction
from namaskah.reconciliation import books
from namaskah.reconciliation.models import BookCheck
from namaskah.wallet import ledger
from tests.support import log_in


def change_balance(user_id: int, by: int) -> None:
    """What the database itself refuses, done with its guards off: a balance that no entry explains."""
    with transaction():
        db.session.execute(text("SET LOCAL session_replication_role = replica"))
        db.session.execute(
            text("UPDATE ledger_accounts SET balance = balance + :by WHERE user_id = :id AND kind = 'user_available'"),
            {"id": user_id, "by": by},
        )


def page(app: Flask, admin: User) -> str:
    return log_in(app.test_client(), admin).get("/admin/").text


def test_before_the_first_check_the_page_asks_for_a_worker(app: Flask, admin: User) -> None:
    assert "not checked yet" in page(app, admin)


def test_books_that_agree(app: Flask, admin: User, alice: User) -> None:
    assert books.check_due() == 1
    done = books.latest()
    assert done is not None
    assert done.faults == []
    assert "The books agree" in page(app, admin)


def test_a_fault_is_kept_logged_and_shown(
    app: Flask, admin: User, alice: User, caplog: pytest.LogCaptureFixture
) -> None:
    change_balance(alice.id, 1)
    done = books.check()
    change_balance(alice.id, -1)
    assert done is not None
    assert [fault["number"] for fault in done.faults] == ["I3"]
    assert done.faults[0]["rows"]
    assert "I3 does not hold" in caplog.text
    shown = page(app, admin)
    assert "The books do not agree" in shown
    assert done.faults[0]["sentence"] in shown


def test_once_in_ten_minutes_and_less_often_where_it_takes_long(app: Flask) -> None:
    assert books.check_due() == 1
    assert books.check_due() == 0

    def ago(seconds: int, took: float) -> None:
        with transaction():
            db.session.execute(
                text("UPDATE book_checks SET checked_at = now() - make_interval(secs => :ago), seconds = :took"),
                {"ago": seconds, "took": took},
            )

    ago(601, 100.0)
    assert books.check_due() == 0
    ago(5001, 100.0)
    assert books.check_due() == 1


def test_one_worker_checks_at_a_time(app: Flask) -> None:
    with db.engine.connect() as other:
        other.execute(select(func.pg_advisory_xact_lock(books.ALONE)))
        assert books.check() is None
        other.rollback()
    assert books.check() is not None


def test_a_check_long_ago_is_told_as_such(app: Flask, admin: User) -> None:
    books.check()
    with transaction():
        db.session.execute(text("UPDATE book_checks SET checked_at = now() - interval '2 hours'"))
    assert "over an hour ago" in page(app, admin)


def test_a_person_asks_for_a_check(app: Flask, admin: User) -> None:
    browser = log_in(app.test_client(), admin)
    browser.get("/admin/")
    answer = browser.post("/admin/books")
    assert answer.status_code == 303
    waiting = "SELECT count(*) FROM procrastinate_jobs WHERE task_name = 'check_books' AND status = 'todo'"
    assert db.session.scalar(text(waiting)) == 1


def test_the_page_says_since_when_a_provider_owes(app: Flask, admin: User) -> None:
    with transaction():
        ledger.provider_charge("fivesim", "USD", "order:fivesim:7", 200_000)
        ledger.provider_refund_due("fivesim", "USD", "order:fivesim:7", 200_000)
    books.check()
    assert list(books.owed_since()) == ["fivesim"]
    assert db.session.scalar(select(func.count()).select_from(BookCheck)) == 1
    assert "since" in page(app, admin)
