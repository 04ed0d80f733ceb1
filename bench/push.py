"""How long a change takes from whoever causes it to an open page, beside a bare Redis-to-socket relay.

    python -m bench.push [--trigger publish poll webhook] [--sockets 1 1000] [--pushes 300]

Both are served by the same processes, the same sockets' number open. The push reads the viewer and the wallet from
PostgreSQL and renders a template; the relay does nothing. Their difference is what the product adds. Two minutes:
a slow machine gets fewer sockets and pushes than asked for, and the table says how many.
"""

import argparse
import http.client
import json
import random
import secrets
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from datetime import UTC, datetime, timedelta

from sqlalchemy import update
from websocket import WebSocket, WebSocketTimeoutException, create_connection

from bench.stand import Stand, people, percentile, stand, web
from namaskah import config, create_app, live
from namaskah.db import db, transaction
from namaskah.extensions import redis
from namaskah.numbers import activations, pricelists
from namaskah.numbers.models import Activation
from namaskah.providers.base import Sms
from namaskah.wallet import ledger

PROVIDER = "herosms"
SECONDS_BETWEEN = 0.005
SECONDS_TO_OPEN = 12.0
SECONDS_TO_MEASURE = 5.0
ECHO = "echo:"  # the channel of bench/echo_app.py, which is an application: importing it would start one

# Prepares something that will change for a user, and gives what makes it change: there the clock starts.
Trigger = Callable[[int], Callable[[], object]]


def publish(_stand: Stand, _port: int) -> Trigger:
    """The shortest way: the name of the change goes to Redis, as a verb does after its commit."""
    return lambda user_id: lambda: live.publish(user_id, "wallet")


def poll(ground: Stand, _port: int) -> Trigger:
    """What a poll does with an order that has its SMS: message, capture and their commit, then the push."""
    _stock(ground)

    def prepare(user_id: int) -> Callable[[], object]:
        activation = _waiting(user_id)
        return lambda: activations.receive(activation.id, [Sms(text="Your code is 482-913")])

    return prepare


def webhook(ground: Stand, port: int) -> Trigger:
    """A provider's own push: its request to the web server, and all of the above."""
    _stock(ground)
    address = f"/webhooks/providers/{PROVIDER}?token={ground.environment['PROVIDER_WEBHOOK_TOKEN']}"
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)

    def prepare(user_id: int) -> Callable[[], object]:
        reference = _waiting(user_id).provider_ref
        body = json.dumps({"activationId": reference, "text": "Your code is 482-913", "code": "482913"})

        def fire() -> None:
            connection.request("POST", address, body, {"Content-Type": "application/json"})
            answer = connection.getresponse()
            answer.read()
            assert answer.status == 200, answer.status

        return fire

    return prepare


TRIGGERS: dict[str, Callable[[Stand, int], Trigger]] = {"publish": publish, "poll": poll, "webhook": webhook}


def _stock(ground: Stand) -> None:
    """Services, countries and a provider to have bought from."""
    with ground.app.app_context():
        pricelists.load()


def _waiting(user_id: int) -> Activation:
    """A number the user waits for; the one before is done with."""
    moment = datetime.now(UTC) + timedelta(minutes=15)
    activation = Activation(
        user_id=user_id,
        key=secrets.token_hex(16),
        service_code="whatsapp",
        country_code="NG",
        operator="any",
        price_minor=100,
        currency="NGN",
        provider_name=PROVIDER,
        provider_ref=secrets.token_hex(8),
        phone="+2348035550142",
        state="waiting",
        due_at=moment,
        expires_at=moment,
    )
    with transaction():
        db.session.execute(
            update(Activation)
            .where(Activation.user_id == user_id, Activation.state == "received")
            .values(state="finished", ended_at=datetime.now(UTC))
        )
        db.session.add(activation)
        db.session.flush()
        ledger.adjust(user_id, f"bench:{activation.key}", 100, "bench", "money to measure with")
        ledger.hold(user_id, activation.reference, 100)
    return activation


def main() -> None:
    asked = _arguments()
    print(f"{'sockets':>8} {'what':>10} {'pushes':>8} {'p50 ms':>8} {'p99 ms':>8} {'max ms':>8}")
    with _ground() as ground, web(ground, "bench.echo_app:app") as port, ground.app.app_context():
        customers = people(ground, max(asked.sockets))
        for count in asked.sockets:
            relayed = _measure("relay", _echoes(port, count), _say, asked.pushes)
            for name in asked.trigger:
                pushed = _measure(name, pages(port, customers[:count]), TRIGGERS[name](ground, port), asked.pushes)
                ratios = [percentile(pushed, percent) / percentile(relayed, percent) for percent in (50, 99)]
                print(f"{'':>8} {'ratio':>10} {'':>8} {ratios[0]:>8.1f} {ratios[1]:>8.1f}")


@contextmanager
def _ground() -> Iterator[Stand]:
    """The stand, with a provider that nobody asks anything: its messages are handed in."""
    with stand() as ground:
        environment = ground.environment | {
            "SMS_ACTIVATE_PROVIDERS": f"{PROVIDER}=http://127.0.0.1:9/",
            "SMS_ACTIVATE_KEYS": f"{PROVIDER}=none",
            "PROVIDER_WEBHOOK_TOKEN": secrets.token_hex(16),
        }
        yield Stand(create_app(config.load(environment)), environment, ground.logs)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Time from a change to the open page.")
    parser.add_argument("--trigger", choices=TRIGGERS, nargs="+", default=list(TRIGGERS))
    parser.add_argument("--sockets", type=int, nargs="+", default=[1, 1000])
    parser.add_argument("--pushes", type=int, default=300)
    return parser.parse_args()


def _say(number: int) -> Callable[[], object]:
    return lambda: redis.client.publish(f"{ECHO}{number}", "x" * 200)


def _echoes(port: int, count: int) -> Iterator[tuple[int, WebSocket]]:
    for number in range(count):
        yield number, create_connection(f"ws://127.0.0.1:{port}/bench/echo/{number}", timeout=10)


def pages(port: int, customers: list[tuple[int, str]]) -> Iterator[tuple[int, WebSocket]]:
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
    fire = trigger(number)
    time.sleep(SECONDS_BETWEEN)
    started = time.perf_counter()
    fire()
    ws.recv()
    return 1000 * (time.perf_counter() - started)


def _row(sockets: int, what: str, times: list[float]) -> None:
    p50, p99 = percentile(times, 50), percentile(times, 99)
    print(f"{sockets:>8} {what:>10} {len(times):>8} {p50:>8.2f} {p99:>8.2f} {max(times):>8.2f}", flush=True)


if __name__ == "__main__":
    main()
