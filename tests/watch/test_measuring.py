"""A minute is measured once, from what is the case, and kept by the day; what happened is counted once."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import select, text

from namaskah.auth.models import User
from namaskah.db import db, transaction
from namaskah.watch import judging, measuring, totals
from namaskah.watch.judging import DEGRADED, DOWN, OFF, OK, Facts
from namaskah.watch.models import MeasuredDay, Measurement, RunningTotals
from tests.auth.work import together
from tests.numbers import shop
from tests.support import Control, make_receipt
from tests.watch.conftest import Page


def facts(**changes: Any) -> Facts:
    usual: dict[str, Any] = {
        "page_status": 200,
        "page_seconds": 0.1,
        "providers": 2,
        "providers_selling": 2,
        "oldest_doubt": 0,
        "top_ups_open": True,
        "checkouts": 0,
        "checkouts_refused": 0,
        "oldest_event": 0,
        "oldest_letter": 0,
    }
    return Facts(**usual | changes)


def released(**reasons: int) -> dict[str, Any]:
    return {f"fivesim {reason}": count for reason, count in reasons.items()}


def came(*seconds: float) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for each in seconds:
        end = shop_time() + timedelta(seconds=each)
        totals._sort(found, "code_seconds", "fivesim", shop_time(), end)
    return found


def shop_time() -> Any:
    return datetime(2026, 11, 25, tzinfo=UTC)


@pytest.mark.parametrize(
    ("changes", "part", "state"),
    [
        ({}, "pages", OK),
        ({"page_seconds": 2.5}, "pages", DEGRADED),
        ({"page_status": 503}, "pages", DOWN),
        ({"page_status": 0}, "pages", DOWN),
        ({}, "buying", OK),
        ({"providers": 0}, "buying", OFF),
        ({"providers": 0}, "codes", OFF),
        ({"providers_selling": 0}, "buying", DOWN),
        ({"oldest_doubt": 700}, "buying", DEGRADED),
        ({"hour": {"opened": {"": 10}, "released": released(provider_refused=1)}}, "buying", DEGRADED),
        ({"hour": {"opened": {"": 10}, "released": released(provider_refused=5)}}, "buying", DOWN),
        ({"hour": {"opened": {"": 10}, "released": released(no_stock=4)}}, "buying", OK),
        ({"hour": {"opened": {"": 10}, "released": released(no_stock=10)}}, "buying", DEGRADED),
        ({"hour": {"opened": {"": 4}, "released": released(provider_refused=4)}}, "buying", OK),  # too few to say
        ({"hour": {"released": released(no_code=10)}}, "codes", DOWN),
        ({"hour": came(9, 9, 9) | {"released": released(no_code=7)}}, "codes", DEGRADED),
        ({"hour": came(9, 9, 9, 9, 9) | {"released": released(no_code=5, customer_cancelled=90)}}, "codes", OK),
        ({"top_ups_open": False}, "top_ups", OFF),
        ({"checkouts": 10, "checkouts_refused": 1}, "top_ups", DEGRADED),
        ({"checkouts": 10, "checkouts_refused": 5}, "top_ups", DOWN),
        ({"oldest_event": 400}, "top_ups", DEGRADED),
        ({"hour": {"credit_seconds": {"": [900, 5, 0, 0, 0, 0, 0, 0, 4, 0, 0]}}}, "top_ups", DEGRADED),
        ({"hour": {"credit_seconds": {"": [90, 5, 0, 0, 0, 4, 0, 0, 0, 0, 0]}}}, "top_ups", OK),
        ({"oldest_letter": 130}, "mail", DEGRADED),
        ({"oldest_letter": 901}, "mail", DOWN),
    ],
)
def test_what_measurements_mean(changes: dict[str, Any], part: str, state: str) -> None:
    assert judging.judge(facts(**changes))[part] == state


def test_what_is_told_beside_the_states() -> None:
    hour = came(9, 9, 25, 50, 200) | {"released": released(no_code=5)}
    assert judging.figures(facts(hour=hour)) == {"delivered": 5_000, "half_within": 30}
    assert judging.figures(facts(hour=came(9))) == {"delivered": None, "half_within": None}
    assert judging.worst({"a": OK, "b": DEGRADED}) == DEGRADED
    assert judging.worst({}) == OK


def day_rows() -> dict[str, tuple[int, int, int, int]]:
    db.session.rollback()
    found: dict[str, list[int]] = {}
    for row in db.session.scalars(select(MeasuredDay).execution_options(populate_existing=True)):
        sums = found.setdefault(row.part, [0, 0, 0, 0])
        for place, name in enumerate(judging.STATES):
            sums[place] += getattr(row, name)
    return {part: (sums[0], sums[1], sums[2], sums[3]) for part, sums in found.items()}


def a_minute_ago(minutes: int = 1) -> None:
    with transaction():
        db.session.execute(text("UPDATE measurements SET minute = minute - make_interval(mins => :m)"), {"m": minutes})


def test_a_minute_is_measured_once_by_whoever_comes_first(app: Flask, page: Page) -> None:
    assert measuring.measure_due() == 1
    assert measuring.measure_due() == 0
    last = measuring.latest()
    assert last is not None
    assert last.states == {"pages": OK, "buying": OK, "codes": OK, "top_ups": OK, "mail": OK}
    assert day_rows() == dict.fromkeys(judging.PARTS, (1, 0, 0, 0))
    assert len(page.asked) == 1


def test_pages_that_do_not_open_and_letters_that_lie_are_seen(app: Flask, page: Page) -> None:
    page.status = 503
    with transaction():
        db.session.execute(
            text(
                "INSERT INTO procrastinate_jobs (queue_name, task_name, attempts, scheduled_at)"
                " VALUES ('default', 'send_mail', 3, now() + interval '1 hour')"
            )
        )
        db.session.execute(text("UPDATE procrastinate_events SET at = now() - interval '20 minutes'"))
    measuring.measure_due()
    last = measuring.latest()
    assert last is not None
    assert last.states is not None
    assert (last.states["pages"], last.states["mail"]) == (DOWN, DOWN)


def test_nobody_there_to_open_a_page(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(app.config, "STATUS_URL", "http://127.0.0.1:1/")
    assert measuring.look_at_a_page()[0] == 0


def test_providers_that_all_rest_sell_nothing(app: Flask, page: Page) -> None:
    with transaction():
        db.session.execute(text("UPDATE providers SET paused_until = now() + interval '1 minute'"))
    measuring.measure_due()
    last = measuring.latest()
    assert last is not None
    assert (last.states or {})["buying"] == DOWN


def test_minutes_that_nobody_measured_are_filled_in(app: Flask, page: Page) -> None:
    measuring.measure_due()
    a_minute_ago(11)
    measuring.measure_due()
    rows = day_rows()
    assert rows["codes"] == rows["mail"] == (2, 0, 10, 0), "no worker, no codes"
    assert rows["pages"] == rows["buying"] == (2, 0, 0, 10), "of these nothing is known"


def test_after_hours_without_a_worker_the_last_hour_is_not_all_time(app: Flask, page: Page) -> None:
    measuring.measure_due()
    with transaction():
        for row in db.session.scalars(select(RunningTotals)):
            row.totals = came(*[9] * 50) | {"released": released(no_code=50)}
    a_minute_ago(120)
    measuring.measure_due()
    last = measuring.latest()
    assert last is not None
    assert last.figures == {"delivered": None, "half_within": None}
    with transaction():
        for row in db.session.scalars(select(RunningTotals)):
            row.totals = came(*[9] * 60) | {"released": released(no_code=50)}
    a_minute_ago()
    measuring.measure_due()
    last = measuring.latest()
    assert last is not None
    assert last.figures == {"delivered": 10_000, "half_within": 10}


def test_a_minute_whose_worker_died_is_one_nobody_measured(app: Flask, page: Page) -> None:
    measuring.measure_due()
    a_minute_ago()
    assert measuring._claim() is not None
    a_minute_ago()
    measuring.measure_due()
    assert day_rows()["pages"] == (2, 0, 0, 1)


def test_old_minutes_and_days_go(app: Flask, page: Page) -> None:
    with transaction():
        db.session.execute(text("INSERT INTO measurements (minute) VALUES (now() - interval '8 days')"))
        db.session.execute(text("INSERT INTO measured_days (day, part) VALUES (current_date - 91, 'pages')"))
    measuring.measure_due()
    assert measuring.forget_old_due() == 2
    assert db.session.scalar(select(MeasuredDay.day).where(MeasuredDay.day < text("current_date - 90"))) is None
    assert len(db.session.scalars(select(Measurement)).all()) == 1


def settle() -> None:
    """A minute passes for what has happened; ledger rows refuse to be changed, so their guards are off for it."""
    with transaction():
        db.session.execute(text("SET LOCAL session_replication_role = replica"))
        for table, column in (("ledger_transactions", "created_at"), ("messages", "received_at")):
            db.session.execute(text(f"UPDATE {table} SET {column} = {column} - interval '61 seconds'"))


def counted() -> totals.Totals:
    db.session.rollback()
    db.session.expire_all()
    return totals.now()


def test_what_happens_is_counted_once_and_from_the_beginning_on(
    app: Flask, alice: User, bob: User, control: Control, page: Page
) -> None:
    totals.advance()
    assert counted() == {}, "what was there before is nobody's news"
    shop.only("fivesim")
    delivered, missed = shop.buy(alice), shop.buy(alice)
    control.sms("fivesim", delivered.provider_ref or "", "Your code is 482913")
    shop.poll("fivesim")
    control.expire("fivesim", missed.provider_ref or "")
    shop.end_windows()
    shop.work(3)
    make_receipt(bob, 250_000)
    assert shop.fresh(missed).state == "expired"
    totals.advance()
    assert counted() == {}, "too young: something older may not have committed"
    settle()
    assert totals.advance() > 0
    found = counted()
    assert totals.advance() == 0
    assert counted() == found
    assert found["opened"] == {"": 2}
    assert found["released"] == {"fivesim no_code": 1}
    assert sum(found["code_seconds"]["fivesim"][1:]) == 1
    assert sum(found["refund_seconds"][""][1:]) == 1
    assert sum(found["message_seconds"]["fivesim"][1:]) == 1
    assert sum(found["credit_seconds"][""][1:]) == 1
    assert found["money"]["top_up NGN"] == 250_000
    assert found["money"]["capture NGN"] == delivered.price_minor
    assert found["money"]["release NGN"] == missed.price_minor
    assert found["transactions"]["hold"] == 2


def test_two_that_count_at_once_count_once(app: Flask, alice: User) -> None:
    totals.advance()
    make_receipt(alice, 100_000)
    settle()
    assert sorted(together(app, 4, totals.advance)) == [0, 0, 0, 1]
    assert counted()["money"] == {"top_up NGN": 100_000}
    assert len(db.session.scalars(select(RunningTotals)).all()) == 1


def test_what_came_since() -> None:
    before = {"opened": {"": 3}, "code_seconds": {"a": [9.0, 1, 0]}}
    after = {"opened": {"": 5}, "code_seconds": {"a": [19.0, 1, 1], "b": [1.0, 1, 0]}}
    assert totals.since(after, before) == {
        "opened": {"": 2},
        "code_seconds": {"a": [10.0, 0, 1], "b": [1.0, 1, 0]},
    }
