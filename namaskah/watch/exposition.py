"""/metrics: what the web processes count (`namaskah/metrics.py`), what was counted over all time (`totals`) and what is
the case now (`figures`), in Prometheus' words. Without a database it tells the first, and that there is none."""

import math
from collections.abc import Callable, Iterator
from itertools import accumulate

from flask import current_app
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector
from sqlalchemy import text as sql
from sqlalchemy.exc import SQLAlchemyError

from namaskah import metrics, release, replica
from namaskah.db import db
from namaskah.watch import figures, probing, totals

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
# No reading of ours takes that long; a scrape must not add to the troubles of a database that has some.
STATEMENT_MILLISECONDS = 2_000

Gauge = tuple[str, str, tuple[str, ...], Callable[[], list[figures.Row]]]

GAUGES: tuple[Gauge, ...] = (
    ("namaskah_activations_open", "Activations that have not ended.", ("state",), figures.activations),
    ("namaskah_oldest_doubt_seconds", "Age of the oldest purchase in doubt.", (), figures.oldest_doubt),
    ("namaskah_activations_overdue", "Waiting ten minutes after the end of their window.", (), figures.overdue),
    ("namaskah_stray_orders", "Orders at providers that nobody wants and that are not given back.", (), figures.strays),
    ("namaskah_jobs", "Jobs in the queue.", ("task", "status"), figures.jobs),
    ("namaskah_queue_age_seconds", "Age of the oldest job that should be done by now.", (), figures.queue_age),
    ("namaskah_letter_age_seconds", "Age of the oldest letter not sent.", (), figures.letter_age),
    ("namaskah_provider_balance", "Money at a provider, in its currency.", ("provider", "currency"),
     figures.provider_balances),
    ("namaskah_provider_resting", "1 while a provider is left alone after an error.", ("provider",),
     figures.providers_resting),
    ("namaskah_price_list_age_seconds", "Since a provider's price list was read.", ("provider",),
     figures.price_list_ages),
    ("namaskah_workers", "Worker processes whose heart beats.", (), figures.workers),
    ("namaskah_worker_heartbeat_age_seconds", "Since a worker's last heartbeat.", ("worker",), figures.heartbeat_ages),
    ("namaskah_verb_lag_seconds", "Since a periodic verb last came back.", ("verb",), figures.verb_lags),
    ("namaskah_books_faults", "Money invariants that did not hold at the last check.", (), figures.books_faults),
    ("namaskah_books_check_age_seconds", "Since the books were checked.", (), figures.books_age),
    ("namaskah_reconciliation_age_seconds", "Since a comparison with others' books ended.", (),
     figures.reconciliation_age),
    ("namaskah_differences", "Differences with others' books that nobody has explained.", (), figures.differences),
    ("namaskah_measured_age_seconds", "Since a worker last measured the service.", (), figures.measured_age),
    ("namaskah_part_state", "Parts of the service: 1 well, 0.5 degraded, 0 down.", ("part",), figures.part_states),
    ("namaskah_last_success_age_seconds", "Since something else last succeeded.", ("of",), figures.extra_ages),
    ("namaskah_housekeeping_last_success_timestamp_seconds", "When a job of housekeeping last succeeded; 0: never.",
     ("of",), figures.tidied_at),
    ("namaskah_message_texts_overdue_seconds", "For how long words of messages are here that should be erased.", (),
     figures.texts_overdue),
)  # fmt: skip
COUNTERS: tuple[Gauge, ...] = (
    ("namaskah_verb_turns", "Turns of periodic verbs.", ("worker", "verb", "outcome"), figures.verb_turns),
    ("namaskah_worker_jobs", "Jobs that workers have ended.", ("worker", "task", "outcome"), figures.worker_jobs),
    ("namaskah_housekeeping_erased", "Rows that housekeeping has erased.", ("of",), figures.tidied_rows),
)
# Of totals: name there, name here, what it is, the labels its key consists of.
COUNTED = (
    ("transactions", "namaskah_ledger_transactions", "Ledger transactions.", ("kind",)),
    ("money", "namaskah_money_minor", "Money moved, in minor units.", ("kind", "currency")),
    ("opened", "namaskah_activations_opened", "Purchases begun.", ()),
    ("released", "namaskah_activations_released", "Purchases whose money went back.", ("provider", "reason")),
)
SORTED = (
    ("code_seconds", "namaskah_time_to_code_seconds", "From the purchase to its code.", ("provider",)),
    ("message_seconds", "namaskah_message_delay_seconds", "From the provider's having a message to ours.",
     ("provider",)),
    ("refund_seconds", "namaskah_refund_delay_seconds", "From the end of a window to the money's return.", ()),
    ("credit_seconds", "namaskah_credit_delay_seconds", "From the gateway's word of a payment to its credit.", ()),
)  # fmt: skip


