"""The pages this process has a socket to, and what each has still to be told."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from simple_websocket import Server

from namaskah import metrics

MAX_WAITING = 64
# A worker serves a few thousand sockets; one account must not be able to take them all.
MAX_PAGES_OF_USER = 20
# RFC 6455, 7.4.1, and what a client that shows reasons tells of it: the page is served elsewhere, at once.
SERVICE_RESTART = 1012
HINTS = {SERVICE_RESTART: "restarting: connect again"}


class Change(NamedTuple):
    """What changed, by name. `item` is the key of the one thing, None for all the user has of it."""

    topic: str
    item: int | None = None


EVERYTHING = Change("*")
FETCH_AGAIN = Change("fetch again")


class Page:
    """One open socket. A change waiting already is not queued twice: whoever draws it draws the present state."""

    def __init__(self, user_id: int, ws: Server) -> None:
        self.user_id = user_id
        self.close_code: int | None = None
        self._ws = ws
        self._lock = threading.Lock()
        self._waiting: dict[Change, None] = {}

    def tell(self, change: Change) -> None:
        """Queue a change; past MAX_WAITING all are dropped for one order to fetch the page's state again."""
        with self._lock:
            if len(self._waiting) >= MAX_WAITING and change not in self._waiting:
                self._waiting.clear()
                change = FETCH_AGAIN
            self._waiting[change] = None
        self._ws.event.set()

    def take(self) -> list[Change]:
        """Everything queued, oldest first; waits until there is something, or the socket has closed or must."""
        # The event is the socket's own: its reader sets it when the browser closes, so one wait sees both.
        self._ws.event.wait()
        self._ws.event.clear()
        with self._lock:
            changes = list(self._waiting)
            self._waiting.clear()
        return changes

    def close(self, code: int) -> None:
        """Have the page's own thread send a close frame; codes as in RFC 6455, 7.4.1."""
        self.close_code = code
        self._ws.event.set()

    def cut(self) -> None:
        """Give up on a reader that takes nothing: whoever is stuck sending gets an OSError."""
        self._ws.sock.close()


class _Process:
    """What this process serves."""

    lock = threading.Lock()
    pages: dict[int, set[Page]] = {}
    closing_with: int | None = None


@contextmanager
def present(page: Page) -> Iterator[None]:
    """The page is told of changes inside this block."""
    with _Process.lock:
        _Process.pages.setdefault(page.user_id, set()).add(page)
    if _Process.closing_with is not None:
        page.close(_Process.closing_with)
    metrics.OPEN_SOCKETS.inc()
    try:
        yield
    finally:
        metrics.OPEN_SOCKETS.dec()
        with _Process.lock:
            _Process.pages[page.user_id].discard(page)
            if not _Process.pages[page.user_id]:
                del _Process.pages[page.user_id]


def has_room(user_id: int) -> bool:
    """Whether the user may open another page in this process."""
    return len(_of(user_id)) < MAX_PAGES_OF_USER


def tell(user_id: int, change: Change) -> None:
    """Queue the change for every page the user has open here."""
    for page in _of(user_id):
        page.tell(change)


def tell_all(change: Change) -> None:
    for page in _all():
        page.tell(change)


def close_each(code: int) -> Iterator[None]:
    """Close every page, one at each step, and from now on those that still come: the process is about to end."""
    _Process.closing_with = code
    for page in _all():
        page.close(code)
        yield


def count() -> int:
    """How many pages are open here."""
    return len(_all())


def cut_all() -> None:
    """Drop the connections of pages that did not close."""
    for page in _all():
        page.cut()


def _of(user_id: int) -> list[Page]:
    with _Process.lock:
        return list(_Process.pages.get(user_id, ()))


def _all() -> list[Page]:
    with _Process.lock:
        return [page for pages in _Process.pages.values() for page in pages]
