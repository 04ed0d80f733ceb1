"""What tests need to set a scene: databases, users, the sandbox's controls, and whole installations of processes."""

import json
import os
import secrets
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import Context
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg2
from flask import current_app
from flask.testing import FlaskClient
from sqlalchemy import text
from sqlalchemy.engine import make_url

from dev.process import free_port
from namaskah import config
from namaskah.auth import encryption, sessions
from namaskah.auth.models import User
from namaskah.db import db, transaction
from namaskah.numbers import checks as number_checks
from namaskah.sandbox import Sandbox
from namaskah.wallet import checks as wallet_checks
from namaskah.wallet import invoices, ledger, promo, voucher_batches
from namaskah.wallet.models import Invoice, TopUp
from namaskah.wallet.promo_models import PromoGrant
from namaskah.wallet.voucher_models import VoucherBatch

ROOT = Path(__file__).parent.parent
TEMPLATE = "namaskah_test_template"
# What stays between tests: the catalogue, and the queue's own bookkeeping.
KEPT = {"services", "countries", "providers", "offers", "offers_kept", "alembic_version"}


# ── Databases ────────────────────────────────────────────────────────────────────────────────────────────────────────


def _admin(url: str, *statements: str) -> None:
    connection = psycopg2.connect(url.replace("+psycopg2", ""))
    connection.autocommit = True
    with connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)
    connection.close()


def _named(url: str, name: str) -> str:
    return make_url(url).set(database=name).render_as_string(hide_password=False)


def make_template(url: str) -> None:
    """A database built by the migrations, to be cloned: a clone takes a tenth of a second."""
    _admin(url, f"DROP DATABASE IF EXISTS {TEMPLATE}", f"CREATE DATABASE {TEMPLATE}")
    environment = os.environ | settings(_named(url, TEMPLATE), "redis://127.0.0.1:1/0", None)
    subprocess.run(
        [sys.executable, "-m", "flask", "--app", "wsgi", "db", "upgrade"],
        cwd=ROOT,
        env=environment,
        check=True,
        capture_output=True,
    )


def clone_template(url: str, name: str) -> str:
    """A fresh database of this name; returns its address."""
    _admin(url, f"DROP DATABASE IF EXISTS {name} WITH (FORCE)", f"CREATE DATABASE {name} TEMPLATE {TEMPLATE}")
    return _named(url, name)


def settings(database_url: str, redis_url: str, sandbox: Sandbox | None) -> dict[str, str]:
    """An environment for one installation, with credentials made for this run."""
    found = {
        "ENVIRONMENT": "test",
        "SECRET_KEY": secrets.token_hex(32),
        "BASE_URL": "http://localhost",
        "DATABASE_URL": database_url,
        "REDIS_URL": redis_url,
        "MAIL_FROM": "Namaskah <hello@namaskah.test>",
        "SUPPORT_EMAIL": "help@namaskah.test",
        "PROVIDER_WEBHOOK_TOKEN": secrets.token_hex(16),
        "PASSWORD_MEMORY_MIB": "1",
        "LOG_LEVEL": "WARNING",
    }
    if sandbox:
        found |= {
            "MAIL_SERVER": "127.0.0.1",
            "MAIL_PORT": str(sandbox.smtp_port),
            "PAYSTACK_SECRET_KEY": sandbox.config.paystack_secret_key,
            "PAYSTACK_BASE_URL": sandbox.paystack_url,
            "FIVESIM_TOKEN": sandbox.config.fivesim_token,
            "FIVESIM_BASE_URL": sandbox.fivesim_url,
            "SMS_ACTIVATE_PROVIDERS": f"herosms={sandbox.herosms_url}",
            "SMS_ACTIVATE_KEYS": f"herosms={sandbox.config.herosms_key}",
            "SANDBOX_URL": sandbox.url,
        }
    return found


def load_settings(environment: dict[str, str]) -> dict[str, Any]:
    """The same as Flask configuration, for an application inside the test's own process."""
    return config.load(environment) | {"TESTING": True, "WTF_CSRF_ENABLED": False}


def keep_offers() -> None:
    """Remember the offers as they were read, for empty()."""
    with transaction():
        db.session.execute(text("DROP TABLE IF EXISTS offers_kept"))
        db.session.execute(text("CREATE TABLE offers_kept AS SELECT * FROM offers"))


