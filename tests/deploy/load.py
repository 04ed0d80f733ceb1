"""People who use a site that is being restarted: they look and buy at a steady rate, and have pages open."""

import threading
import time
from collections.abc import Callable, Sequence
from uuid import uuid4

from websocket import WebSocket, WebSocketConnectionClosedException, WebSocketTimeoutException, create_connection

from tests.chaos.stand import Browser

EVERY_HOW_MANYETH_BUYS = 20  # at 50 requests a second that is 200,000 numbers a day
LOOKED_AT = ("/activations", "/wallet", "/terms", "/activations")
Door = Callable[[int], int]
"""The port for the so-and-so-manyeth request: a proxy's, or whichever a balancer chooses."""


class Customer(threading.Thread):
    """One request every `seconds`, whether or not the one before took long: who comes late makes up for it."""

    def __init__(self, number: int, browser: Browser, door: Door, goods: Sequence[tuple[str, str]], seconds: float):
        super().__init__(daemon=True)
        self.number, self.browser, self.door, self.goods, self.seconds = number, browser, door, goods, seconds
        self.ended = threading.Event()
        self.statuses: list[int] = []
        self.took: list[float] = []
        self.faults: list[str] = []
        self.bought: list[str] = []
        self.locations: list[str] = []  # where purchases led, to tell why one was refused

    def run(self) -> None:
        turn, due = self.number, time.monotonic() + self.seconds * (self.number * 0.618 % 1)
        while not self.ended.wait(max(0.0, due - time.monotonic())):
            turn, due, began = turn + 1, due + self.seconds, time.monotonic()
            self.browser._url = f"http://127.0.0.1:{self.door(turn)}"
            try:
                self.statuses.append(self._buy(turn) if turn % EVERY_HOW_MANYETH_BUYS == 0 else self._look(turn))
            except Exception as error:
                self.faults.append(f"{type(error).__name__}: {error}")
            self.took.append(time.monotonic() - began)

    def _look(self, turn: int) -> int:
        return self.browser.get(LOOKED_AT[turn % len(LOOKED_AT)]).status

    def _buy(self, turn: int) -> int:
        key = uuid4().hex
        service, country = self.goods[turn % len(self.goods)]
        form = {"service": service, "country": country, "operator": "", "max_price_minor": 10**9, "key": key}
        answer = self.browser.post("/activations", **form)
        self.locations.append(answer.headers.get("Location", ""))
        if answer.status == 303 and "/activations/" in self.locations[-1]:
            self.bought.append(key)
        return answer.status


class Page(threading.Thread):
    """An open page: its socket, and how long it was without one."""

    def __init__(self, browser: Browser, door: Door, patience: float) -> None:
        super().__init__(daemon=True)
        self.browser, self.door, self.patience = browser, door, patience
        self.ended = threading.Event()
        self.codes: list[tuple[int, str]] = []
        self.away: list[float] = []
        self.lost = 0.0

    def run(self) -> None:
        ws = self._connect()
        while not self.ended.is_set():
            ws.settimeout(0.2)
            try:
                opcode, data = ws.recv_data()
            except WebSocketTimeoutException:
                continue
            except (WebSocketConnectionClosedException, OSError):
                opcode, data = 8, (1006).to_bytes(2, "big")  # gone without a word
            if opcode == 8:
                self.codes.append((int.from_bytes(data[:2], "big"), data[2:].decode()))
                self.lost = self.lost or time.monotonic()  # one that leaves may have taken it a moment ago
                ws.close()
                ws = self._connect()
            elif self.lost:
                self.away.append(time.monotonic() - self.lost)  # everything was sent anew
                self.lost = 0.0
        ws.close()

    def _connect(self) -> WebSocket:
        until = time.monotonic() + self.patience
        while True:
            port = self.door(0)
            try:
                return create_connection(
                    f"ws://127.0.0.1:{port}/live", timeout=5,
                    cookie=self.browser._headers["Cookie"], origin=f"http://127.0.0.1:{port}",
                )  # fmt: skip
            except Exception:
                if time.monotonic() > until:
                    raise
                time.sleep(0.1)
