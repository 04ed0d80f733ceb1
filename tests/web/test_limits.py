"""What is counted together, what is told to whoever came too often, and what holds without Redis."""

import json
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from http.cookiejar import CookieJar
from pathlib import Path

import pytest
from flask import Flask

from dev.redis import Redis, start_redis
from namaskah import limits
from namaskah.auth.models import User
from namaskah.errors import _in
from namaskah.extensions import limiter, redis
from tests.support import Installation, installation, log_in, wait_until

WRONG = "wrong horse river"


@pytest.mark.parametrize(
    ("address", "counted"),
    [
        ("203.0.113.7", "network:203.0.113.7"),
        ("2001:db8:1:2:3:4:5:6", "network:2001:db8:1:2::/64"),
        ("2001:db8:1:2::", "network:2001:db8:1:2::/64"),
        ("fe80::1%eth0", "network:fe80::/64"),
        ("::ffff:203.0.113.7", "network:203.0.113.7"),
        ("", "network:unknown"),
        ("unix:", "network:unknown"),
    ],
)
def test_a_network_is_an_address_or_the_first_half_of_one(app: Flask, address: str, counted: str) -> None:
    with app.test_request_context(environ_base={"REMOTE_ADDR": address}):
        assert limits.network() == counted


def test_an_address_is_counted_however_it_is_written_and_cannot_be_read_in_redis(app: Flask) -> None:
    def key(email: str) -> str:
        with app.test_request_context("/login", method="POST", data={"email": email}):
            return limits.email()

    assert key(" Alice@Example.com ") == key("alice@example.com") != key("alicia@example.com")
    assert "alice" not in key("alice@example.com")
    app.test_client().post("/login", data={"email": "alice@example.com", "password": WRONG})
    assert [name for name in redis.client.scan_iter() if "alice" in name] == []


def test_every_figure_is_used_or_waited_for_and_those_of_money_and_log_in_have_one_without_redis() -> None:
    reads = {name for name, figures in limits.FIGURES.items() if figures.alone is None}
    assert reads == {"search", "prices", "preferences"}


def test_every_limited_route_takes_its_figures_from_the_table(app: Flask) -> None:
    used = {one.scope for group in limiter.limit_manager._decorated_limits.values() for one in group}
    assert None not in used
    assert used <= set(limits.FIGURES)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (1, "in 1 second"),
        (59, "in 59 seconds"),
        (60, "in 1 minute"),
        (61, "in 2 minutes"),
        (120, "in 2 minutes"),
        (121, "in 3 minutes"),
        (3600, "in 1 hour"),
        (3599, "in 1 hour"),
        (3601, "in 2 hours"),
        (7201, "in 3 hours"),
        (86_400, "in 1 day"),
        (86_401, "in 2 days"),
    ],
)
def test_the_wait_in_words_is_never_less_than_it_is(app: Flask, seconds: int, words: str) -> None:
    with app.test_request_context():
        assert _in(seconds) == words


def test_customers_of_one_network_search_apart_and_visitors_together(app: Flask, alice: User, bob: User) -> None:
    def search(user: User | None) -> int:
        client = log_in(app.test_client(), user) if user else app.test_client()
        return client.get("/numbers/search?q=te").status_code

    first = log_in(app.test_client(), alice)
    assert {first.get("/numbers/search?q=te").status_code for _ in range(120)} == {200}
    answer = first.get("/numbers/search?q=te", headers={"HX-Request": "true"})
    assert answer.status_code == 429
    assert 0 < int(answer.headers["Retry-After"]) <= 60
    assert "Try again in" in answer.text and "<html" not in answer.text
    assert search(bob) == 200
    assert search(None) == 200


def test_buying_and_topping_up_are_counted_by_account(app: Flask, alice: User, bob: User) -> None:
    def post(user: User, path: str) -> list[int]:
        client = log_in(app.test_client(), user)
        return [client.post(path).status_code for _ in range(11)]

    assert post(alice, "/wallet/top-up") == [422] * 10 + [429]
    assert post(bob, "/wallet/top-up")[0] == 422
    assert post(alice, "/activations")[0] == 400, "a limit of one thing is none of another"


# ── Without Redis: real processes


class Person:
    """A browser at a real server."""

    def __init__(self, site: Installation) -> None:
        self._url = site.url
        self._opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(CookieJar()), Stay())

    def open(self, path: str, form: dict[str, str] | None = None) -> tuple[int, str, dict[str, str]]:
        data = urllib.parse.urlencode(form).encode() if form is not None else None
        try:
            with self._opener.open(f"{self._url}{path}", data, timeout=20) as answer:
                return answer.status, answer.read().decode(), dict(answer.headers)
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode(), dict(error.headers)

    def fail_to_log_in(self, email: str) -> int:
        page = self.open("/login")[1]
        token = page.split('name="csrf_token"')[1].split('value="')[1].split('"')[0]
        return self.open("/login", {"email": email, "password": WRONG, "csrf_token": token})[0]


class Stay(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_arguments: object) -> None:
        return None


@pytest.fixture
def own_redis(tmp_path: Path) -> Iterator[Redis]:
    running = start_redis(tmp_path / "redis")
    yield running
    running.stop()


@pytest.fixture
def site(app: Flask, settings: dict[str, str], own_redis: Redis, tmp_path: Path) -> Iterator[Installation]:
    with installation(settings | {"REDIS_URL": own_redis.url}, tmp_path) as made:
        made.start_web()
        yield made


def test_what_was_counted_outlives_a_restart_of_the_web_server(site: Installation) -> None:
    person = Person(site)
    assert [person.fail_to_log_in("alice@example.com") for _ in range(6)] == [422] * 5 + [429]
    site.kill(site.processes[0])
    site.start_web(site.port)
    assert Person(site).fail_to_log_in("alice@example.com") == 429


def test_without_redis_logging_in_is_counted_strictly_and_reading_stays_open(
    site: Installation, own_redis: Redis, tmp_path: Path
) -> None:
    own_redis.stop()
    person = Person(site)
    answers = [person.fail_to_log_in("alice@example.com") for _ in range(5)]
    assert answers == [422] * 3 + [429] * 2, "three instead of five"
    assert {person.open("/numbers/search?q=te")[0] for _ in range(130)} == {200}
    assert json.loads(person.open("/health/live")[1]) == {"status": "ok"}
    again = start_redis(tmp_path / "redis")
    try:
        # The process looks for it after 1, 2, 4 … seconds, with the requests that come.
        wait_until(lambda: _is_counted(person, again), 40, "counting with Redis again")
    finally:
        again.stop()


def _is_counted(person: Person, running: Redis) -> bool:
    person.open("/numbers/search?q=te")
    client = redis.client.from_url(running.url)
    try:
        return bool(client.keys("LIMITS:*"))
    finally:
        client.close()
