"""A new release takes the place of the old one while people buy: nobody sees an error, no purchase is lost, pages are
pushed to again within seconds. Two web servers are replaced one after the other, and the worker, as DEPLOY.md says."""

import http.client
import json
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from uuid import uuid4

import pytest
from sqlalchemy import func, select
from websocket import WebSocket, WebSocketConnectionClosedException, create_connection

from dev.process import free_port
from namaskah.db import db
from namaskah.numbers.models import Activation, Offer
from namaskah.watch import heartbeats
from tests.chaos.stand import Browser, Stand, stand
from tests.support import broken_invariants, make_user, wait_until

SECONDS_APART = 0.05  # of one customer's requests
BACK_WITHIN = 5.0


class Balancer:
    """What a proxy with health checks does: asks every server whether it is ready, and sends people to those who are;
    two bad answers in a row take one out. It never tries a second server: a refused connection would be seen."""

    def __init__(self, ports: list[int]) -> None:
        self.ready = list(ports)
        self.whys: list[str] = []
        self._bad = dict.fromkeys(ports, 0)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def _watch(self) -> None:
        while not self._ended.wait(0.1):
            for port in self._bad:
                status, why = told_of(port)
                self._bad[port] = 0 if status == 200 else self._bad[port] + 1
                self.whys += [why] if status == 503 else []
            self.ready = [port for port, times in self._bad.items() if times < 2] or self.ready

    def port(self, turn: int) -> int:
        ready = self.ready
        return ready[turn % len(ready)]

    def stop(self) -> None:
        self._ended.set()
        self._thread.join()


def told_of(port: int) -> tuple[int, str]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=3)
    with suppress(OSError, http.client.HTTPException):
        connection.request("GET", "/health/ready", headers={"Connection": "close"})
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    return 0, ""


class Customer(threading.Thread):
    """Looks and buys, again and again, every request on a connection of its own, as the proxy makes them."""

    def __init__(self, number: int, browser: Browser, balancer: Balancer, offer: Offer) -> None:
        super().__init__(daemon=True)
        self.number, self.browser, self.balancer, self.offer = number, browser, balancer, offer
        self.ended = threading.Event()
        self.statuses: list[int] = []
        self.faults: list[str] = []
        self.bought: list[str] = []
        self.locations: list[str] = []  # where purchases led, to tell why one was refused

    def run(self) -> None:
        turn = self.number
        while not self.ended.wait(SECONDS_APART):
            turn += 1
            self.browser._url = f"http://127.0.0.1:{self.balancer.port(turn)}"
            try:
                self.statuses.append(self._buy() if turn % 8 == 0 else self.browser.get("/wallet").status)
            except Exception as error:
                self.faults.append(f"{type(error).__name__}: {error}")

    def _buy(self) -> int:
        key = uuid4().hex
        answer = self.browser.post(
            "/activations",
            service=self.offer.service_code, country=self.offer.country_code, operator="",
            max_price_minor=self.offer.price_minor * 2, key=key,
        )  # fmt: skip
        self.locations.append(answer.headers.get("Location", ""))
        if answer.status in (302, 303) and "/activations/" in self.locations[-1]:
            self.bought.append(key)
        return answer.status


class Page(threading.Thread):
    """An open page: its socket, and how long it was without one."""

    def __init__(self, browser: Browser, balancer: Balancer) -> None:
        super().__init__(daemon=True)
        self.browser, self.balancer = browser, balancer
        self.ended = threading.Event()
        self.codes: list[tuple[int, str]] = []
        self.away: list[float] = []

    def run(self) -> None:
        ws, lost = self._connect(), 0.0
        while not self.ended.is_set():
            try:
                ws.settimeout(0.2)
                opcode, data = ws.recv_data()
            except WebSocketConnectionClosedException:
                opcode, data = 8, b"\x03\xee"
            except OSError as error:
                if "timed out" in str(error):
                    continue
                opcode, data = 8, b"\x03\xee"
            except Exception as error:
                if "timed out" in str(error):
                    continue
                raise
            if opcode == 8:
                self.codes.append((int.from_bytes(data[:2], "big"), data[2:].decode()))
                lost = time.monotonic()
                ws = self._connect()
            elif lost:
                self.away.append(time.monotonic() - lost)
                lost = 0.0
        ws.close()

    def _connect(self) -> WebSocket:
        until = time.monotonic() + BACK_WITHIN
        while True:
            port = self.balancer.port(0)
            try:
                return create_connection(
                    f"ws://127.0.0.1:{port}/live", timeout=5,
                    cookie=self.browser._headers["Cookie"], origin=f"http://127.0.0.1:{port}",
                )  # fmt: skip
            except OSError:
                if time.monotonic() > until:
                    raise
                time.sleep(0.1)


