"""What a web process counts about itself. gunicorn's processes share the counts through files, in the folder
PROMETHEUS_MULTIPROC_DIR (see gunicorn.conf.py), so whichever of them is asked tells of all.

Everything else that /metrics tells is read from PostgreSQL when it is asked: see `watch/`.
"""

import os

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.multiprocess import MultiProcessCollector

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)

_own = CollectorRegistry()

REQUESTS = Counter(
    "namaskah_http_requests",
    "Requests answered, by route.",
    ("method", "route", "status"),
    registry=_own,
)
REQUEST_SECONDS = Histogram(
    "namaskah_http_request_seconds",
    "Time to the whole answer.",
    ("method", "route"),
    buckets=SECONDS,
    registry=_own,
)
OPEN_SOCKETS = Gauge(
    "namaskah_open_sockets",
    "Pages that hold a live socket.",
    multiprocess_mode="livesum",
    registry=_own,
)
REPLICA_READS = Counter(
    "namaskah_replica_reads",
    "Readings that may go to a replica, by where they went.",
    ("place",),
    registry=_own,
)
CRASHES = Counter("namaskah_unhandled_errors", "Requests that ended in an error nobody expected.", registry=_own)


def registry() -> CollectorRegistry:
    """A registry of all processes of this server; of this one alone where it has no siblings."""
    if not os.environ.get("PROMETHEUS_MULTIPROC_DIR"):
        return _own
    everybody = CollectorRegistry()
    MultiProcessCollector(everybody)  # type: ignore[no-untyped-call]  # theirs has no types
    return everybody


def count_request(method: str, route: str, status: int, seconds: float | None) -> None:
    """One request was answered; `seconds` is None for sockets, whose time says nothing."""
    REQUESTS.labels(method, route, str(status)).inc()
    if seconds is not None:
        REQUEST_SECONDS.labels(method, route).observe(seconds)
