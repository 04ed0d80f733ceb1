"""The wallet's cast: customers, the gateway's till, and all money invariants after every test."""

import secrets
import shutil
import tempfile
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from flask import Flask
from flask_migrate import upgrade
from sqlalchemy import text

from dev.servers import Servers, servers
from namaskah import config, create_app
from namaskah.auth.models import User
from namaskah.db import db, transaction
from namaskah.extensions import babel, redis
from namaskah.filters import register_filters
from namaskah.sandbox import Config, Sandbox
from namaskah.wallet import ledger
from namaskah.wallet.checks import CHECKS

from .counter import Counter


@pytest.fixture(scope="session")
def running() -> Iterator[Servers]:
    folder = Path(tempfile.mkdtemp(prefix="namaskah-wallet-"))
    folder.chmod(0o755)
    with servers(folder, durable=False) as found:
        yield found
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def sandbox_running() -> Iterator[Sandbox]:
    with Sandbox(Config(port=0, smtp_port=0, paystack_secret_key=secrets.token_hex(16))) as sandbox:
        yield sandbox


@pytest.fixture
def sandbox(sandbox_running: Sandbox) -> Sandbox:
    sandbox_running.world.reset()
    return sandbox_running


@pytest.fixture(scope="session")
def app(running: Servers, sandbox_running: Sandbox) -> Flask:
    made = create_app(
        config.load(
            {
                "ENVIRONMENT": "test",
                "SECRET_KEY": secrets.token_hex(32),
                "BASE_URL": "http://localhost",
                "DATABASE_URL": running.database_url,
                "REDIS_URL": running.redis_url,
                "PAYSTACK_SECRET_KEY": sandbox_running.config.paystack_secret_key,
                "PAYSTACK_BASE_URL": sandbox_running.paystack_url,
            }
        )
    )
    babel.init_app(made)
    register_filters(made)
    redis.init_app(running.redis_url)
    with made.app_context():
        upgrade(directory="migrations")
    return made


@pytest.fixture(autouse=True)
def in_app(app: Flask) -> Iterator[None]:
    with app.app_context():
        yield


@pytest.fixture(autouse=True)
def invariants(in_app: None) -> Iterator[None]:
    """Whatever a test did to money, every invariant holds after it."""
    yield
    db.session.rollback()
    offenders = {name: rows for name, _, sql in CHECKS if (rows := db.session.execute(text(sql)).all())}
    assert offenders == {}


@pytest.fixture
def new_user() -> Callable[[], User]:
    """A verified customer with an empty wallet."""

    def make() -> User:
        user = User(
            email=f"{secrets.token_hex(6)}@example.com",
            password_hash="none",
            session_token=secrets.token_hex(8),
            policy_version="1",
            policy_accepted_at=datetime.now(UTC),
            email_verified_at=datetime.now(UTC),
        )
        with transaction():
            db.session.add(user)
        return user

    return make


@pytest.fixture
def payer(new_user: Callable[[], User]) -> User:
    return new_user()


@pytest.fixture
def funded(new_user: Callable[[], User]) -> Callable[[int], User]:
    """A customer with this many minor units to spend."""

    def make(amount_minor: int) -> User:
        user = new_user()
        with transaction():
            ledger.adjust(user.id, f"gift:{secrets.token_hex(6)}", amount_minor, actor="test", note="a start")
        return user

    return make


@pytest.fixture
def counter(sandbox: Sandbox) -> Counter:
    return Counter(sandbox)
