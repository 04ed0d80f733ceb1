"""Requests a second and the slowest hundredth of the pages customers have open, beside a bare view with one query.

    python -m bench.pages [--seconds 5] [--connections 16]

All are served by the same two gunicorn processes over connections that are kept, each for a customer of its own who is
logged in. What the pages take over the bare view is session, user, queries and template. Under a minute.
"""

import argparse
import socket
import threading
import time
from uuid import uuid4

from bench.shop import customers, goods, shop
from bench.stand import Stand, percentile, web
from namaskah.auth.models import User
from namaskah.db import db
from namaskah.numbers import activations


def main() -> None:
    asked = _arguments()
    with shop() as ground:
        people = customers(ground, asked.connections)
        service, country = goods(ground.app, 1)[0]
        bought = _buy_for_each(ground, [user_id for user_id, _cookie in people], service, country)
        paths = {
            "bare view, one query": ["/bench/bare"] * len(people),
            "buy page": [f"/numbers?service={service}"] * len(people),
            "live page": [f"/activations/{activation}" for activation in bought],
            "live box, polled": [f"/activations/{activation}/live" for activation in bought],
            "wallet": ["/wallet"] * len(people),
        }
        print(f"{'':>22} {'requests':>9} {'req/s':>8} {'p50 ms':>8} {'p99 ms':>8} {'bare/it':>8} {'p99/bare':>9}")
        with web(ground, "bench.pages_app:app") as port:
            cookies = [cookie for _user_id, cookie in people]
            figures = [(what, _measure(port, targets, cookies, asked.seconds)) for what, targets in paths.items()]
    bare = figures[0][1]
    for what, times in figures:
        speed, slow = len(bare) / len(times), percentile(times, 99) / percentile(bare, 99)
        print(
            f"{what:>22} {len(times):>9} {len(times) / asked.seconds:>8.0f} {percentile(times, 50):>8.1f}"
            f" {percentile(times, 99):>8.1f} {speed:>8.1f} {slow:>9.1f}"
        )


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Requests a second of the pages.")
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--connections", type=int, default=16)
    return parser.parse_args()


def _buy_for_each(ground: Stand, user_ids: list[int], service: str, country: str) -> list[int]:
    found = []
    for user_id in user_ids:
        with ground.app.app_context():
            user = db.session.get_one(User, user_id)
            found.append(activations.buy(user, service, country, "any", 10**9, key=uuid4().hex).id)
    return found


def _measure(port: int, paths: list[str], cookies: list[str], seconds: float) -> list[float]:
    """Milliseconds of every request, each connection asking one after the other."""
    times: list[float] = []
    errors: list[BaseException] = []
    started = time.perf_counter()
    warm, until = started + 1, started + 1 + seconds

    def ask(path: str, cookie: str) -> None:
        try:
            with Line(port, path, cookie) as line:
                while (now := time.perf_counter()) < until:
                    line.ask()
                    if now > warm:
                        times.append(1000 * (time.perf_counter() - now))
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=ask, args=pair) for pair in zip(paths, cookies, strict=True)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]
    return times


class Line:
    """One kept connection that asks for the same page again and again, with as little work of its own as can be."""

    def __init__(self, port: int, path: str, cookie: str) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=20)
        self._request = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nCookie: {cookie}\r\n\r\n".encode()
        self._what = path

    def __enter__(self) -> "Line":
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def ask(self) -> None:
        """Raises RuntimeError for anything but 200 with a known length."""
        self._socket.sendall(self._request)
        received = b""
        while b"\r\n\r\n" not in received:
            received += self._more()
        head, _, body = received.partition(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 200"):
            raise RuntimeError(f"{self._what}: {head[:60]!r}")
        lengths = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
        left = int(lengths[0].partition(b":")[2]) - len(body)
        while left > 0:
            left -= len(self._more())

    def _more(self) -> bytes:
        found = self._socket.recv(262_144)
        if not found:
            raise RuntimeError(f"{self._what}: the connection was closed")
        return found


if __name__ == "__main__":
    main()
