"""One installation, one sandbox and one Chromium for all tests of this folder."""

import os
from collections.abc import Generator, Iterator
from contextlib import closing
from typing import Any

import pytest
from flask import Flask
from playwright.sync_api import Browser, Page, sync_playwright

from dev.browser import ADVICE, find_chromium
from dev.process import free_port
from dev.redis import start_redis
from namaskah import create_app
from namaskah.auth.models import User
from namaskah.db import db
from namaskah.numbers import pricelists, registry
from namaskah.sandbox import Config, Sandbox
from tests import support
from tests.browser.stand import DEVICES, Stand, Visit, Watch, open_context
from tests.support import Control, installation

SWITCHES = ("--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update")
FAILED = pytest.StashKey[bool]()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Without a Chromium none of this can be tested: one line a file says so (pytest -rs)."""
    found = find_chromium()
    for item in items:
        if "tests/browser/" in item.path.as_posix():
            item.add_marker(pytest.mark.browser)
            if not found:
                item.add_marker(pytest.mark.skip(reason=ADVICE))


@pytest.fixture(scope="package")
def port() -> int:
    """Where the installation will listen: the sandbox must know it before."""
    return free_port()


@pytest.fixture(scope="package")
def sandbox(port: int) -> Iterator[Sandbox]:
    webhook = f"http://127.0.0.1:{port}/webhooks/paystack"
    config = Config(port=0, smtp_port=0, webhook_retry_seconds=0.2, paystack_webhook_url=webhook)
    with Sandbox(config) as started:
        yield started


@pytest.fixture(scope="package")
def settings(worker_number: int, sandbox: Sandbox, port: int) -> dict[str, str]:
    database = support.clone_template(os.environ["TEST_DATABASE_URL"], f"namaskah_browser_{worker_number}")
    redis_url = f"{os.environ['TEST_REDIS_URL'].rsplit('/', 1)[0]}/{worker_number + 1}"
    # The worker makes links too.
    return support.settings(database, redis_url, sandbox) | {"BASE_URL": f"http://127.0.0.1:{port}"}


@pytest.fixture(scope="package")
def _app(settings: dict[str, str]) -> Iterator[Flask]:
    """The product in this process, to set scenes and read the books."""
    app = create_app(support.load_settings(settings))
    with app.app_context():
        pricelists.load()
        for name in registry.names():
            assert pricelists.sync(name)
        db.session.remove()
    yield app
    with app.app_context():
        db.session.remove()
        db.engine.dispose()


@pytest.fixture(scope="package")
def _stand(
    _app: Flask, settings: dict[str, str], sandbox: Sandbox, port: int, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Stand]:
    """The processes, with a Redis of their own that can be taken away from them."""
    folder = tmp_path_factory.mktemp("redis")
    redis = start_redis(folder)
    with installation(settings | {"REDIS_URL": redis.url}, tmp_path_factory.mktemp("browser")) as site:
        site.start_worker()
        made = Stand(_app, site, redis, folder, Control(sandbox), site.start_web(port))
        yield made
    made.redis.stop()


@pytest.fixture
def app(_app: Flask) -> Iterator[Flask]:
    """An application context. Nothing is emptied: the worker is at work all the time, and every test has its own
    people."""
    with _app.app_context():
        yield _app
        db.session.remove()


@pytest.fixture
def stand(_stand: Stand, app: Flask) -> Stand:
    _stand.reset()
    return _stand


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    with (
        sync_playwright() as playwright,
        closing(playwright.chromium.launch(executable_path=find_chromium(), args=SWITCHES)) as launched,
    ):
        yield launched


@pytest.fixture
def watch(stand: Stand) -> Iterator[Watch]:
    """Any complaint of any page fails the test."""
    made = Watch((stand.url, stand.control.sandbox.url))
    yield made
    assert made.unexpected() == []


@pytest.fixture(params=list(DEVICES))
def device(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.when == "call":
        item.stash[FAILED] = report.failed
    return report


@pytest.fixture
def visit(browser: Browser, stand: Stand, watch: Watch, request: pytest.FixtureRequest) -> Iterator[Visit]:
    """Opens a browser of its own: visit(user, device="phone", **options of the context). What the pages of a test that
    failed looked like is kept in test-artifacts/."""
    opened = []

    def visit(user: User | None = None, device: str = "desktop", **options: Any) -> Page:
        context = open_context(browser, stand, watch, user, **(DEVICES[device] | options))
        opened.append(context)
        return context.new_page()

    yield visit
    for number, context in enumerate(opened):
        if request.node.stash.get(FAILED, False):
            for page in context.pages:
                page.screenshot(path=f"test-artifacts/{request.node.name}-{number}.png")
        context.close()
