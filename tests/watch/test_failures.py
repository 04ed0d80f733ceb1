"""What one sees when something goes away, in real processes: customers on their pages, monitors in health and metrics,
the operator on theirs; then it comes back, and the money is right. docs/operations.md has it as a table."""

import os
import re
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode
from uuid import uuid4

import pyrage
import pytest
import urllib3
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import bindparam, text

from dev.binaries import find_postgres
from namaskah.auth import passwords
from namaskah.auth.models import User
from namaskah.db import db, transaction
from namaskah.wallet import ledger
from namaskah.watch import measuring
from tests import support
from tests.chaos.own_servers import OwnServers, own_servers
from tests.chaos.stand import Browser, Stand, stand
from tests.support import wait_until

TOKEN = "a-token-of-this-test-alone"
PASSWORD = "a long walk along the shore"  # pragma: allowlist secret
MONEY = 1_000_000
ROOM = 64 * 1024  # bytes a file may have while the disk is full
SAFE = "Your money is safe"

Answer = urllib3.BaseHTTPResponse


@dataclass
class Scene:
    """The installation, who uses it, and what everybody is told."""

    made: Stand
    servers: OwnServers
    customer: Browser
    operator: Browser
    backups: Path
    worker: Any

    def page(self, path: str, *, who: Browser | None = None) -> str:
        """A page that opens as usual."""
        answer = (who or self.customer).get(path)
        assert answer.status == 200, (path, answer.status)
        return answer.data.decode()

    def told(self, path: str) -> tuple[int, Any]:
        answer = self.ask(path)
        return answer.status, answer.json()

    def ask(self, path: str, **options: Any) -> Answer:
        """As a stranger."""
        url = self.made.installation.url + path
        return urllib3.request(options.pop("method", "GET"), url, retries=False, redirect=False, timeout=40, **options)

    def metric(self, name: str, **labels: str) -> float | None:
        answer = self.ask("/metrics", headers={"Authorization": f"Bearer {TOKEN}"})
        assert answer.status == 200
        for family in text_string_to_metric_families(answer.data.decode()):
            for sample in family.samples:
                if sample.name == name and labels.items() <= sample.labels.items():
                    return float(sample.value)
        return None

    def admin(self) -> str:
        return self.page("/admin/", who=self.operator)

    def buy(self) -> Answer:
        form = {"service": "whatsapp", "country": "NG", "operator": "", "max_price_minor": 10**9, "key": uuid4().hex}
        return self.customer.post("/activations", **form)

    def bought(self) -> str:
        """The page of a number that was bought now."""
        answer = self.buy()
        assert answer.status == 303, answer.status
        return answer.headers["Location"]

    def order(self, path: str) -> tuple[str, str]:
        """Whose it is, and what they call it."""
        query = text("SELECT provider_name, provider_ref FROM activations WHERE id = :id")
        row = db.session.execute(query, {"id": int(path.rpartition("/")[2])}).one()
        db.session.rollback()
        return row.provider_name, row.provider_ref

    def send_code(self, path: str, code: str) -> None:
        self.made.control.sms(*self.order(path), f"Your code is {code}")

    def shows_code(self, path: str, code: str, within: float = 15) -> float:
        """Seconds until the page of the number shows it."""
        started = time.monotonic()
        halves = f"{code[:3]} {code[3:]}"
        wait_until(lambda: halves in self.page(path), within, "the code on its page")
        return time.monotonic() - started

    def logs_in(self, email: str) -> Answer:
        """With a password, as a browser that was never here."""
        page = self.ask("/login")
        found = re.search(r'name="csrf_token"[^>]*value="([^"]+)"', page.data.decode())
        assert page.status == 200 and found
        cookies = "; ".join(each.partition(";")[0] for each in page.headers.getlist("Set-Cookie"))
        headers = {"Cookie": cookies, "Origin": self.made.installation.url}
        form = {"csrf_token": found[1], "email": email, "password": PASSWORD}
        headers["Content-Type"] = "application/x-www-form-urlencoded"
        return self.ask("/login", method="POST", body=urlencode(form), headers=headers)

    def degraded(self) -> set[str]:
        """What /health names, without the backup, which has its own test."""
        return set(self.told("/health")[1]["degraded"]) - {"backup"}

    def well(self) -> bool:
        return self.told("/health")[0] == 200 and not self.degraded()

    def measure(self) -> None:
        """The worker's look at the service, now instead of within the minute; unless it is looking at this moment."""

        def is_mine() -> int:
            with transaction():
                db.session.execute(text("DELETE FROM measurements WHERE minute = date_trunc('minute', now())"))
            return measuring.measure_due()

        wait_until(is_mine, 20, "a minute that nobody else measures")

    def status_says(self, sentence: str) -> None:
        """Each web process shows for ten seconds what it read last."""
        wait_until(lambda: sentence in self.ask("/status").data.decode(), 15, sentence)

    def money(self) -> tuple[int, int]:
        """What the customer can spend, and what is held."""
        db.session.rollback()
        found = ledger.balance(self.customer.user_id)
        db.session.rollback()
        return found.available_minor, found.held_minor


