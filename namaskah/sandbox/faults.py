"""Faults on request: what goes wrong with the next answers, before or after the real work was done."""

from __future__ import annotations

import itertools
import os
import random
import socket
import struct
import threading
from collections import Counter, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any

from flask import Response, g, request

OPERATIONS = ["*", "buy", "poll", "list", "cancel", "finish", "again", "ban", "prices", "balance"]
OPERATIONS += ["initialize", "verify", "webhook", "charge", "deactivate"]
OPERATIONS += ["refund", "refund_read", "refund_retry", "banks"]
OPERATIONS += ["dispute", "evidence", "upload", "resolve"]
# Kinds that come in two tempers: as named, the request never reaches the provider; with _after, the work is done
# (a number allocated, money taken) and only the answer is spoilt.
SPOILERS = {"slow", "hang", "reset", "error", "html", "cut", "empty", "huge"}
ALIASES = {"error_500": "error", "cut_json": "cut", "error_500_after": "error_after", "cut_json_after": "cut_after"}
TWISTS = {"wrong_price", "duplicate_id", "bad_row", "declined", "challenge", "undecided"}
REFUSALS = {"no_stock", "no_balance", "rate_limited", "bad_key"}
KINDS = SPOILERS | {f"{kind}_after" for kind in SPOILERS} | TWISTS | REFUSALS | {"drip"} | set(ALIASES)

_SECONDS = {"slow": 3.0, "hang": 60.0}
_HTML = "<!DOCTYPE html><html><head><title>Maintenance</title></head><body><h1>We will be back soon</h1></body></html>"


@dataclass
class Fault:
    """`times` 0 lasts until deleted; `probability` is tried anew for every request."""

    provider: str = "*"
    operation: str = "*"
    kind: str = "error_500"
    times: int = 1
    probability: float = 1.0
    seconds: float | None = None
    id: int = 0
    left: int = field(init=False, default=0)

    def __post_init__(self) -> None:
        if self.provider not in ("fivesim", "smsactivate", "herosms", "paystack", "*"):
            raise ValueError(f"no provider called {self.provider}")
        if self.operation not in OPERATIONS:
            raise ValueError(f"no operation called {self.operation}")
        if self.kind not in KINDS:
            raise ValueError(f"no kind of fault called {self.kind}")
        self.left = self.times

    def fits(self, provider: str, operation: str) -> bool:
        return self.provider in ("*", provider) and self.operation in ("*", operation)


@dataclass
class Era:
    """The time between two resets. When it is over, what a fault keeps waiting is let go without doing its work."""

    over: threading.Event = field(default_factory=threading.Event)
    requests: int = 0