def empty() -> None:
    """Remove what a test has left. Triggers are off for it: the ledger refuses to be emptied in any other way."""
    with transaction():
        db.session.execute(text("SET LOCAL session_replication_role = replica"))
        tables = db.session.scalars(text("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")).all()
        for table in set(tables) - KEPT:
            db.session.execute(text(f"DELETE FROM {table}"))
        db.session.execute(
            text(
                "UPDATE offers SET stock = kept.stock, rate = kept.rate, price_minor = kept.price_minor"
                " FROM offers_kept kept WHERE kept.id = offers.id AND (kept.stock, kept.rate, kept.price_minor)"
                " IS DISTINCT FROM (offers.stock, offers.rate, offers.price_minor)"
            )
        )
        db.session.execute(
            text(
                "UPDATE providers SET weight = 100, paused_until = NULL, paused_reason = NULL, synced_at = now(),"
                " poll_due_at = now(), sweep_due_at = now(), sync_due_at = now() + interval '1 hour',"
                " balance_micros = 500000000"
            )
        )


def broken_invariants() -> list[tuple[str, Any]]:
    """Every row that breaks a money invariant now."""
    db.session.rollback()
    found = []
    for number, _sentence, query in (*wallet_checks.CHECKS, *number_checks.CHECKS):
        found += [(number, dict(row)) for row in db.session.execute(text(query)).mappings()]
    db.session.rollback()
    return found


# ── People ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def make_user(email: str, *, money: int = 0, verified: bool = True, role: str = "customer", **more: Any) -> User:
    """A user with this much money in minor units, who never logs in by password."""
    now = datetime.now(UTC)
    user = User(
        email=email,
        password_hash="!",
        role=role,
        policy_accepted_at=now,
        email_verified_at=now if verified else None,
        **({"policy_version": current_app.config["POLICY_VERSION"]} | more),
    )
    with transaction():
        db.session.add(user)
        db.session.flush()
        if money:
            ledger.adjust(user.id, f"test:{user.id}", money, "test", "money to spend in a test")
    return user


def make_receipt(user: User, paid_minor: int = 250_000, **more: Any) -> Invoice:
    """A top-up of this user that has been credited, with its receipt."""
    now = datetime.now(UTC)
    top_up = TopUp(
        reference=f"NK-{secrets.token_hex(10)}",
        user_id=user.id,
        key=secrets.token_hex(16),
        amount_minor=paid_minor,
        **({"currency": "NGN", "state": "paid", "paid_minor": paid_minor, "settled_at": now} | more),
    )
    with transaction():
        db.session.add(top_up)
        db.session.flush()
        ledger.top_up(user.id, f"top_up:{top_up.reference}", paid_minor)
        return invoices.issue_receipt(top_up)


def give(user: User, amount_minor: int, *, days: float = 30) -> PromoGrant:
    """A gift to this user that lasts for so many days; fewer than none, and its time is over."""
    with transaction():
        until = datetime.now(UTC) + timedelta(days=days)
        gift = promo.grant(user.id, "operator", f"test:{secrets.token_hex(8)}", amount_minor, until, note="a present")
    assert gift is not None
    return gift


def make_vouchers(**more: Any) -> tuple[VoucherBatch, list[str]]:
    """A batch of codes that are good now, and the codes themselves, which stay to be downloaded."""
    now = datetime.now(UTC)
    wanted: dict[str, Any] = {
        "name": "Spring",
        "amount_minor": 50_000,
        "lifetime_days": 30,
        "codes": 1,
        "uses_each": 1,
        "one_each": False,
        "valid_from": now - timedelta(days=1),
        "valid_until": now + timedelta(days=1),
    }
    batch = voucher_batches.make(voucher_batches.Terms(**(wanted | more)), secrets.token_hex(16), "test")
    sealed = batch.sealed_codes
    assert sealed is not None
    return batch, encryption.decrypt(sealed, f"voucher codes:{batch.id}").decode().split()


class Visitor(FlaskClient):
    """A browser whose every request has a context of its own, as on a server: else Flask would take the last
    request's user and language for this one's."""

    def open(self, *args: Any, **options: Any) -> Any:
        return Context().run(super().open, *args, **options)


def open_session(user: User, **more: Any) -> str:
    """The token of a new session, as a browser's cookie would hold it, opened with a second factor."""
    with transaction():
        return sessions.open_session(user, **({"second_factor": True} | more)).token


def log_in(client: FlaskClient, user: User, **more: Any) -> FlaskClient:
    """The same browser, logged in."""
    token = open_session(user, **more)
    with client.session_transaction() as session:
        session["_user_id"] = token
        session["_fresh"] = True
    return client


