"""The web server: `gunicorn wsgi:app` reads this by itself. Settings and their reasons are in namaskah/config.py.

This file also runs in the parent process, which gevent must not patch and which therefore imports nothing of ours:
locks made before the patch would block a whole worker. What the workers need is imported in the hook, after it.
"""

import json
import logging
import mmap
import os
import queue
import resource
import shutil
import signal
import tempfile
import time
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any


def _setting(name: str, default: str) -> str:
    # The same defaults as in namaskah/config.py; a test compares them.
    return os.environ.get(name) or default


# Every process loads the application for itself, answers thousands of open pages with greenlets, and is as fast as one
# core: one or two a core, not more. PostgreSQL sees DATABASE_POOL_SIZE connections of each.
bind = f"{_setting('HOST', '127.0.0.1')}:{_setting('PORT', '8000')}"
workers = int(_setting("WEB_WORKERS", "2"))
# gunicorn's own DEBUG is the address of every request, and so mailed tokens.
loglevel = _setting("LOG_LEVEL", "INFO").lower().replace("debug", "info")
worker_class = "gevent"
worker_connections = 5000  # open pages, each a socket of about 60 KiB; further ones wait in the queue of the system
# Loaded in the parent it would be loaded unpatched, and with connections that its children would share.
preload_app = False
# A worker that has not even turned its loop for so long hangs, and is replaced. Slow requests do not stop the loop.
timeout = 30
# Longer than the slowest answer (ten seconds for a connection, a provider's ten, a statement's five, twice), shorter
# than the proxy's 35.
graceful_timeout = 30
# Proxies open a connection for each request (DEPLOY.md says why); for those that do not, this is enough.
keepalive = 2
# Heartbeats are written to a file each second: in memory, because a disk that is busy must not look like a hang.
worker_tmp_dir = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # noqa: S108
accesslog = None  # namaskah/request_log.py writes one line a request, without its address
# It would let anyone of the same account stop the server, and complains where HOME cannot be written.
control_socket_disable = True
# Only PROXY_HOPS decides which forwarded headers are believed.
forwarded_allow_ips = ""

# Every open page is a file; systems start us with far fewer than they allow.
_soft, _hard = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (_hard, _hard))

# Told to stop, we say so at /health/ready for this long and serve on, until whoever balances the load has noticed.
drain_seconds = float(_setting("DRAIN_SECONDS", "0"))
_leaving = mmap.mmap(-1, 1)  # one byte that the parent writes and all its workers read

# Where the processes keep what they count, so that any of them can tell of all (namaskah/metrics.py).
COUNTS = "PROMETHEUS_MULTIPROC_DIR"


class _Lines(logging.Formatter):
    """The parent's own lines, like those of namaskah/logs.py, which it must not import."""

    def format(self, record: logging.LogRecord) -> str:
        at = datetime.fromtimestamp(record.created, UTC)
        message = record.getMessage() + (f" {self.formatException(record.exc_info)}" if record.exc_info else "")
        if _as_json:
            line = {"at": at.isoformat(timespec="milliseconds"), "level": record.levelname, "logger": record.name}
            return json.dumps(line | {"message": message, "process": record.process})
        return f"{at.astimezone():%H:%M:%S} {record.levelname} {record.name}: {message}"


_kind = {"production": "json"}.get(_setting("ENVIRONMENT", "production"), "text")
_as_json = (os.environ.get("LOG_FORMAT") or _kind) == "json"
logconfig_dict = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"lines": {"()": _Lines}},
    "handlers": {"out": {"class": "logging.StreamHandler", "formatter": "lines", "stream": "ext://sys.stdout"}},
    "root": {"level": "WARNING", "handlers": ["out"]},
    "loggers": {"gunicorn.error": {"level": loglevel.upper(), "handlers": ["out"], "propagate": False}},
}


def on_starting(server: Any) -> None:
    """Say so when the system allows fewer open files than a worker may have pages."""
    if _hard != resource.RLIM_INFINITY and _hard < worker_connections + 500:
        server.log.warning("only %d open files allowed: raise the limit (ulimit -n) to serve more pages", _hard)
    # A parent that takes over from another (USR2) inherits its folder, whose processes still count there.
    named = os.environ.get(COUNTS) if "GUNICORN_PID" not in os.environ else None
    try:
        if named:
            Path(named).mkdir(parents=True, exist_ok=True)
        # One of its own: two servers may be told the same place, and who begins or ends empties what is his.
        os.environ[COUNTS] = tempfile.mkdtemp(prefix="namaskah-counts-", dir=named)
    except OSError as error:
        os.environ.pop(COUNTS, None)
        server.log.warning("nowhere to keep counts (%s): /metrics tells of one process alone", error)


def when_ready(server: Any) -> None:
    """Put the drain before gunicorn's own way to stop, which closes the door first."""
    stop = server.handle_term

    def drain_and_stop() -> None:
        _leaving[0] = 1
        server.log.info("draining for %g seconds", drain_seconds)
        until = time.monotonic() + drain_seconds
        while (left := until - time.monotonic()) > 0:
            try:
                told = server.SIG_QUEUE.get(timeout=left)
            except queue.Empty:
                break
            if told in (signal.SIGINT, signal.SIGQUIT):  # somebody is in a hurry
                server.handle_quit()
        stop()

    server.handle_term = drain_and_stop


def child_exit(server: Any, worker: Any) -> None:
    """What a worker has counted stays; the pages that were open there are not any more."""
    for file in Path(os.environ.get(COUNTS, "/nonexistent")).glob(f"gauge_live*_{worker.pid}.db"):
        with suppress(OSError):
            file.unlink()


def on_exit(server: Any) -> None:
    if counts := os.environ.get(COUNTS):
        shutil.rmtree(counts, ignore_errors=True)


def post_worker_init(worker: Any) -> None:
    """In the worker, patched, the application loaded, before its first request."""
    import gevent  # noqa: PLC0415

    from namaskah import logs, postgres, serving, versions  # noqa: PLC0415
    from namaskah.db import db  # noqa: PLC0415
    from namaskah.wallet import currency_guard  # noqa: PLC0415

    logs.configure(worker.app.callable.config)
    serving.let_psycopg2_yield()
    serving.let_in_at_last()
    with worker.wsgi.app_context():
        postgres.hurry(db.engine, worker.wsgi.config)
        versions.refuse_old()
        currency_guard.refuse_other_currency()
    worker.wsgi = serving.SocketMiddleware(worker.wsgi)
    gevent.spawn(serving.leave_politely, worker, lambda: _leaving[0] == 1)
