"""How much log-ins slow everything else down: `/health/live` alone, and while people log in without a pause.

    python -m bench.login [--seconds 20] [--parallel 8]

Hashing a password is meant to be slow; it must not make the pages slow. Each log-in is a whole one: its page, its form,
the right password, from an address of its own, as behind a proxy. Under a minute.
"""

import argparse
import http.client
import re
import secrets
import sys
import threading
import time
from contextlib import suppress
from urllib.parse import urlencode

from sqlalchemy import update

from bench.pages import Line
from bench.stand import Stand, people, percentile, stand, web
from namaskah.auth import passwords
from namaskah.auth.models import User
from namaskah.db import db, transaction

WANTED = 3.0
SWITCH = 0.0005  # seconds: those who log in are threads of the one who measures, and must not hold it up
PAUSE = 0.005  # seconds between two questions: whoever asks without one measures a queue of its own making


def main() -> None:
    asked = _arguments()
    sys.setswitchinterval(SWITCH)
    with stand() as ground:
        ground.environment["PROXY_HOPS"] = "1"
        password = secrets.token_urlsafe(12)
        emails = _accounts(ground, asked.parallel, password)
        with web(ground) as port:
            _ask(port, 1)
            idle = _ask(port, asked.seconds)
            stop, done = threading.Event(), [0] * asked.parallel
            threads = [
                threading.Thread(target=_keep_logging_in, args=(port, email, password, stop, done, number))
                for number, email in enumerate(emails)
            ]
            for thread in threads:
                thread.start()
            time.sleep(1)
            before = sum(done)
            busy = _ask(port, asked.seconds)
            count = sum(done) - before
            stop.set()
            for thread in threads:
                thread.join()
    _tell(idle, busy, count / asked.seconds, asked.parallel)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="What log-ins cost everybody else.")
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--parallel", type=int, default=8)
    return parser.parse_args()


def _accounts(ground: Stand, count: int, password: str) -> list[str]:
    made = [user_id for user_id, _cookie in people(ground, count)]
    with ground.app.app_context():
        hashed = passwords.hashed(password)
        with transaction():
            db.session.execute(update(User).where(User.id.in_(made)).values(password_hash=hashed))
        return [db.session.get_one(User, user_id).email for user_id in made]


def _ask(port: int, seconds: float) -> list[float]:
    """Milliseconds of each answer of `/health/live`, over a kept connection."""
    times = []
    until = time.perf_counter() + seconds
    with Line(port, "/health/live", "none=1") as line:
        while (started := time.perf_counter()) < until:
            line.ask()
            times.append(1000 * (time.perf_counter() - started))
            time.sleep(PAUSE)
    return times


def _keep_logging_in(port: int, email: str, password: str, stop: threading.Event, done: list[int], number: int) -> None:
    while not stop.is_set():
        with suppress(OSError, http.client.HTTPException):
            done[number] += _log_in(port, email, password)


def _log_in(port: int, email: str, password: str) -> bool:
    """Raises RuntimeError when it is refused."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    network = {"X-Forwarded-For": ".".join(str(secrets.randbelow(250) + 1) for _ in range(4))}
    connection.request("GET", "/login", headers=network)
    page = connection.getresponse()
    token = re.search(rb'name="csrf_token"[^>]* value="([^"]+)"', page.read())
    assert token
    form = urlencode({"email": email, "password": password, "csrf_token": token[1].decode()})
    cookie = (page.getheader("Set-Cookie") or "").partition(";")[0]
    kind = {"Content-Type": "application/x-www-form-urlencoded", "Cookie": cookie}
    connection.request("POST", "/login", form, network | kind)
    answer = connection.getresponse()
    answer.read()
    connection.close()
    if answer.status != 303:
        raise RuntimeError(f"a log-in was answered with {answer.status}")
    return True


def _tell(idle: list[float], busy: list[float], speed: float, parallel: int) -> None:
    print(f"{'/health/live':>24} {'requests':>9} {'p50 ms':>8} {'p99 ms':>8}")
    for what, times in (("alone", idle), (f"{parallel} log-ins at once", busy)):
        print(f"{what:>24} {len(times):>9} {percentile(times, 50):>8.2f} {percentile(times, 99):>8.2f}")
    ratio = percentile(busy, 99) / percentile(idle, 99)
    print(f"p99 beside log-ins / alone: {ratio:.1f} (wanted: at most {WANTED:.0f}); {speed:.1f} log-ins a second")


if __name__ == "__main__":
    main()
