"""What every test stands on: real PostgreSQL and Redis, one migrated database a worker, the sandbox, and a cast.

The cast: alice has money, bob must never see what is hers, carol has not confirmed her address, admin runs the place.
Everything is committed for real; what a test leaves behind is removed after it.
"""

import os
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import hypothesis
import pytest
from flask import Flask
from flask.testing import FlaskClient

from dev.servers import servers
from namaskah import create_app, tracing
from namaskah.auth.models import User
from namaskah.db import db
from namaskah.extensions import redis
from namaskah.numbers import pricelists, registry
from namaskah.sandbox import Config, Sandbox
from tests import support
from tests.support import Control

_running = ExitStack()

# The same examples at every run: who lands a change must not be stopped by what another run would have found. Take
# derandomize away to go looking for more.
hypothesis.settings.register_profile("suite", derandomize=True)
hypothesis.settings.load_profile("suite")


def pytest_configure(config: pytest.Config) -> None:
    """Start the servers once, in the process that starts everything else; xdist's workers find their addresses in the
    environment."""
    if "TEST_DATABASE_URL" in os.environ or config.option.collectonly:
        return
    data = Path(_running.enter_context(tempfile.TemporaryDirectory(prefix="namaskah-tests-")))
    data.chmod(0o755)
    started = _running.enter_context(servers(data, durable=False))
    os.environ["TEST_DATABASE_URL"] = started.database_url
    os.environ["TEST_REDIS_URL"] = started.redis_url
    support.make_template(started.database_url)


def pytest_unconfigure(config: pytest.Config) -> None:
    _running.close()


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """What tests have to tell of a run that went well, with record_property("told", …): pytest keeps their output."""
    reports = terminalreporter.getreports("passed")
    told = [value for report in reports for name, value in report.user_properties if name == "told"]
    if told:
        terminalreporter.section("told by the tests")
        for line in told:
            terminalreporter.write_line(line)


@pytest.fixture(scope="session")
def worker_number(worker_id: str) -> int:
    """0, 1, …: this process among xdist's workers."""
    return int(worker_id.removeprefix("gw")) if worker_id.startswith("gw") else 0


@pytest.fixture(scope="session")
def sandbox() -> Iterator[Sandbox]:
    """The sandbox as a real server on free ports."""
    with Sandbox(Config(port=0, smtp_port=0, webhook_retry_seconds=0.2)) as started:
        yield started


@pytest.fixture(scope="session")
def settings(worker_number: int, sandbox: Sandbox) -> dict[str, str]:
    """The environment of this worker's installation: its own database and Redis number."""
    database = support.clone_template(os.environ["TEST_DATABASE_URL"], f"namaskah_test_{worker_number}")
    redis_url = f"{os.environ['TEST_REDIS_URL'].rsplit('/', 1)[0]}/{worker_number + 1}"
    return support.settings(database, redis_url, sandbox)


@pytest.fixture(scope="session")
def _app(settings: dict[str, str]) -> Iterator[Flask]:
    app = create_app(support.load_settings(settings))
    app.test_client_class = support.Visitor
    with app.app_context():
        pricelists.load()
        for name in registry.names():
            assert pricelists.sync(name)
        support.keep_offers()
        db.session.remove()
    yield app
    with app.app_context():
        db.session.remove()
        db.engine.dispose()


@pytest.fixture
def control(sandbox: Sandbox) -> Control:
    """The sandbox's own controls and books, emptied."""
    made = Control(sandbox)
    made.reset()
    return made


@pytest.fixture
def app(_app: Flask, control: Control) -> Iterator[Flask]:
    """The application inside an application context, with empty books on every side."""
    redis.client.flushdb()
    tracing.set_id(None)  # a test before may have left an answer of a page unread
    settings = dict(_app.config)
    with _app.app_context():
        yield _app
        db.session.remove()
    _app.config.clear()  # what a test sets is gone with it: the next in this process may be any other
    _app.config.update(settings)
    with _app.app_context():
        support.empty()
        db.session.remove()


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    """A browser without a log-in."""
    return app.test_client()


@pytest.fixture
def alice(app: Flask) -> User:
    return support.make_user("alice@example.com", money=1_000_000)


@pytest.fixture
def bob(app: Flask) -> User:
    return support.make_user("bob@example.com", money=500_000)


@pytest.fixture
def carol(app: Flask) -> User:
    return support.make_user("carol@example.com", verified=False)


@pytest.fixture
def admin(app: Flask) -> User:
    return support.make_user("admin@example.com", role="admin")


@pytest.fixture
def money_is_right(app: Flask) -> Iterator[None]:
    """After the test, all invariants hold."""
    yield
    assert support.broken_invariants() == []


def pytest_collection_modifyitems(items: list[Any]) -> None:
    """Every test that has an application is followed by all money invariants."""
    for item in items:
        if "app" in getattr(item, "fixturenames", ()) and "money_is_right" not in item.fixturenames:
            item.fixturenames.append("money_is_right")
