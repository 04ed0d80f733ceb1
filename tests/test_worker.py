"""The worker as a process: jobs get done and tried again, codes come, a kill loses nothing, a signal ends it soon."""

import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import text

from namaskah import jobs, worker
from namaskah.auth.models import User
from namaskah.db import db, transaction
from namaskah.numbers import activations, closing
from tests.numbers import shop
from tests.numbers.shop import buy, fresh
from tests.support import Control, Installation, installation, wait_until


@pytest.fixture
def place(app: Flask, settings: dict[str, str], tmp_path: Path) -> Iterator[Installation]:
    with installation(settings | {"LOG_LEVEL": "INFO"}, tmp_path) as made:
        yield made


def job_rows() -> list[tuple[str, str, int]]:
    """Task, status and attempts of every job but the worker's own."""
    db.session.rollback()
    rows = db.session.execute(
        text(
            "SELECT task_name, status::text, attempts FROM procrastinate_jobs"
            " WHERE task_name <> 'take_up_lost_jobs' ORDER BY id"
        )
    ).all()
    db.session.rollback()
    return [(row[0], row[1], row[2]) for row in rows]


def log_of(place: Installation) -> str:
    path = place.logs / "worker.log"
    return path.read_text() if path.exists() else ""


def running(place: Installation) -> Any:
    process = place.start_worker()
    wait_until(lambda: "worker is ready" in log_of(place), 30, "the worker's start")
    return process


def received(user: User, control: Control) -> activations.Activation:
    shop.only("fivesim")
    activation = buy(user)
    control.sms("fivesim", activation.provider_ref or "", "Your code is 482913")
    assert shop.poll("fivesim") == 1
    return fresh(activation)


def defer(name: str, **arguments: Any) -> None:
    with transaction():
        jobs.defer(name, **arguments)


def test_each_periodic_verb_has_a_name_of_its_own() -> None:
    """Else one that hangs is hidden by another that comes back."""
    names = [every.name for every in worker.SCHEDULE]
    assert len(names) == len(set(names))
    assert {"poll_due", "topups.sweep_due", "settling.sweep_due"} <= set(names)


def test_a_worker_brings_codes_ends_windows_does_jobs_and_tries_again(
    place: Installation, alice: User, control: Control
) -> None:
    done, waiting, over = received(alice, control), buy(alice), buy(alice)
    control.fault("fivesim", "finish", "error_500")
    running(place)
    closing.finish(done)
    started = time.monotonic()
    control.sms("fivesim", waiting.provider_ref or "", "Your code is 771204")
    wait_until(lambda: fresh(waiting).state == "received", 15, "the code")
    assert time.monotonic() - started < 10
    control.expire("fivesim", over.provider_ref or "")
    wait_until(lambda: fresh(over).state == "expired", 15, "the end of the window")
    wait_until(lambda: job_rows() == [], 30, "the second try of the job")
    [order] = [o for o in control.orders("fivesim") if str(o["id"]) == done.provider_ref]
    assert order["status"] == "finished"
    assert control.calls()["counts"]["fivesim/finish"] == 2
    shop.assert_books_agree(control)


def test_a_worker_ends_within_twenty_seconds_of_a_signal_with_work_under_way(
    place: Installation, alice: User, control: Control
) -> None:
    shop.only("fivesim")
    buy(alice)
    process = running(place)
    control.fault("fivesim", "list", "hang", times=0, seconds=30)
    time.sleep(1)
    started = time.monotonic()
    process.send_signal(signal.SIGTERM)
    assert process.wait(25) == 0, log_of(place)[-2000:]
    assert time.monotonic() - started < 20
    place.processes.remove(process)


def test_what_a_killed_worker_held_is_taken_up_by_the_next(place: Installation, alice: User, control: Control) -> None:
    activation = received(alice, control)
    control.fault("fivesim", "finish", "hang", times=0, seconds=30)
    process = running(place)
    closing.finish(activation)
    wait_until(lambda: [row[1] for row in job_rows()] == ["doing"], 15, "the job's start")
    place.kill(process)
    control.no_faults()
    assert [row[1] for row in job_rows()] == ["doing"], "nobody works on it any more"
    with transaction():  # its heart stopped a while ago
        db.session.execute(text("UPDATE procrastinate_workers SET last_heartbeat = now() - interval '1 hour'"))
    running(place)
    wait_until(lambda: job_rows() == [], 40, "the lost job")
    assert fresh(activation).state == "finished"


def test_a_job_that_nobody_can_do_fails_in_the_open_and_stops_nothing(
    place: Installation, alice: User, control: Control
) -> None:
    defer("no_such_task", number=1)
    running(place)
    wait_until(lambda: ("no_such_task", "failed", 1) in job_rows(), 20, "the failure")
    defer("finish_order", provider="gone", provider_ref="1")
    wait_until(lambda: len(job_rows()) == 1, 20, "the job after it")
    with transaction():
        db.session.execute(text("DELETE FROM procrastinate_jobs"))


@pytest.fixture
def own_signals() -> Iterator[None]:
    """What listens to them before does so again afterwards."""
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def test_a_worker_outlives_its_queue(app: Flask, monkeypatch: pytest.MonkeyPatch, own_signals: None) -> None:
    """The queue gives up when the database goes away, with an error or without one, and only a signal is the end."""
    turns: list[bool] = []

    async def turn(_queue: object, told: worker.threading.Event) -> None:
        turns.append(told.is_set())
        if len(turns) == 1:
            raise ConnectionError
        if len(turns) == 3:
            signal.raise_signal(signal.SIGTERM)

    monkeypatch.setattr(worker, "_run_queue", turn)
    monkeypatch.setattr(worker, "RESTART_SECONDS", 0)
    worker._work_on_jobs(app)
    assert turns == [False] * 3


def test_a_verb_that_fails_is_called_again(app: Flask) -> None:
    stop = worker.threading.Event()
    calls = []

    def verb() -> int:
        calls.append(time.monotonic())
        if len(calls) == 1:
            raise RuntimeError("a fault of ours")
        stop.set()
        return 0

    worker._repeat(app, worker.Every(0.01, verb), stop)
    assert len(calls) == 2


def test_a_database_that_goes_away_in_the_middle_of_a_verb_ends_no_thread(app: Flask) -> None:
    stop = worker.threading.Event()
    calls = []

    def verb() -> int:
        calls.append(time.monotonic())
        if len(calls) > 1:
            stop.set()
            return 0
        number = db.session.scalar(text("SELECT pg_backend_pid()"))
        with db.engine.connect() as other:
            other.execute(text("SELECT pg_terminate_backend(:number)"), {"number": number})
        return 0

    thread = worker.threading.Thread(target=worker._repeat, args=(app, worker.Every(0.01, verb), stop), daemon=True)
    thread.start()
    thread.join(10)
    assert len(calls) == 2


def test_every_job_that_is_deferred_anywhere_is_one_the_worker_knows() -> None:
    source = Path(worker.__file__).parent
    for path in source.rglob("*.py"):
        for line in path.read_text().splitlines():
            if 'defer("' in line:
                assert line.split('defer("')[1].split('"')[0] in worker.TASKS, (path.name, line)
