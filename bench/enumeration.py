"""Whether the time of an answer tells that an address has an account: log-in, forgotten password, register, resend.

    python -m bench.enumeration [--pairs 200]

Each request is a visitor's of their own, with a fresh session and network address (X-Forwarded-For through one proxy
that is believed), about an address asked for once, so that no limit is met. Known and unknown take turns. Only the
form's way there and back is timed. Two or three minutes.
"""

import argparse
import math
import re
import statistics
import time
from collections.abc import Callable
from datetime import UTC, datetime
from http.client import HTTPConnection
from itertools import count
from urllib.parse import urlencode

from bench.stand import Stand, stand, web
from namaskah.auth import passwords
from namaskah.auth.models import User
from namaskah.db import db, transaction

PASSWORD = "purple tuba river"  # pragma: allowlist secret
WARM_UP = 10  # pairs that do not count: each process makes its dummy hash and fills its caches
WANTED_PERCENT, WANTED_MS = 5, 10
Answer = tuple[float, int, int]

_networks = count(1)


class Visitor:
    """A browser that comes once, from a network address nobody else has."""

    def __init__(self, port: int, cookie: str = "") -> None:
        number = next(_networks)
        self._line = HTTPConnection("127.0.0.1", port, timeout=60)
        self._headers = {"X-Forwarded-For": f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"}
        self._cookie = cookie

    def submit(self, page: str, path: str, **fields: str) -> Answer:
        """Open `page`, send its form to `path`: milliseconds, status, length of the answer."""
        found = re.search(rb'name="csrf_token"[^>]* value="([^"]+)"', self._ask("GET", page, "")[2])
        assert found, page
        body = urlencode({"csrf_token": found[1].decode()} | fields)
        started = time.perf_counter()
        taken, status, content = self._ask("POST", path, body)
        self._line.close()
        return 1000 * (taken - started), status, len(content)

    def _ask(self, method: str, path: str, body: str) -> tuple[float, int, bytes]:
        headers = self._headers | {"Cookie": self._cookie, "Content-Type": "application/x-www-form-urlencoded"}
        self._line.request(method, path, body, headers)
        answer = self._line.getresponse()
        content = answer.read()
        taken = time.perf_counter()
        if cookie := answer.getheader("Set-Cookie"):
            self._cookie = cookie.partition(";")[0]
        return taken, answer.status, content


def main() -> None:
    parser = argparse.ArgumentParser(description="Does the time of an answer tell that an address has an account?")
    parser.add_argument("--pairs", type=int, default=200)
    pairs = parser.parse_args().pairs
    with stand() as ground:
        ground.environment["PROXY_HOPS"] = "1"
        open_accounts(ground, [known(number) for number in range(pairs + WARM_UP)])
        print(f"{'':>10} {'known ms':>9} {'unknown ms':>11} {'apart ms':>9} {'apart %':>8} {'chance':>7}  answers")
        with web(ground) as port:
            for what, ask in questions(ground, port).items():
                report(what, measure(ask, pairs))


def known(number: int) -> str:
    return f"known-{number:04}@example.test"


def unknown(number: int) -> str:
    return f"fresh-{number:04}@example.test"


def open_accounts(ground: Stand, addresses: list[str]) -> None:
    """Confirmed accounts; one hash for all is enough, each is compared with once."""
    now = datetime.now(UTC)
    with ground.app.app_context():
        stored = passwords.hashed(PASSWORD)
        about = {
            "password_hash": stored,
            "policy_version": "bench",
            "policy_accepted_at": now,
            "email_verified_at": now,
        }
        with transaction():
            db.session.add_all(User(email=address, **about) for address in addresses)


def questions(ground: Stand, port: int) -> dict[str, Callable[[str], Answer]]:
    """What is asked about an address. Register opens the unknown ones' accounts, so they are new at resend."""
    serializer = ground.app.session_interface.get_signing_serializer(ground.app)  # type: ignore[attr-defined]

    def resend(email: str) -> Answer:
        cookie = f"{ground.app.config['SESSION_COOKIE_NAME']}={serializer.dumps({'registered_email': email})}"
        return Visitor(port, cookie).submit("/verify-email", "/verify-email/resend")

    return {
        "log-in": lambda email: Visitor(port).submit("/login", "/login", email=email, password="wrong horse river"),
        "forgotten": lambda email: Visitor(port).submit("/forgot-password", "/forgot-password", email=email),
        "register": lambda email: Visitor(port).submit(
            "/register", "/register", email=email, password=PASSWORD, accept="y"
        ),
        "resend": resend,
    }


def measure(ask: Callable[[str], Answer], pairs: int) -> tuple[list[Answer], list[Answer]]:
    """Answers about known and unknown addresses, each as often first as second."""
    found: tuple[list[Answer], list[Answer]] = ([], [])
    for number in range(pairs + WARM_UP):
        for side in (0, 1) if number % 2 else (1, 0):
            answer = ask((known, unknown)[side](number))
            if number >= WARM_UP:
                found[side].append(answer)
    return found


def report(what: str, found: tuple[list[Answer], list[Answer]]) -> None:
    times = [[answer[0] for answer in side] for side in found]
    medians = [statistics.median(side) for side in times]
    apart = abs(medians[0] - medians[1])
    percent = 100 * apart / max(medians)
    kinds = [{answer[1:] for answer in side} for side in found]
    same = "the same" if kinds[0] == kinds[1] and len(kinds[0]) == 1 else f"DIFFERENT: {kinds}"
    fine = "" if percent <= WANTED_PERCENT and apart <= WANTED_MS else "  TOO FAR APART"
    print(
        f"{what:>10} {medians[0]:>9.1f} {medians[1]:>11.1f} {apart:>9.2f} {percent:>8.1f} {chance(*times):>7.3f}"
        f"  {same}{fine}",
        flush=True,
    )


def chance(one: list[float], other: list[float]) -> float:
    """How likely times like these are when both come from one source (Mann and Whitney's test, two-sided)."""
    ranked = sorted([(value, 0) for value in one] + [(value, 1) for value in other])
    ranks = sum(place for place, (_value, side) in enumerate(ranked, 1) if side == 0)
    m, n = len(one), len(other)
    away = abs(ranks - m * (m + n + 1) / 2) / math.sqrt(m * n * (m + n + 1) / 12)
    return math.erfc(away / math.sqrt(2))


if __name__ == "__main__":
    main()
