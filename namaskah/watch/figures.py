"""What is the case at this moment, read from PostgreSQL when Prometheus asks. Every web process tells the same."""

import math
from collections.abc import Callable
from datetime import UTC, datetime

from sqlalchemy import func, select, text

from namaskah.db import db
from namaskah.numbers import message_retention
from namaskah.numbers.models import OPEN, Activation, Provider, StrayOrder
from namaskah.reconciliation import books, findings, runs
from namaskah.watch import facts, heartbeats, measuring

# Labels → value.
Row = tuple[tuple[str, ...], float]

# How long ago, in seconds, the last backup and the last drill succeeded; filled by create_app(). Without it, and before
# the first one, the age is infinite, which is what an alarm should think of it.
ages: dict[str, Callable[[], float | None]] = {}
EXTRA = ("backup", "restore_drill")
# When each job of housekeeping last succeeded, and how many rows each erased; filled by create_app() too.
housekeeping: dict[str, Callable[[], list[Row]]] = {}


def activations() -> list[Row]:
    """Open ones, by state."""
    rows = db.session.execute(
        select(Activation.state, func.count()).where(Activation.state.in_(OPEN)).group_by(Activation.state)
    )
    found = {row.state: row[1] for row in rows}
    return [((state,), found.get(state, 0)) for state in OPEN]


def oldest_doubt() -> list[Row]:
    doubtful = select(func.min(Activation.attempt_at)).where(Activation.state == "in_doubt")
    return [((), facts.age(doubtful))]


def overdue() -> list[Row]:
    """Activations whose window ended ten minutes ago and that are still waiting."""
    late = Activation.expires_at < func.now() - func.make_interval(0, 0, 0, 0, 0, 10)
    wanted = select(func.count()).where(Activation.state == "waiting", late)
    return [((), db.session.scalar(wanted) or 0)]


def strays() -> list[Row]:
    return [((), db.session.scalar(select(func.count()).where(StrayOrder.closed_at.is_(None))) or 0)]


def jobs() -> list[Row]:
    """By task and status; those that are done are gone."""
    rows = db.session.execute(
        text("SELECT task_name, status::text, count(*) FROM procrastinate_jobs GROUP BY 1, 2 ORDER BY 1, 2")
    )
    return [((str(task), str(status)), int(count)) for task, status, count in rows]


def queue_age() -> list[Row]:
    return [((), facts.oldest_job())]


def letter_age() -> list[Row]:
    return [((), facts.oldest_job("send_mail"))]


def provider_balances() -> list[Row]:
    """In whole units of the provider's currency, as it said last."""
    return [
        ((row.name, row.currency), row.balance_micros / 1_000_000)
        for row in _providers()
        if row.balance_micros is not None
    ]


def providers_resting() -> list[Row]:
    now = datetime.now(UTC)
    return [((row.name,), float(row.paused_until is not None and row.paused_until > now)) for row in _providers()]


def price_list_ages() -> list[Row]:
    return [((row.name,), _age(row.synced_at)) for row in _providers()]


def workers() -> list[Row]:
    return [((), sum(worker.is_alive for worker in heartbeats.workers()))]


def heartbeat_ages() -> list[Row]:
    return [((worker.name,), worker.age) for worker in heartbeats.workers()]


def verb_lags() -> list[Row]:
    """How long ago each periodic verb last came back, in whichever worker that was."""
    found: dict[str, float] = {}
    for worker in heartbeats.workers():
        for verb, lag in worker.lags.items():
            found[verb] = min(lag, found.get(verb, math.inf))
    return [((verb,), lag) for verb, lag in sorted(found.items())]


def verb_turns() -> list[Row]:
    return [
        ((worker.name, verb, outcome), turn[key])
        for worker in heartbeats.workers()
        for verb, turn in worker.turns.items()
        for outcome, key in (("done", "count"), ("failed", "failed"))
    ]


def worker_jobs() -> list[Row]:
    return [
        ((worker.name, task, outcome), count)
        for worker in heartbeats.workers()
        for task, counts in worker.jobs.items()
        for outcome, count in counts.items()
    ]


def books_faults() -> list[Row]:
    last = books.latest()
    return [((), len(last.faults) if last else 0)]


def books_age() -> list[Row]:
    last = books.latest()
    return [((), _age(last.checked_at if last else None))]


def reconciliation_age() -> list[Row]:
    last = runs.latest()
    return [((), _age(last.ended_at if last else None))]


def differences() -> list[Row]:
    return [((), findings.unexplained())]


def measured_age() -> list[Row]:
    last = measuring.latest()
    return [((), _age(last.minute if last else None))]


def part_states() -> list[Row]:
    """1 for well, 0.5 for degraded, 0 for down, as measured last."""
    last = measuring.latest()
    worth = {"ok": 1.0, "degraded": 0.5, "down": 0.0}
    return [((part,), worth[state]) for part, state in sorted((last.states or {}).items())] if last else []


def extra_ages() -> list[Row]:
    """Of what other rooms look after, by name."""
    seconds = {name: ages[name]() if name in ages else None for name in EXTRA}
    return [((name,), math.inf if age is None else age) for name, age in seconds.items()]


def tidied_at() -> list[Row]:
    """Seconds of the epoch, by job; 0 for one that never succeeded."""
    return housekeeping["succeeded"]()


def tidied_rows() -> list[Row]:
    return housekeeping["erased"]()


def texts_overdue() -> list[Row]:
    return [((), message_retention.overdue_seconds())]


def _providers() -> list[Provider]:
    return list(db.session.scalars(select(Provider).order_by(Provider.name)))


def _age(at: datetime | None) -> float:
    return math.inf if at is None else max(0.0, (datetime.now(UTC) - at).total_seconds())
