"""What gunicorn's gevent workers need beside the application. gunicorn.conf.py alone uses it, after gevent's patch."""

from collections.abc import Callable, Iterable
from time import monotonic
from typing import Any

import gevent
import psycopg2
from gevent.lock import BoundedSemaphore
from gevent.server import StreamServer
from gevent.socket import wait_read, wait_write
from gunicorn.workers import ggevent
from psycopg2 import extensions

from namaskah import draining, live

CONNECT_SECONDS = 5.0
_CONNECTING = 20  # psycopg2's CONN_STATUS_CONNECTING, which it does not export
# A reader that takes nothing for this long is gone.
SEND_SECONDS = 15.0
# When we stop, pages are not all sent away at once: whoever takes them draws each anew. In all so many seconds at most.
FAREWELLS_A_SECOND = 50
LONGEST_FAREWELL = 12.0
# Then so long may a page, which is just being drawn or reads slowly, take until it knows. Then it is cut off.
LAST_WORD_SECONDS = 2.0

Wsgi = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


def let_psycopg2_yield() -> None:
    """psycopg2 waits in C, where gevent cannot switch: without this one slow query stalls every page of the process."""
    extensions.set_wait_callback(_wait)


def _wait(connection: Any) -> None:
    while True:
        state = connection.poll()
        seconds = _connect_seconds(connection) if connection.status == _CONNECTING else None
        if state == extensions.POLL_OK:
            return
        if state == extensions.POLL_READ:
            wait_read(connection.fileno(), seconds, psycopg2.OperationalError("the database does not answer"))
        elif state == extensions.POLL_WRITE:
            wait_write(connection.fileno(), seconds, psycopg2.OperationalError("the database does not answer"))
        else:
            raise psycopg2.OperationalError(f"unknown state of the connection: {state}")


def _connect_seconds(connection: Any) -> float:
    """libpq's own connect_timeout does not count in this mode."""
    return float(extensions.parse_dsn(connection.dsn).get("connect_timeout", CONNECT_SECONDS))


class WholeFrames:
    """A socket that sends all or fails. simple-websocket calls send() once, which under gevent may send only a part,
    and sends its pings from another greenlet: a slow reader would get torn frames."""

    def __init__(self, sock: Any) -> None:
        self._sock = sock
        self._lock = BoundedSemaphore(1)

    def send(self, data: bytes) -> int:
        """Send all of it. Raises OSError, and closes, when the reader took nothing for SEND_SECONDS."""
        try:
            with gevent.Timeout(SEND_SECONDS, TimeoutError("the reader takes nothing")), self._lock:
                self._sock.sendall(data)
        except OSError:
            self._sock.close()
            raise
        return len(data)

    def recv(self, size: int) -> bytes:
        return bytes(self._sock.recv(size))

    def fileno(self) -> int:
        return int(self._sock.fileno())

    def close(self) -> None:
        self._sock.close()


class LastCall(StreamServer):
    """Lets in who stands at the door before it is closed.

    The kernel has told a proxy that it is connected before we have taken the connection; closing the door resets all
    that wait there, and the proxy, which may have sent the request already, must not send a purchase to another server.
    """

    doors: "list[LastCall]" = []  # of this process

    def start(self) -> None:
        super().start()
        self.doors.append(self)

    def close(self) -> None:
        if self.closed:
            return
        self.stop_accepting()
        # Each visitor's greenlet begins by asking the door for its address: it must have begun before the door is gone.
        gevent.sleep(0)
        try:
            while self._let_in():
                gevent.sleep(0)
        finally:
            super().close()

    def _let_in(self) -> int:
        """Whoever is there now; returns how many that were."""
        count = 0
        while not self.full() and (visitor := self.do_read()):
            self.do_handle(*visitor)
            count += 1
        return count


def let_in_at_last() -> None:
    """Have gunicorn's worker, which has not opened its door yet, do so with a LastCall."""
    ggevent.StreamServer = LastCall


class SocketMiddleware:
    """Gives WebSocket requests a socket of WholeFrames, and no compression: it triples what an idle page costs."""

    def __init__(self, wsgi: Wsgi) -> None:
        self._wsgi = wsgi

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        if environ.get("HTTP_UPGRADE", "").lower() == "websocket":
            environ["gunicorn.socket"] = WholeFrames(environ["gunicorn.socket"])
            environ.pop("HTTP_SEC_WEBSOCKET_EXTENSIONS", None)
        return self._wsgi(environ, start_response)


def leave_politely(worker: Any, is_leaving: Callable[[], bool]) -> None:
    """Say at /health/ready that we are about to go as soon as the parent is; wait for gunicorn to stop the worker; then
    send the pages elsewhere instead of sitting out the grace period."""
    while worker.alive:
        if is_leaving():
            draining.start()
        gevent.sleep(0.1)
    draining.start()
    # First, or pages that we send elsewhere come back to us. gunicorn closes it too, up to a second later.
    for door in LastCall.doors:
        door.close()
    gap = min(1 / FAREWELLS_A_SECOND, LONGEST_FAREWELL / max(live.count(), 1))
    for _page in live.close_each(live.SERVICE_RESTART):
        gevent.sleep(gap)
    until = monotonic() + LAST_WORD_SECONDS
    while live.count() and monotonic() < until:
        gevent.sleep(0.1)
    live.cut_all()
