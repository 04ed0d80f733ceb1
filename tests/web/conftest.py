"""The product as it is reached in production: by https, under a name of its own."""

from collections.abc import Iterator

import pytest
from flask import Flask

from namaskah import create_app
from namaskah.db import db
from namaskah.extensions import redis
from tests import support
from tests.guards.test_routes import scene  # noqa: F401
from tests.web.site import SITE


@pytest.fixture(scope="session")
def _secure_app(settings: dict[str, str], _app: Flask) -> Iterator[Flask]:
    app = create_app(support.load_settings(settings | {"BASE_URL": SITE}))
    app.test_client_class = support.Visitor
    yield app
    with app.app_context():
        db.session.remove()
        db.engine.dispose()


@pytest.fixture
def secure_app(app: Flask, _secure_app: Flask) -> Flask:
    """On the database and the Redis of `app`, which empties both."""
    redis.client.flushdb()
    return _secure_app