@pytest.fixture(scope="module")
def place(settings: dict[str, str], worker_number: int, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stand]:
    logs: Path = tmp_path_factory.mktemp("rolling")
    with stand(settings | {"DRAIN_SECONDS": "1"}, f"namaskah_rolling_{worker_number}", logs) as made:
        made.installation.environment["DRAIN_SECONDS"] = "1"
        yield made


def test_a_rolling_restart_under_load_is_noticed_by_nobody(place: Stand) -> None:
    ports = [place.installation.port, free_port()]
    worker = place.installation.start_worker()
    with ThreadPoolExecutor(2) as both:
        webs = list(both.map(place.installation.start_web, ports))
    offer = db.session.scalars(select(Offer).where(Offer.stock > 50).order_by(Offer.price_minor)).first()
    assert offer is not None
    db.session.expunge(offer)  # read by other threads, which have no session
    browsers = [Browser(place, make_user(f"rolling{n}@example.com", money=50_000_000)) for n in range(3)]
    balancer = Balancer(ports)
    customers = [Customer(number, browser, balancer, offer) for number, browser in enumerate(browsers)]
    pages = [Page(browser, balancer) for browser in browsers]
    for thread in (*pages, *customers):
        thread.start()
    wait_until(lambda: all(customer.bought for customer in customers), 10, "the first purchases")
    # Signals that come while it is still loading end a worker at once, which would prove nothing.
    wait_until(lambda: heartbeats.workers() or db.session.rollback(), 15, "the worker")
    db.session.rollback()

    for number, port in enumerate(ports):
        webs[number].terminate()
        wait_until(lambda port=port: port not in balancer.ready, 5, "the balancer's notice")
        if number == 0:
            worker.terminate()
            place.installation.start_worker()
        assert webs[number].wait(20) == 0
        place.installation.start_web(port)
        wait_until(lambda port=port: port in balancer.ready, 10, "the new server")
    assert worker.wait(20) == 0
    before = [len(customer.bought) for customer in customers]
    until = time.monotonic() + 40
    while time.monotonic() < until and any(len(c.bought) <= was for c, was in zip(customers, before, strict=True)):
        time.sleep(0.05)
    told = [(c.statuses[-16:], c.faults[:3], len(c.bought), c.is_alive(), c.locations[-3:]) for c in customers]
    assert all(len(c.bought) > was for c, was in zip(customers, before, strict=True)), told

    for thread in (*customers, *pages):
        thread.ended.set()
    for thread in (*customers, *pages):
        thread.join(10)
    balancer.stop()
    assert [fault for customer in customers for fault in customer.faults] == []
    statuses = [status for customer in customers for status in customer.statuses]
    assert [status for status in statuses if status >= 500] == []
    assert any("draining" in why for why in balancer.whys), set(balancer.whys)
    print(f"{len(statuses)} requests, {sum(len(c.bought) for c in customers)} purchases")
    closed = [code for page in pages for code in page.codes]
    assert closed and set(closed) == {(1012, "restarting: connect again")}
    away = [seconds for page in pages for seconds in page.away]
    assert len(away) >= len(closed) - len(pages) and max(away) < BACK_WITHIN
    _every_purchase_is_there(place, customers)


def _every_purchase_is_there(place: Stand, customers: list[Customer]) -> None:
    """Each that was said to be done has its row, its order at the provider, and its money."""
    db.session.rollback()
    keys = [key for customer in customers for key in customer.bought]
    rows = db.session.scalars(select(Activation).where(Activation.key.in_(keys))).all()
    assert len(rows) == len(keys)
    assert {row.state for row in rows} <= {"waiting", "received", "finished", "in_doubt", "buying"}
    sold = {str(order["id"]) for name in ("fivesim", "herosms") for order in place.control.orders(name)}
    assert {str(row.provider_ref) for row in rows if row.provider_ref} <= sold
    assert db.session.scalar(select(func.count()).where(Activation.state.in_(("buying", "in_doubt")))) == 0
    assert json.dumps(broken_invariants(), default=str) == "[]"
