"""One replica of the tests' server for this folder, and an application that knows of it."""

import os
from collections.abc import Iterator

import pytest
from flask import Flask
from sqlalchemy.engine import make_url

from namaskah import create_app, replica
from namaskah.db import db
from tests import support
from tests.replica.standby import Standby


@pytest.fixture(scope="session")
def standby(settings: dict[str, str]) -> Iterator[Standby]:
    made = Standby(os.environ["TEST_DATABASE_URL"])
    yield made
    made.remove()


@pytest.fixture
def reader(app: Flask, settings: dict[str, str], standby: Standby, monkeypatch: pytest.MonkeyPatch) -> Iterator[Flask]:
    """The application with a replica that follows. Commits are on disk before they are told, as in production: the
    tests' server is made fast otherwise, and a replica is only sent what is written. On a slow machine it is waited for
    longer than people would."""
    monkeypatch.setattr(replica, "CATCH_UP_SECONDS", 20.0)
    database = str(make_url(settings["DATABASE_URL"]).database)
    support._admin(settings["DATABASE_URL"], f"ALTER DATABASE {database} SET synchronous_commit TO on")
    made = create_app(support.load_settings(settings | {"DATABASE_REPLICA_URL": standby.url(database)}))
    made.test_client_class = support.Visitor
    with made.app_context():
        replica.forget()
        yield made
        db.session.remove()
        for engine in db.engines.values():
            engine.dispose()
    support._admin(settings["DATABASE_URL"], f"ALTER DATABASE {database} RESET synchronous_commit")
    standby.start()  # a test that failed may have left it stopped
    standby.go_on()
