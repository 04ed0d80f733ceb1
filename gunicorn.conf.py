"""The web server: `gunicorn wsgi:app` reads this by itself. Settings and their reasons are in namaskah/config.py.

This file also runs in the parent process, which gevent must not patch and which therefore imports nothing of ours:
locks made before the patch would block a whole worker. What the workers need is imported in the hook, after it.
"""

import os
import resource
from typing import Any


def _setting(name: str, default: str) -> str:
    # The same defaults as in namaskah/config.py; a test compares them.
    return os.environ.get(name) or default


bind = f"{_setting('HOST', '127.0.0.1')}:{_setting('PORT', '8000')}"
workers = int(_setting("WEB_WORKERS", "2"))
# gunicorn's own DEBUG is the address of every request, and so mailed tokens.
loglevel = _setting("LOG_LEVEL", "INFO").lower().replace("debug", "info")
worker_class = "gevent"
worker_connections = 5000
preload_app = False
graceful_timeout = 30
keepalive = 2
accesslog = None
# It would let anyone of the same account stop the server, and complains where HOME cannot be written.
control_socket_disable = True
# Only PROXY_HOPS decides which forwarded headers are believed.
forwarded_allow_ips = ""

# Every open page is a file; systems start us with far fewer than they allow.
_soft, _hard = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (_hard, _hard))


def on_starting(server: Any) -> None:
    """Say so when the system allows fewer open files than a worker may have pages."""
    if _hard != resource.RLIM_INFINITY and _hard < worker_connections + 500:
        server.log.warning("only %d open files allowed: raise the limit (ulimit -n) to serve more pages", _hard)


def post_worker_init(worker: Any) -> None:
    """In the worker, patched, the application loaded, before its first request."""
    import gevent  # noqa: PLC0415

    from namaskah import serving  # noqa: PLC0415
    from namaskah.wallet import currency_guard  # noqa: PLC0415

    serving.let_psycopg2_yield()
    with worker.wsgi.app_context():
        currency_guard.refuse_other_currency()
    worker.wsgi = serving.SocketMiddleware(worker.wsgi)
    gevent.spawn(serving.close_pages_on_stop, worker)
