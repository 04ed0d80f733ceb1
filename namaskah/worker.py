"""What runs in the background, all of it, in two tables: TASKS are done once each, SCHEDULE again and again.

Run as `flask worker`; any number of workers may run against one database. Periodic verbs have threads of their own, so
a backlog of mail delays nobody's code.
"""

import asyncio
import logging
import signal
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from flask import Flask
from procrastinate import App, PsycopgConnector, RetryStrategy
from procrastinate.exceptions import ConnectorException
from procrastinate.jobs import Job
from procrastinate.tasks import Task

from namaskah import crashes, jobs, mail, postgres, tracing
from namaskah.account import deletion, exports
from namaskah.auth import accounts, credentials, email_changes
from namaskah.backups import alarms, drills, schedule, tombstones
from namaskah.db import db
from namaskah.housekeeping import running as housekeeping
from namaskah.numbers import closing, polling, pricelists, settling
from namaskah.reconciliation import books, runs
from namaskah.wallet import (
    auto_topups,
    card_deactivations,
    debts,
    dispute_answers,
    dispute_letters,
    disputes,
    events,
    house,
    invoices,
    low_balance,
    promo,
    refund_asking,
    sweeping,
    topups,
)
from namaskah.watch import heartbeats, measuring

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Every:
    """A periodic verb: it takes what is due, returns how much that was, and is called again after `seconds`, or at
    once while there is more. `threads` of each worker process run it side by side."""

    seconds: float
    verb: Callable[[], int]
    threads: int = 1

    @property
    def name(self) -> str:
        """Its verb's, with the module's before it where others are called the same: one that hangs must be missed."""
        is_alone = [every.verb.__name__ for every in SCHEDULE].count(self.verb.__name__) <= 1
        return self.verb.__name__ if is_alone else f"{self.verb.__module__.rpartition('.')[2]}.{self.verb.__name__}"


SCHEDULE = (
    # A provider has its turn every second or two (polling.TICK); one that hangs keeps one thread.
    Every(0.2, polling.poll_due, threads=3),
    Every(1, settling.advance_due, threads=4),  # cancels, purchases cut off, whatever the poll could not end
    Every(5, settling.close_strays_due),
    Every(10, settling.sweep_due),
    Every(10, pricelists.sync_due),
    Every(5, events.take_up_due),
    Every(10, topups.sweep_due),
    Every(10, refund_asking.sweep_due),
    Every(10, sweeping.find_paid_due),
    Every(60, sweeping.find_reversed_due),
    Every(10, disputes.sweep_due),
    Every(5, dispute_answers.send_due),
    Every(1800, disputes.find_open),
    Every(30, debts.collect_due),
    Every(60, dispute_letters.remind_due),
    Every(5, auto_topups.charge_due, threads=2),  # a bank may take its seconds
    Every(10, card_deactivations.deactivate_due),
    Every(10, low_balance.tell_due),
    Every(60, invoices.issue_missing_due),
    Every(20, promo.expire_due),
    Every(600, promo.remind_due),
    Every(600, deletion.take_leftovers_due),
    Every(600, house.take_snapshots_due),
    Every(15, housekeeping.tidy_due),  # whatever is erased by itself: housekeeping/registry.py
    Every(600, runs.start_due),
    Every(60, books.check_due),
    Every(heartbeats.EVERY_SECONDS, heartbeats.beat),
    Every(5, measuring.measure_due),
    Every(60, schedule.create_due),
    Every(60, schedule.drill_due),
    Every(60, tombstones.keep_due),
    Every(600, drills.take_reports_due),
    Every(600, alarms.raise_due),
)

# Name of a job (jobs.defer) → what it does with its arguments. All may run twice: a worker can die after the work.
TASKS: dict[str, Callable[..., Any]] = {
    "send_mail": mail.send,
    "send_verification": accounts.send_verification,
    "send_reset_link": credentials.send_reset_link,
    "send_email_change": email_changes.send_link,
    "finish_order": closing.finish_order,
    "replace_number": closing.replace_number,
    "handle_gateway_event": events.handle_event,
    "make_export": exports.make,
    "reconcile": runs.run,
    "check_books": books.check,
    "tidy": housekeeping.run,
}
RETRY = RetryStrategy(max_attempts=9, exponential_wait=3)  # seconds: 3, 9, 27 … the last after about two hours
JOBS_AT_ONCE = 4
# When told to stop: so long for jobs under way, then so long for periodic verbs under way. Both may be cut off.
LAST_JOB_SECONDS = 8
LAST_TURN_SECONDS = 10
RESTART_SECONDS = 2
STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)


def _only_named(self: Job) -> Any:
    return {"id": self.id, "task_name": self.task_name}


