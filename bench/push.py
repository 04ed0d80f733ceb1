"""How long a change takes from whoever causes it to an open page, beside a bare Redis-to-socket relay.

    python -m bench.push [--trigger publish] [--sockets 1 1000] [--pushes 300]

Both are served by the same processes, the same sockets' number open. The push reads the viewer and the wallet from
PostgreSQL and renders a template; the relay does nothing. Their difference is what the product adds. Under a minute:
a slow machine gets fewer sockets and pushes than asked for, and the table says how many.
"""

import argparse
import random
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, closing, suppress

from websocket import WebSocket, WebSocketTimeoutException, create_connection

from bench.stand import Stand, people, percentile, stand, web
from namaskah import live
from namaskah.extensions import redis

SECONDS_BETWEEN = 0.005
SECONDS_TO_OPEN = 12.0
SECONDS_TO_MEASURE = 5.0
ECHO = "echo:"  # the channel of bench/echo_app.py, which is an application: importing it would start one

# Makes something change for a user; the clock starts when it is called.
Trigger = Callable[[int], object]


def publish(_stand: Stand) -> Trigger:
    """The shortest way: the name of the change goes to Redis, as a verb does after its commit."""
    return lambda user_id: live.publish(user_id, "wallet")


TRIGGERS: dict[str, Callable[[Stand], Trigger]] = {"publish": publish}


def main() -> None:
    asked = _arguments()
    print(f"{'sockets':>8} {'what':>10} {'pushes':>8} {'p50 ms':>8} {'p99 ms':>8} {'max ms':>8}")
    with stand() as ground, web(ground, "bench.echo_app:app") as port:
        trigger = TRIGGERS[asked.trigger](ground)
        customers = people(ground, max(asked.sockets))
        for count in asked.sockets:
            relayed = _measure("relay", _echoes(port, count), _say, asked.pushes)
            pushed = _measure(asked.trigger, _pages(port, customers[:count]), trigger, asked.pushes)
            ratios = [percentile(pushed, percent) / percentile(relayed, percent) for percent in (50, 99)]
            print(f"{'':>8} {'ratio':>10} {'':>8} {ratios[0]:>8.1f} {ratios[1]:>8.1f}")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Time from a change to the open page.")
    parser.add_argument("--trigger", choices=TRIGGERS, default="publish")
    parser.add_argument("--sockets", type=int, nargs="+", default=[1, 1000])
    parser.add_argument("--pushes", type=int, default=300)
    return parser.parse_args()


def _say(number: int) -> object:
    return redis.client.publish(f"{ECHO}{number}", "x" * 200)


def _echoes(port: int, count: int) -> Iterator[tuple[int, WebSocket]]:
    for number in range(count):
        yield number, create_connection(f"ws://127.0.0.1:{port}/bench/echo/{number}", timeout=10)


def _pages(port: int, customers: list[tuple[int, str]]) -> Iterator[tuple[int, WebSocket]]:
    address, origin = f"ws://127.0.0.1:{port}/live", f"http://127.0.0.1:{port}"
    for user_id, cookie in customers:
        yield user_id, create_connection(address, cookie=cookie, origin=origin, timeout=10)


def _measure(what: str, opening: Iterable[tuple[int, WebSocket]], trigger: Trigger, pushes: int) -> list[float]:
    """Milliseconds from the trigger to the frame, one after the other, each for a socket drawn at random."""
    until = time.monotonic() + SECONDS_TO_OPEN
    with ExitStack() as closings:
        sockets = []
        for number, ws in opening:
            sockets.append((number, closings.enter_context(closing(ws))))
            if time.monotonic() > until:
                break
        time.sleep(1)
        for _, ws in sockets:
            _drain(ws)
        for _ in range(20):  # templates and connections warm up
            _once(*random.choice(sockets), trigger)
        until = time.monotonic() + SECONDS_TO_MEASURE
        times = [_once(*random.choice(sockets), trigger) for _ in range(pushes) if time.monotonic() < until]
    _row(len(sockets), what, times)
    return times


def _drain(ws: WebSocket) -> None:
    """Read what came with the connection."""
    ws.settimeout(0.001)
    with suppress(WebSocketTimeoutException):
        while ws.recv():
            pass
    ws.settimeout(10)


def _once(number: int, ws: WebSocket, trigger: Trigger) -> float:
    time.sleep(SECONDS_BETWEEN)
    started = time.perf_counter()
    trigger(number)
    ws.recv()
    return 1000 * (time.perf_counter() - started)


def _row(sockets: int, what: str, times: list[float]) -> None:
    p50, p99 = percentile(times, 50), percentile(times, 99)
    print(f"{sockets:>8} {what:>10} {len(times):>8} {p50:>8.2f} {p99:>8.2f} {max(times):>8.2f}", flush=True)


if __name__ == "__main__":
    main()
