"""Saying that something changed: when it is said, and what it costs when nobody can hear."""

import logging
import socket
import time
from collections.abc import Iterator
from contextlib import closing

import pytest
from flask import Flask
from redis.client import PubSub
from sqlalchemy import text

from namaskah import live
from namaskah.db import db, transaction
from namaskah.extensions import RedisHandle, redis
from namaskah.live import publishing


@pytest.fixture
def heard(publishing_there: None) -> Iterator[PubSub]:
    with closing(PubSub(redis.client.connection_pool)) as subscription:
        subscription.psubscribe("live:*")  # type: ignore[no-untyped-call]
        assert subscription.get_message(timeout=2)
        yield subscription


@pytest.fixture(autouse=True)
def no_outage(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(publishing, "_Outage", type("_Outage", (), {"pause_until": 0.0, "silent_until": 0.0}))
    monkeypatch.setattr(publishing, "_untold", {})


def all_heard(subscription: PubSub) -> list[tuple[str, str]]:
    found = []
    while message := subscription.get_message(timeout=0.2):
        found.append((message["channel"], message["data"]))
    return found


def test_a_change_is_named_in_the_channel_of_its_user(heard: PubSub) -> None:
    live.publish(5, "activation", 7)
    live.publish(6, "wallet")
    assert all_heard(heard) == [("live:5", '["activation", 7]'), ("live:6", '["wallet", null]')]


def test_changes_of_a_transaction_are_told_once_after_its_commit(app: Flask, heard: PubSub) -> None:
    with transaction():
        live.publish_on_commit(5, "activation", 7)
        live.publish_on_commit(5, "wallet")
        live.publish_on_commit(5, "activation", 7)
        db.session.execute(text("SELECT 1"))
        assert all_heard(heard) == []
    assert all_heard(heard) == [("live:5", '["activation", 7]'), ("live:5", '["wallet", null]')]
    with transaction():
        db.session.execute(text("SELECT 1"))
    assert all_heard(heard) == []


def test_changes_are_forgotten_when_the_transaction_fails(app: Flask, heard: PubSub) -> None:
    with pytest.raises(ZeroDivisionError), transaction():
        db.session.execute(text("SELECT 1"))
        live.publish_on_commit(5, "wallet")
        raise ZeroDivisionError
    with transaction():
        db.session.execute(text("SELECT 1"))
    assert all_heard(heard) == []


def test_a_savepoint_neither_tells_early_nor_forgets(app: Flask, heard: PubSub) -> None:
    with transaction():
        live.publish_on_commit(5, "wallet")
        with db.session.begin_nested():
            db.session.execute(text("SELECT 1"))
        assert all_heard(heard) == []
        with pytest.raises(ZeroDivisionError), db.session.begin_nested():
            db.session.execute(text("SELECT 1"))
            raise ZeroDivisionError
    assert all_heard(heard) == [("live:5", '["wallet", null]')]


def test_a_change_outside_a_transaction_has_no_commit_to_wait_for(app: Flask) -> None:
    with pytest.raises(RuntimeError, match="transaction"):
        live.publish_on_commit(5, "wallet")


@pytest.fixture
def silent_redis(publishing_there: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A Redis that takes connections and never answers: the slowest way to be away."""
    handle = RedisHandle()
    with socket.create_server(("127.0.0.1", 0)) as server:
        handle.init_app(f"redis://127.0.0.1:{server.getsockname()[1]}/0")
        monkeypatch.setattr(redis, "_client", handle.client)
        yield


def test_what_could_not_be_told_is_told_with_the_next_change(heard: PubSub, monkeypatch: pytest.MonkeyPatch) -> None:
    """Redis was slow for a moment, and every page still listens: nobody tells it to look for itself."""
    with monkeypatch.context() as slow:
        slow.setattr(redis, "_client", Unreachable())
        live.publish(5, "activation", 7)
    live.publish(6, "activation", 8)
    live.publish(6, "activation", 8)
    assert all_heard(heard) == [], "it is not asked again at once"
    monkeypatch.setattr(publishing._Outage, "pause_until", 0.0)
    live.publish(9, "wallet")
    told = [("live:5", '["activation", 7]'), ("live:6", '["activation", 8]'), ("live:9", '["wallet", null]')]
    assert all_heard(heard) == told
    live.publish(9, "wallet")
    assert all_heard(heard) == told[2:]


def test_of_a_long_outage_no_more_is_kept_than_a_moment_can_tell(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(publishing._Outage, "pause_until", time.monotonic() + 60)
    for user_id in range(publishing.MAX_UNTOLD + 50):
        live.publish(user_id, "wallet")
    assert (len(publishing._untold), next(iter(publishing._untold))[0]) == (publishing.MAX_UNTOLD, 50)


@pytest.mark.usefixtures("silent_redis")
def test_without_redis_a_hundred_pushes_cost_one_timeout_and_one_warning(caplog: pytest.LogCaptureFixture) -> None:
    started = time.monotonic()
    for _ in range(100):
        live.publish(5, "wallet")
    assert time.monotonic() - started < 0.3
    assert [record.levelno for record in caplog.records] == [logging.WARNING]


@pytest.mark.usefixtures("publishing_there")
def test_an_outage_is_reported_once_a_minute(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redis, "_client", Unreachable())
    reports = []
    for now in (1_000.0, 1_000.9, 1_030.0, 1_058.0, 1_060.0, 1_100.0, 1_120.0):
        monkeypatch.setattr(publishing, "time", Clock(now))
        caplog.clear()
        live.publish(5, "wallet")
        reports.append(len(caplog.records))
    assert reports == [1, 0, 0, 0, 1, 0, 1]


class Clock:
    def __init__(self, now: float) -> None:
        self.monotonic = lambda: now


class Unreachable:
    def publish(self, channel: str, message: str) -> None:
        raise ConnectionRefusedError