def text() -> bytes:
    """All of it. Never raises for want of a database."""
    now = CollectorRegistry()
    now.register(_Now())
    return generate_latest(metrics.registry()) + generate_latest(now)


class _Now(Collector):
    def collect(self) -> Iterator[Metric]:
        build = GaugeMetricFamily("namaskah_build", "1, of this release.", labels=("version", "commit"))
        build.add_metric((release.VERSION, release.revision(current_app.config)), 1)
        schema = probing.schema()
        yield build
        yield GaugeMetricFamily("namaskah_database_up", "Whether PostgreSQL answers.", float(schema is not None))
        yield GaugeMetricFamily("namaskah_redis_up", "Whether Redis answers.", float(probing.redis_answers()))
        if schema is not None:
            migrated = float(probing.is_migrated(schema))
            yield GaugeMetricFamily("namaskah_migrated", "Whether the schema is ours or newer.", migrated)
            yield from probing.quietly(_of_the_replica, [])
            yield from probing.quietly(lambda: replica.read(_from_database), [])


def _of_the_replica() -> list[Metric]:
    """Each web process looks for itself. Nothing is told where there is none."""
    if not replica.is_set():
        return []
    found = replica.look()
    up = GaugeMetricFamily("namaskah_replica_up", "Whether the replica is read from.", float(found.state == replica.OK))
    lag = GaugeMetricFamily("namaskah_replica_lag_seconds", "How far behind it is at most.")
    lag.add_metric((), math.inf if found.lag is None else found.lag)
    return [up, lag]


def _from_database() -> list[Metric]:
    _start()
    try:
        so_far = totals.now()
        return [*_gauges(), *_counted(so_far), *_sorted(so_far)]
    finally:
        db.session.rollback()


def _start() -> None:
    db.session.rollback()
    db.session.execute(sql(f"SET LOCAL statement_timeout = {STATEMENT_MILLISECONDS}"))


def _gauges() -> Iterator[Metric]:
    for family, rows in ((GaugeMetricFamily, GAUGES), (CounterMetricFamily, COUNTERS)):
        for name, what, labels, read in rows:
            metric = family(name, what, labels=labels)
            for values, value in _read(read):
                metric.add_metric(values, value)
            yield metric


def _read(read: Callable[[], list[figures.Row]]) -> list[figures.Row]:
    """One figure that takes too long is left out; the others are told all the same."""
    try:
        return read()
    except SQLAlchemyError as error:
        current_app.logger.warning("a figure was not read: %s", type(error).__name__)
        _start()
        return []


def _counted(so_far: totals.Totals) -> Iterator[Metric]:
    for name, metric_name, what, labels in COUNTED:
        metric = CounterMetricFamily(metric_name, what, labels=labels)
        for key, value in (so_far.get(name) or ({"": 0} if not labels else {})).items():
            metric.add_metric(key.split(" ") if labels else (), value)
        yield metric


def _sorted(so_far: totals.Totals) -> Iterator[Metric]:
    for name, metric_name, what, labels in SORTED:
        metric = HistogramMetricFamily(metric_name, what, labels=labels)
        bounds = [*map(str, map(float, totals.BOUNDS[name])), "+Inf"]
        nothing = {"": [0.0] * (len(bounds) + 1)} if not labels else {}
        for key, row in (so_far.get(name) or nothing).items():
            buckets = list(zip(bounds, accumulate(row[1:]), strict=True))
            metric.add_metric((key,) if labels else (), buckets, sum_value=row[0])
        yield metric