@contextmanager
def installed(settings: dict[str, str], folder: Path, logs: Path, name: str) -> Iterator[Scene]:
    backups = folder / "backups"
    backups.mkdir()
    with own_servers(folder) as servers, stand(servers.settings(settings), name, logs) as made:
        key = pyrage.x25519.Identity.generate().to_public()
        url = made.installation.url
        made.installation.environment |= {
            "METRICS_TOKEN": TOKEN, "STATUS_URL": f"{url}/", "BACKUP_STORE": str(backups),
            "BACKUP_RECIPIENTS": f"{key},{pyrage.x25519.Identity.generate().to_public()}",
            "BACKUP_PROGRAMS": str(find_postgres()),
        }  # fmt: skip
        made.app.config["STATUS_URL"] = f"{url}/"
        customer = support.make_user("customer@example.com", money=MONEY)
        with transaction():
            db.session.get_one(User, customer.id).password_hash = passwords.hashed(PASSWORD)
        operator = support.make_user("operator@example.com", role="admin")
        made.installation.start_web(made.installation.port)
        scene = Scene(made, servers, Browser(made, customer), Browser(made, operator), backups, None)
        scene.worker = made.installation.start_worker()
        # From its first moment on, nothing larger fits on its disk: the backup of the day is due as it starts.
        resource.prlimit(scene.worker.pid, resource.RLIMIT_FSIZE, (ROOM, resource.RLIM_INFINITY))
        wait_until(lambda: scene.told("/health")[1]["worker"] == "ok", 60, "the worker's first heartbeat")
        yield scene