class Faults:
    """The faults in force, oldest first; the first that fits is used."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._idle = threading.Condition(self._lock)
        self._ids = itertools.count(1)
        self._faults: list[Fault] = []
        self._era = Era()
        self.stopping = threading.Event()

    @contextmanager
    def answering(self) -> Iterator[threading.Event]:
        """Around one request: gives the event that is set when the request has outlived its world."""
        with self._lock:
            era = self._era
            era.requests += 1
        try:
            yield era.over
        finally:
            with self._idle:
                era.requests -= 1
                self._idle.notify_all()

    def reset(self) -> None:
        """No faults; and no request of before is still at work when this returns, so that none of them sells a number
        into the books of after."""
        with self._idle:
            self._faults, ended, self._era = [], self._era, Era()
            ended.over.set()
            self._idle.wait_for(lambda: ended.requests == 0, timeout=10)

    def stop(self) -> None:
        """Whatever waits is let go."""
        self.stopping.set()
        with self._lock:
            self._era.over.set()

    def add(self, wanted: dict[str, Any]) -> Fault:
        """Raises ValueError or TypeError when the description makes no sense."""
        with self._lock:
            fault = Fault(**{**wanted, "id": next(self._ids)})
            self._faults.append(fault)
            return fault

    def remove(self, fault_id: int | None = None) -> None:
        with self._lock:
            self._faults = [f for f in self._faults if fault_id not in (None, f.id)]

    def listing(self) -> list[dict[str, Any]]:
        with self._lock:
            return [asdict(fault) for fault in self._faults]

    def take(self, provider: str, operation: str) -> Fault | None:
        """The fault that strikes this request, counted as used."""
        with self._lock:
            for fault in self._faults:
                if fault.fits(provider, operation) and random.random() < fault.probability:  # noqa: S311 (no secret)
                    if fault.times:
                        fault.left -= 1
                        self._faults = [f for f in self._faults if not f.times or f.left > 0]
                    return fault
        return None

    def strike(
        self, fault: Fault, over: threading.Event, work: Callable[[], Response], refusals: dict[str, Response]
    ) -> Response:
        """Answer a request that a fault has hit. Never called with a lock held: it may sleep for a minute, or until
        its world is `over`."""
        kind = ALIASES.get(fault.kind, fault.kind)
        if kind in TWISTS:
            g.twist = kind
            return work()
        if kind in REFUSALS:
            return refusals.get(kind) or work()
        if kind == "drip":
            return Dripping(work(), self.stopping)
        name, _, after = kind.partition("_")
        if name == "slow":
            return _slow(fault, over, work, bool(after))
        answer = work() if after else None
        if name == "hang":
            over.wait(_SECONDS["hang"] if fault.seconds is None else fault.seconds)
            return Reset()
        return _spoilt(name, answer)


def _slow(fault: Fault, over: threading.Event, work: Callable[[], Response], after: bool) -> Response:
    seconds = _SECONDS["slow"] if fault.seconds is None else fault.seconds
    answer = work() if after else None
    if over.wait(seconds):
        return Reset()
    return answer or work()


def _spoilt(name: str, answer: Response | None) -> Response:
    if name == "reset":
        return Reset()
    if name == "cut":
        return Cut(answer)
    if name == "html":
        return Response(_HTML, 200, mimetype="text/html")
    if name == "empty":
        return Response("", 200, mimetype="text/html")
    if name == "huge":
        return Response(_huge(), 200, mimetype="application/json")
    return Response("internal error", 500, mimetype="text/plain")


def _huge() -> Iterator[bytes]:
    """A JSON list of about 12 MB, without a length: a reader without a cap takes it all."""
    chunk = b'"' + b"x" * 65_533 + b'",'
    yield b"["
    for _ in range(190):
        yield chunk
    yield b'"end"]'


class Reset(Response):
    """No answer: the connection is torn down with RST instead of FIN."""

    def __call__(self, environ: Any, start_response: Any) -> Any:
        connection = environ.get("werkzeug.socket")
        if connection is not None:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            # The server's own files keep the socket alive past close(); replacing the descriptor ends it now,
            # before the server can say a polite goodbye.
            nothing = os.open(os.devnull, os.O_RDWR)
            os.dup2(nothing, connection.fileno())
            os.close(nothing)
        raise ConnectionResetError("reset on request")


class Cut(Response):
    """Half of the body under the whole body's Content-Length, then the connection ends."""

    def __init__(self, answer: Response | None) -> None:
        body = answer.get_data() if answer else b'{"id": 1, "phone": "+2348020000000", "status": "PENDING"}'
        super().__init__(body[: max(1, len(body) // 2)], 200)
        self.headers["Content-Type"] = answer.headers["Content-Type"] if answer else "application/json"
        self.automatically_set_content_length = False
        self.headers["Content-Length"] = str(len(body))


class Dripping(Response):
    """The right answer, one byte a second."""

    def __init__(self, answer: Response, stopping: threading.Event) -> None:
        body = answer.get_data()
        super().__init__(self._drops(body, stopping), answer.status_code)
        self.headers["Content-Type"] = answer.headers["Content-Type"]
        self.headers["Content-Length"] = str(len(body))

    @staticmethod
    def _drops(body: bytes, stopping: threading.Event) -> Iterator[bytes]:
        for byte in body:
            yield bytes([byte])
            if stopping.wait(1.0):
                return


class Calls:
    """Who asked what: a count per provider and operation, and the last requests of each."""

    def __init__(self, keep: int = 200) -> None:
        self._keep = keep
        self.reset()

    def reset(self) -> None:
        self._lock = threading.Lock()
        self._count: Counter[str] = Counter()
        self._last: dict[str, deque[dict[str, Any]]] = {}

    def record(self, provider: str, operation: str, fault: Fault | None) -> None:
        key = f"{provider}/{operation}"
        call = {
            "at": datetime.now(UTC).isoformat(),
            "method": request.method,
            "path": request.path,
            "query": {k: v for k, v in request.args.items() if k != "api_key"},
            "fault": fault.kind if fault else None,
        }
        with self._lock:
            self._count[key] += 1
            self._last.setdefault(key, deque(maxlen=self._keep)).append(call)

    def as_json(self, last: int) -> dict[str, Any]:
        with self._lock:
            latest = {key: list(calls)[-last:] for key, calls in self._last.items()} if last else {}
            return {"counts": dict(self._count), "last": latest}