# The queue writes every job it begins, fails or ends into the log, arguments and all: letters, links and addresses.
# It has no setting for that, so two of its methods are ours.
Job.call_string = property(lambda job: f"{job.task_name}[{job.id}]")  # type: ignore[method-assign]
Job.log_context = _only_named  # type: ignore[method-assign]


def run(app: Flask) -> None:
    """Work until SIGTERM or SIGINT: take no new work, finish what is under way."""
    stop = threading.Event()
    threads = [
        threading.Thread(target=_repeat, args=(app, every, stop), name=every.name, daemon=True)
        for every in SCHEDULE
        for _number in range(every.threads)
    ]
    for thread in threads:
        thread.start()
    log.info("worker is ready: %d periodic threads", len(threads))
    try:
        _work_on_jobs(app)
    finally:
        stop.set()
        until = time.monotonic() + LAST_TURN_SECONDS
        for thread in threads:
            thread.join(timeout=max(0.0, until - time.monotonic()))
        _leave(app)


def _leave(app: Flask) -> None:
    """Nobody needs to miss a worker that was stopped."""
    try:
        with app.app_context():
            heartbeats.leave()
    except Exception as error:
        log.warning("the heartbeat was not taken out: %s", type(error).__name__)


def _work_on_jobs(app: Flask) -> None:
    """Run the queue until a signal ends it. When the database was away it has ended by itself: it is begun again."""
    told = threading.Event()
    while not told.is_set():
        for number in STOP_SIGNALS:  # a loop that ends leaves none behind
            signal.signal(number, lambda *_: told.set())
        try:
            asyncio.run(_run_queue(_queue(app), told))
        except Exception:
            log.exception("the job queue failed")
        if not told.is_set():
            log.warning("the job queue stopped, beginning again")
            told.wait(RESTART_SECONDS)


async def _take_up_lost_jobs(queue: App) -> None:
    """Jobs of a worker that was killed in their middle; its heart stopped beating half a minute ago."""
    for job in await queue.job_manager.get_stalled_jobs():
        with suppress(ConnectorException):  # another worker was first
            await queue.job_manager.retry_job(job)


async def _run_queue(queue: App, told: threading.Event) -> None:
    """Until it ends by itself, or a signal comes: then jobs under way have their last seconds."""
    async with queue.open_async():
        await _take_up_lost_jobs(queue)
        working = asyncio.create_task(
            queue.run_worker_async(
                concurrency=JOBS_AT_ONCE,
                delete_jobs="successful",
                shutdown_graceful_timeout=LAST_JOB_SECONDS,
                install_signal_handlers=False,
            )
        )

        def stop() -> None:
            told.set()
            working.cancel()

        for number in STOP_SIGNALS:
            asyncio.get_running_loop().add_signal_handler(number, stop)
        if told.is_set():  # a moment before
            working.cancel()
        with suppress(asyncio.CancelledError):
            await working


def _repeat(app: Flask, every: Every, stop: threading.Event) -> None:
    """Call a verb for ever. An error is logged and the verb called again: what was due is still due."""
    name = every.name
    while not stop.is_set():
        started = time.monotonic()
        done, failed = 0, False
        with tracing.working(f"verb {name}"):
            try:
                # Leaving the context gives the connection back, which fails too when the database has just gone away.
                with crashes.timed("verb", name), app.app_context():
                    done = every.verb()
            except Exception:
                failed = True
                log.exception("%s failed", name)
        heartbeats.turned(name, every.seconds, failed)
        if failed:
            stop.wait(1)
        if not done:
            stop.wait(max(0.05, every.seconds - (time.monotonic() - started)))


def _queue(app: Flask) -> App:
    """The queue as the worker needs it: with the asynchronous driver, tasks registered, lost jobs taken up again."""
    queue = App(connector=PsycopgConnector(**postgres.queue_options(app.config)))
    for name, verb in TASKS.items():
        _register(queue, app, name, verb)

    async def take_up_lost_jobs(timestamp: int) -> None:
        await _take_up_lost_jobs(queue)

    task: Task[Any, Any, Any] = queue.task(
        name="take_up_lost_jobs", queueing_lock="take_up_lost_jobs", pass_context=False
    )(take_up_lost_jobs)
    # Seconds are the sixth field.
    queue.periodic(cron="* * * * * */30")(task)
    return queue


def _register(queue: App, app: Flask, name: str, verb: Callable[..., Any]) -> None:
    def work(**arguments: Any) -> None:
        request_id, own = jobs.split(arguments)
        with tracing.working(f"job {name}", request_id), crashes.timed("job", name), app.app_context():
            started = time.monotonic()
            failed = True
            try:
                verb(**own)
                failed = False
            finally:
                heartbeats.worked(name, failed)
                milliseconds = round((time.monotonic() - started) * 1000, 1)
                log.info("job %s %s", name, "failed" if failed else "done", extra={"fields": {"ms": milliseconds}})
                db.session.remove()

    queue.task(name=name, retry=RETRY)(work)
