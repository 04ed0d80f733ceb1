"""Once a minute one of the workers looks at what customers would notice, and keeps it: the minutes for a week, the days
for ninety."""

import time
from datetime import datetime, timedelta
from typing import Any

from flask import current_app
from sqlalchemy import delete, func, select, text, update
from sqlalchemy.dialects.postgresql import insert as pg_insert

from namaskah import http
from namaskah.db import db, leave_database, transaction
from namaskah.watch import facts, judging, totals
from namaskah.watch.models import MeasuredDay, Measurement

PAGE_SECONDS = 10.0
MINUTES_KEPT = timedelta(days=7)
DAYS_KEPT = timedelta(days=90)
# What stands still while no worker runs, and so while nobody measures. Of the rest nothing is known then.
WORKERS_PARTS = ("codes", "mail")


def measure_due() -> int:
    """Worker: measure this minute if nobody has; returns 1 when it did."""
    minute = _claim()
    if minute is None:
        return 0
    while totals.advance() >= totals.AT_ONCE:
        pass
    status, seconds = look_at_a_page()
    with transaction():
        far = totals.now()
        before_it = _an_hour_ago(minute)
        hour = totals.since(far, before_it) if before_it is not None else {}
        found = facts.read(status, seconds, hour)
        states = {part: state for part, state in judging.judge(found).items() if state != judging.OFF}
        before = _last_measured(minute)
        db.session.execute(
            update(Measurement)
            .where(Measurement.minute == minute)
            .values(states=states, figures=judging.figures(found), totals=far)
        )
        if before is not None and minute - before > timedelta(minutes=1):
            _fill(before, minute, states)
        _add_to_day(minute, states)
    return 1


def look_at_a_page() -> tuple[int, float]:
    """Status (0 without an answer) and seconds of the front page, asked for as a customer would."""
    leave_database()
    config = current_app.config
    address = config["STATUS_URL"] or f"{config['BASE_URL']}/"
    started = time.monotonic()
    try:
        status = http.request("GET", address, deadline=PAGE_SECONDS, max_bytes=2_000_000).status
    except (http.NeverSent, http.NoAnswer, http.BadAnswer):
        status = 0
    return status, time.monotonic() - started


def _claim() -> datetime | None:
    """This minute, for whoever asks first. Who dies while measuring leaves a minute of which nothing is known."""
    with transaction():
        return db.session.scalar(
            pg_insert(Measurement)
            .values(minute=func.date_trunc("minute", func.now()))
            .on_conflict_do_nothing()
            .returning(Measurement.minute)
        )


def _an_hour_ago(minute: datetime) -> totals.Totals | None:
    """What was counted an hour before; if nobody measured then, what was counted at the next measurement. None where
    there was none in all the hour: of it nothing is known, and all that ever was counted is no answer."""
    wanted = select(Measurement.totals).where(
        Measurement.minute >= minute - timedelta(hours=1), Measurement.minute < minute, Measurement.states.is_not(None)
    )
    return db.session.scalar(wanted.order_by(Measurement.minute).limit(1))


def _last_measured(minute: datetime) -> datetime | None:
    wanted = select(func.max(Measurement.minute)).where(Measurement.minute < minute, Measurement.states.is_not(None))
    return db.session.scalar(wanted)


def _add_to_day(minute: datetime, states: dict[str, str]) -> None:
    for part, state in states.items():
        row = {"day": func.date(func.timezone("UTC", minute)), "part": part, state: 1}
        upsert = pg_insert(MeasuredDay).values(row)
        more = {state: getattr(MeasuredDay, state) + 1}
        db.session.execute(upsert.on_conflict_do_update(index_elements=["day", "part"], set_=more))


def _fill(before: datetime, minute: datetime, states: dict[str, str]) -> None:
    """Minutes that nobody measured."""
    for part in states:
        state = judging.DOWN if part in WORKERS_PARTS else judging.UNKNOWN
        db.session.execute(
            text(f"""
                INSERT INTO measured_days (day, part, {state})
                SELECT date(missed AT TIME ZONE 'UTC'), :part, count(*)
                  FROM generate_series(CAST(:begin AS timestamptz), CAST(:end AS timestamptz), '1 minute') AS missed
                 GROUP BY 1
                    ON CONFLICT (day, part) DO UPDATE SET {state} = measured_days.{state} + excluded.{state}
            """),  # noqa: S608 (one of two words of ours)
            {
                "part": part,
                "begin": max(before + timedelta(minutes=1), minute - DAYS_KEPT),
                "end": minute - timedelta(minutes=1),
            },
        )


def forget_old_due() -> int:
    """Forget minutes after a week and days after ninety; returns how many rows it were."""
    old = Measurement.minute < func.now() - MINUTES_KEPT
    old_days = MeasuredDay.day < func.current_date() - DAYS_KEPT.days
    with transaction():
        minutes = db.session.scalars(delete(Measurement).where(old).returning(Measurement.minute)).all()
        days = db.session.scalars(delete(MeasuredDay).where(old_days).returning(MeasuredDay.day)).all()
        return len(minutes) + len(days)


def latest() -> Measurement | None:
    """The newest minute that was measured whole."""
    wanted = select(Measurement).where(Measurement.states.is_not(None)).order_by(Measurement.minute.desc()).limit(1)
    return db.session.scalars(wanted.execution_options(populate_existing=True)).first()


def days() -> list[dict[str, Any]]:
    """Of each part and day: minutes by state, oldest day first."""
    rows = db.session.scalars(select(MeasuredDay).order_by(MeasuredDay.day, MeasuredDay.part))
    return [
        {"day": row.day, "part": row.part} | {state: getattr(row, state) for state in judging.STATES} for row in rows
    ]