@pytest.fixture(scope="module")
def scene(settings: dict[str, str], worker_number: int, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    with tempfile.TemporaryDirectory(prefix="namaskah-failures-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        logs = tmp_path_factory.mktemp("failures")
        with installed(settings, folder, logs, f"namaskah_failures_{worker_number}") as made:
            yield made


@pytest.fixture(autouse=True)
def nothing_crashed(scene: Scene) -> Iterator[None]:
    """After each failure: no error that nobody expected, neither in web nor in worker, and the books agree."""
    yield
    assert scene.metric("namaskah_unhandled_errors_total") in (None, 0)
    assert support.broken_invariants() == []
    assert scene.worker.poll() is None


def test_a_full_disk_for_backups(scene: Scene) -> None:
    """It is told at once and everywhere but to customers, who notice nothing; with room, the next one succeeds."""
    failing = wait_until(
        lambda: (told := scene.told("/health"))[1]["degraded"] == ["backup"] and told, 40, "health to see it"
    )
    assert (failing[0], failing[1]["status"]) == (200, "degraded")
    assert scene.told("/health/ready") == (200, {"status": "ok", "degraded": []})
    assert f"{scene.backups} is full: make room" in scene.admin()
    assert scene.metric("namaskah_last_success_age_seconds", of="backup") == float("inf")
    mails = wait_until(lambda: scene.made.control.mails("operator@example.com"), 20, "the letter to the operator")
    assert any("is full: make room" in str(mail) for mail in mails)
    assert [file for file in scene.backups.rglob("*") if file.is_file()] == [], "nothing half is left"

    path = scene.bought()
    scene.send_code(path, "482913")
    scene.shows_code(path, "482913")
    assert scene.page("/numbers?service=whatsapp") and scene.page("/wallet") and scene.page("/status")

    resource.prlimit(scene.worker.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    command = [sys.executable, "-m", "flask", "--app", "wsgi", "backup", "create"]
    environment = os.environ | scene.made.installation.environment
    subprocess.run(command, cwd=support.ROOT, env=environment, check=True, capture_output=True)
    wait_until(lambda: scene.told("/health")[1]["status"] == "ok", 10, "all to be well")
    assert "is full" not in scene.admin()
    assert (scene.metric("namaskah_last_success_age_seconds", of="backup") or 1e9) < 80


def test_redis_stopped(scene: Scene) -> None:
    """Nobody loses more than a push: all pages open, a log-in and a purchase work, and the code is on its page."""
    before = sum(scene.money())
    scene.servers.kill_redis()
    try:
        assert scene.told("/health/live")[0] == 200
        path = scene.bought()
        assert scene.logs_in("customer@example.com").status == 303
        scene.send_code(path, "739120")
        scene.shows_code(path, "739120")
        for page in ("/", "/numbers?service=whatsapp", "/wallet", "/activations", "/account"):
            scene.page(page)
        status, found = wait_until(lambda: (told := scene.told("/health"))[1]["redis"] == "down" and told, 10)
        assert (status, found["status"], found["database"]) == (200, "degraded", "ok")
        assert scene.degraded() == {"redis"}
        assert scene.told("/health/ready") == (200, {"status": "degraded", "degraded": ["redis"]})
        assert (scene.metric("namaskah_redis_up"), scene.metric("namaskah_database_up")) == (0, 1)
        assert "Redis does not answer" in scene.admin()
        scene.measure()
        scene.status_says("Everything works.")  # customers notice nothing that is worth a word
    finally:
        scene.servers.start_redis()
    wait_until(scene.well, 10, "all to be well")
    assert scene.metric("namaskah_redis_up") == 1
    assert "Redis does not answer" not in scene.admin()
    price = before - sum(scene.money())
    assert price > 0 and scene.money()[1] == 0


def test_a_database_that_is_killed_and_restarted(scene: Scene, record_property: Any) -> None:
    """While it is away everybody is told so, and that the money is safe; a code that comes meanwhile is there after."""
    path, before = scene.bought(), scene.money()
    order = scene.order(path)
    scene.servers.kill_postgres(at_once=True)
    try:
        for page in ("/numbers?service=whatsapp", "/wallet", path, "/login", "/admin/"):
            who = scene.operator if page == "/admin/" else scene.customer
            answer = who.get(page)
            assert (page, answer.status, answer.headers.get("Retry-After")) == (page, 503, "5")
            assert SAFE in answer.data.decode()
        refused = scene.buy()
        assert (refused.status, "look whether it was done" in refused.data.decode()) == (503, True)
        webhook = scene.ask("/webhooks/paystack", method="POST", body=b"{}", headers={"x-paystack-signature": "00"})
        assert webhook.status != 200, "a gateway that is not answered with 200 sends it again"
        status, found = wait_until(lambda: (told := scene.told("/health"))[1]["database"] == "down" and told, 15)
        assert (status, found["status"], found["worker"]) == (503, "down", "unknown")
        wait_until(lambda: scene.told("/health/ready") == (503, {"status": "not ready", "why": ["database"]}), 5)
        assert scene.told("/health/live") == (200, {"status": "ok"})
        assert (scene.metric("namaskah_database_up"), scene.metric("namaskah_workers")) == (0, None)
        page = wait_until(lambda: (told := scene.ask("/status")).status == 503 and told, 15, "the status page")
        assert "Something does not work just now." in page.data.decode()
        scene.made.control.sms(*order, "Your code is 604517")
    finally:
        scene.servers.start_postgres()
        db.engine.dispose()
    started = time.monotonic()
    wait_until(lambda: scene.told("/health/ready")[0] == 200, 15, "requests to be welcome again")
    # The code that came meanwhile may be here already, and paid for with what was held.
    assert scene.page("/wallet") and scene.money() in (before, (before[0], 0)), "nothing was bought twice or is gone"
    scene.shows_code(path, "604517", within=30)
    wait_until(scene.well, 60, "all to be well")
    record_property("told", f"all well {time.monotonic() - started:.1f} s after a killed database was back")
    assert scene.money() == (before[0], 0)


def black_holes(scene: Scene) -> None:
    """Whatever they are asked is taken and never answered. The first to be bought from sells, and does not say so."""
    scene.made.control.fault("*", "buy", "hang_after", seconds=60)
    for name in ("fivesim", "herosms"):
        scene.made.control.fault(name, "*", "hang", times=0, seconds=60)


def later(seconds: float) -> None:
    """So much time passes for whoever is in doubt."""
    with transaction():
        db.session.execute(
            text("UPDATE activations SET attempt_at = attempt_at - make_interval(secs => :seconds)"
                 " WHERE state = 'in_doubt'"),
            {"seconds": seconds},
        )  # fmt: skip


def test_providers_that_are_black_holes(scene: Scene, record_property: Any) -> None:
    """Who buys at that moment is told that we find out, with the money held; then the provider rests and nobody is made
    to wait for it. When it is back, one has the number that was sold after all, the other the money."""
    before = scene.money()
    black_holes(scene)
    started = time.monotonic()
    with ThreadPoolExecutor(2) as pool:
        first = [pool.submit(scene.bought) for _number in range(2)]
        assert scene.page("/wallet") and time.monotonic() - started < 5, "others are served meanwhile"
        paths = [page.result() for page in first]
    assert time.monotonic() - started < 15, "ten seconds and not more"
    [(resting, _ref)] = {scene.order(path) for path in paths}
    assert scene.metric("namaskah_provider_resting", provider=resting) == 1
    paths.append(scene.bought())  # of the other one, which nobody knows to be away yet
    assert scene.order(paths[-1])[0] != resting
    for path in paths:
        assert "In doubt" in scene.page(path)
    available, held = scene.money()
    assert (available + held, held > 0) == (sum(before), True)

    wait_until(lambda: not _on_sale(scene), 40, "nothing to be sold")
    started = time.monotonic()
    assert scene.buy().status == 303  # back to the shop, which says why
    assert time.monotonic() - started < 3
    assert scene.money() == (available, held), "who comes now has nothing held"
    scene.measure()
    scene.status_says("No number can be bought just now. Nobody is charged.")
    wait_until(lambda: scene.degraded() == {"buying"}, 10, "health to see it")
    assert scene.told("/health")[0] == 200
    assert scene.told("/health/ready") == (200, {"status": "ok", "degraded": []})
    assert "Resting" in scene.admin()
    assert (scene.metric("namaskah_oldest_doubt_seconds") or 0) > 10

    scene.made.control.no_faults()
    started = time.monotonic()
    wait_until(lambda: _on_sale(scene), 60, "numbers to be sold again")
    later(200)
    wait_until(lambda: not any("In doubt" in scene.page(path) for path in paths), 60, "the doubts to end")
    states = text("SELECT state FROM activations WHERE id IN :ids ORDER BY state").bindparams(
        bindparam("ids", [int(path.rpartition("/")[2]) for path in paths], expanding=True)
    )
    assert db.session.scalars(states).all() == ["failed", "failed", "waiting"]
    record_property("told", f"sold again, doubts ended {time.monotonic() - started:.1f} s after providers were back")
    scene.measure()
    wait_until(scene.well, 10, "all to be well")
    assert scene.metric("namaskah_part_state", part="buying") == 1
    available, held = scene.money()
    assert available + held == sum(before)


def _on_sale(scene: Scene) -> bool:
    found = db.session.scalar(text("SELECT count(*) FROM providers WHERE paused_until IS NULL OR paused_until < now()"))
    db.session.rollback()
    return bool(found)
