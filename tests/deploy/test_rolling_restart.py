"""A new release takes the place of the old one while people buy: nobody sees an error, no purchase is lost, pages are
pushed to again within seconds. Two web servers are replaced one after the other, and the worker, as DEPLOY.md says,
behind nginx as ops/nginx.conf has it; where there is no nginx, behind a few lines that do as a balancer does.

RATE, SOCKETS and ROUNDS make more of it: bench/README.md has the figures of a long one, at 50 requests a second.
"""

import http.client
import json
import os
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest
from sqlalchemy import func, select

from dev.binaries import find_proxy
from dev.process import StartError, free_port
from namaskah.db import db
from namaskah.numbers.models import Activation, Offer
from namaskah.watch import heartbeats
from tests.chaos.stand import Browser, Stand, stand
from tests.deploy.load import Customer, Page
from tests.deploy.proxy import nginx
from tests.support import broken_invariants, make_user, wait_until

RATE, SOCKETS, ROUNDS = (int(os.environ.get(name, usual)) for name, usual in
                         {"RATE": "25", "SOCKETS": "10", "ROUNDS": "1"}.items())  # fmt: skip
CUSTOMERS = SOCKETS
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


@pytest.fixture(scope="module")
def place(settings: dict[str, str], worker_number: int, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stand]:
    logs: Path = tmp_path_factory.mktemp("rolling")
    with stand(settings, f"namaskah_rolling_{worker_number}", logs) as made:
        made.installation.environment |= {"DRAIN_SECONDS": "3", "PROXY_HOPS": "1"}
        yield made


def bought(people: list[Customer]) -> int:
    return sum(len(customer.bought) for customer in people)


def has_nginx() -> bool:
    try:
        return bool(find_proxy("nginx"))
    except StartError:
        return False


def test_a_rolling_restart_under_load_is_noticed_by_nobody(place: Stand, tmp_path: Path) -> None:
    ports = [free_port(), free_port()]
    worker = place.installation.start_worker()
    with ThreadPoolExecutor(2) as both:
        webs = list(both.map(place.installation.start_web, ports))
    stocked = select(Offer.service_code, Offer.country_code).where(Offer.stock > 50).order_by(Offer.stock.desc())
    goods = [(service, country) for service, country in db.session.execute(stocked.limit(20))]
    browsers = [Browser(place, make_user(f"rolling{n}@example.com", money=50_000_000)) for n in range(CUSTOMERS)]
    balancer = Balancer(ports)
    with ExitStack() as stack:
        stack.callback(balancer.stop)
        door = balancer.port
        if has_nginx():
            proxy = stack.enter_context(nginx(tmp_path / "nginx", place.installation.port, ports))
            door = lambda _turn: proxy.port  # noqa: E731
        people = [Customer(n, browser, door, goods, CUSTOMERS / RATE) for n, browser in enumerate(browsers)]
        pages = [Page(browsers[n % CUSTOMERS], door, BACK_WITHIN) for n in range(SOCKETS)]
        for thread in (*pages, *people):
            thread.start()
        began = time.monotonic()
        wait_until(lambda: bought(people) >= 5, 20, "the first purchases")
        # Signals that come while it is still loading end a worker at once, which would prove nothing.
        wait_until(lambda: heartbeats.workers() or db.session.rollback(), 15, "the worker")
        db.session.rollback()
        for _round in range(ROUNDS):
            worker.terminate()
            after = place.installation.start_worker()
            for number, port in enumerate(ports):
                webs[number].terminate()
                wait_until(lambda port=port: port not in balancer.ready, 10, "the balancer's notice")
                assert webs[number].wait(40) == 0
                webs[number] = place.installation.start_web(port)
                wait_until(lambda port=port: port in balancer.ready, 10, "the new server")
            assert worker.wait(20) == 0
            worker = after
        before = bought(people)
        wait_until(lambda: bought(people) >= before + 5, 40, "purchases afterwards")
        for thread in (*people, *pages):
            thread.ended.set()
        seconds = time.monotonic() - began
        for thread in (*people, *pages):
            thread.join(10)
    _nobody_noticed(people, pages, seconds)
    assert any("draining" in why for why in balancer.whys), set(balancer.whys)
    _every_purchase_is_there(place, people)


def _nobody_noticed(people: list[Customer], pages: list[Page], seconds: float) -> None:
    statuses = [status for customer in people for status in customer.statuses]
    took = sorted(each for customer in people for each in customer.took)
    away = sorted(each for page in pages for each in page.away)
    closed = [code for page in pages for code in page.codes]
    print(
        f"\n{len(statuses)} requests in {seconds:.0f} s ({len(statuses) / seconds:.0f}/s), of them"
        f" {bought(people)} purchases; p50 {1000 * took[len(took) // 2]:.0f} ms,"
        f" p99 {1000 * took[len(took) * 99 // 100]:.0f} ms, longest {1000 * took[-1]:.0f} ms;"
        f" {len(pages)} sockets closed {len(closed)} times, back after p50 {away[len(away) // 2]:.2f} s,"
        f" longest {away[-1]:.2f} s; {closed.count((1006, ''))} were cut off"
    )
    assert [fault for customer in people for fault in customer.faults] == []
    assert [status for status in statuses if status >= 500] == []
    # A page that was just being drawn on a busy machine may be cut off, and connects again as well.
    told = (1012, "restarting: connect again")
    assert set(closed) <= {told, (1006, "")} and closed.count(told) >= len(closed) // 2
    assert len(away) >= ROUNDS * len(pages) and away[-1] < BACK_WITHIN
    assert [page for page in pages if page.lost] == []
    assert len(closed) <= 2 * ROUNDS * len(pages)  # a server that leaves takes no page that another has sent away


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
