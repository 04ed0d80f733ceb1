from collections.abc import Callable, Iterator
from itertools import count
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import select, update

from dev.redis import start_redis
from namaskah import extensions
from namaskah.auth import sessions
from namaskah.auth.models import Session, User
from namaskah.db import db, transaction
from tests import support
from tests.live.stand import Stand, Web, serve

OpenAccount = Callable[..., int]
_number = count(1)


@pytest.fixture(scope="session")
def stand(tmp_path_factory: pytest.TempPathFactory, _app: Flask, settings: dict[str, str]) -> Iterator[Stand]:
    data = tmp_path_factory.mktemp("live")
    cache = start_redis(data)
    environment = settings | {"REDIS_URL": cache.url, "DATABASE_POOL_SIZE": "5"}
    running = Stand(data, cache, _app, environment)
    yield running
    running.redis.stop()


@pytest.fixture(autouse=True)
def publishing_there(app: Flask, stand: Stand, monkeypatch: pytest.MonkeyPatch) -> None:
    """This process publishes where the stand's web processes listen."""
    handle = extensions.RedisHandle()
    handle.init_app(stand.redis.url)
    monkeypatch.setattr(extensions.redis, "_client", handle.client)


@pytest.fixture(scope="session")
def web(stand: Stand) -> Iterator[Web]:
    """Two processes."""
    running = serve(stand, workers=2)
    yield running
    running.stop()


@pytest.fixture
def lone_web(stand: Stand) -> Iterator[Web]:
    """One process of its own, for tests that stop it or fill it."""
    running = serve(stand, workers=1)
    yield running
    running.stop()


@pytest.fixture
def user(app: Flask) -> OpenAccount:
    """Opens an account, answers its id."""

    def register(**columns: Any) -> int:
        return support.make_user(f"viewer{next(_number)}@example.com", **columns).id

    return register


@pytest.fixture
def change_user(app: Flask) -> Callable[..., None]:
    """Writes columns of an account, as its owner or an admin would."""

    def change(user_id: int, **columns: object) -> None:
        with transaction():
            db.session.execute(update(User).where(User.id == user_id).values(**columns))

    return change


@pytest.fixture
def end_sessions(app: Flask) -> Callable[[int], None]:
    """Logs an account out everywhere, as its owner or an admin would."""

    def end(user_id: int) -> None:
        with transaction():
            sessions.end_all(db.session.get_one(User, user_id))

    return end


@pytest.fixture
def exchange_token(app: Flask) -> Callable[[int], None]:
    """Has somebody confirm who they are: their session goes on under a new token."""

    def exchange(user_id: int) -> None:
        user = db.session.get_one(User, user_id)
        user.session = db.session.scalars(select(Session).where(Session.user_id == user_id)).one()
        with app.test_request_context():
            sessions.confirm(user)

    return exchange