def wait_until(true: Any, seconds: float = 10, what: str = "it") -> Any:
    """Ask again and again until the answer is true; fails after `seconds`."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        answer = true()
        if answer:
            return answer
        time.sleep(0.05)
    raise AssertionError(f"{what} did not happen within {seconds} s")


# ── The sandbox ──────────────────────────────────────────────────────────────────────────────────────────────────────


class Control:
    """The sandbox's control API, as its own page describes it."""

    def __init__(self, sandbox: Sandbox) -> None:
        self.sandbox = sandbox

    def _call(self, method: str, path: str, body: Any = None) -> Any:
        request = urllib.request.Request(
            f"{self.sandbox.url}{path}",
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=30) as answer:
            raw = answer.read()
        return json.loads(raw) if raw else None

    def reset(self) -> None:
        """Empty books, default dials, no faults."""
        self._call("POST", "/control/reset", {})

    def sms(self, provider: str, order: str, text: str, **more: Any) -> Any:
        """A message arrives for an order now."""
        return self._call("POST", "/control/sms", {"provider": provider, "order_id": order, "text": text, **more})

    def fault(self, provider: str, operation: str, kind: str, **more: Any) -> Any:
        """Spoil the next answer (or `times` of them)."""
        return self._call(
            "POST", "/control/faults", {"provider": provider, "operation": operation, "kind": kind, **more}
        )

    def no_faults(self) -> None:
        self._call("DELETE", "/control/faults")

    def settings(self, **changes: Any) -> Any:
        return self._call("POST", "/control/settings", changes)

    def payment(self, reference: str, **becomes: Any) -> Any:
        """A payment becomes something: status, paid_amount, currency, domain, gateway_response, fees."""
        return self._call("POST", "/control/transactions", {"reference": reference, **becomes})

    def dispute(self, reference: str, **more: Any) -> str:
        """The payer's bank takes a payment up; gives the dispute's number at the gateway."""
        return str(self._call("POST", "/control/disputes", {"reference": reference, **more})["id"])

    def dispute_becomes(self, number: str, act: str) -> None:
        """won or lost, by the bank's word; expire, remind or reopen."""
        self._call("POST", f"/control/disputes/{number}/{act}", {})

    def expire(self, provider: str, order: str) -> Any:
        """The window of an order ends now."""
        return self._call("POST", "/control/expire", {"provider": provider, "order_id": order})

    def books(self) -> Any:
        """What the sandbox really sold and charged."""
        return self._call("GET", "/control/books")

    def orders(self, provider: str) -> list[Any]:
        orders: list[Any] = self.books()[provider]["orders"]
        return orders

    def calls(self) -> Any:
        return self._call("GET", "/control/calls")

    def paystack_webhooks(self, reference: str, copies: int) -> list[int]:
        """Real signed copies of a charge's webhook, in parallel; the statuses they got."""
        body = {"reference": reference, "copies": copies, "parallel": True}
        statuses: list[int] = self._call("POST", "/control/webhooks/paystack", body)["statuses"]
        return statuses

    def mails(self, to: str) -> list[Any]:
        found = self._call("GET", f"/mail.json?to={to}")
        mails: list[Any] = found["mails"] if isinstance(found, dict) else found
        return mails


# ── Whole installations ──────────────────────────────────────────────────────────────────────────────────────────────


@dataclass
class Installation:
    """Real processes against this worker's database: gunicorn on a free port, `flask worker`, as many as asked for."""

    environment: dict[str, str]
    logs: Path
    port: int = 0
    host: str = "127.0.0.1"
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://{self.host}:{self.port}"

    def start_web(self, port: int | None = None, workers: int = 1) -> subprocess.Popen[bytes]:
        """A web server; waits until it answers."""
        port = port or free_port()
        self.port = self.port or port
        extra = {"PORT": str(port), "WEB_WORKERS": str(workers), "BASE_URL": self.url}
        process = self._start("web", [sys.executable, "-m", "gunicorn", "wsgi:app"], extra)
        wait_until(lambda: _answers(port) or process.poll() is not None, 30, "the web server's first answer")
        assert process.poll() is None, (self.logs / "web.log").read_text()[-2000:]
        return process

    def start_worker(self) -> subprocess.Popen[bytes]:
        """A worker; returns at once."""
        return self._start("worker", [sys.executable, "-m", "flask", "--app", "wsgi", "worker"], {})

    def kill(self, process: subprocess.Popen[bytes]) -> None:
        """SIGKILL, children included, and wait until it is gone."""
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        self.processes.remove(process)

    def stop(self) -> None:
        for process in self.processes:
            process.terminate()
        for process in self.processes:
            try:
                process.wait(15)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        self.processes.clear()

    def _start(self, name: str, command: list[str], extra: dict[str, str]) -> subprocess.Popen[bytes]:
        log = (self.logs / f"{name}.log").open("ab")
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            env=os.environ | self.environment | extra,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        self.processes.append(process)
        return process


def _answers(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/login", timeout=2) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


@contextmanager
def installation(environment: dict[str, str], logs: Path) -> Iterator[Installation]:
    """Processes that end with the block, whatever happens in it."""
    made = Installation(environment, logs)
    try:
        yield made
    finally:
        made.stop()
