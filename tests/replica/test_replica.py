"""Reading from a replica that streams, that lags, that is away, that is none of ours; and what goes there at all."""

import io
import zipfile
from collections.abc import Iterator
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import InternalError, OperationalError

from namaskah import create_app, metrics, replica
from namaskah.account import export_sheets
from namaskah.auth.models import User
from namaskah.db import db, transaction
from namaskah.wallet import ledger
from namaskah.watch import health
from tests import support
from tests.replica.standby import Standby
from tests.support import log_in, make_user, wait_until

WHERE = text("SELECT pg_is_in_recovery()")


def here() -> bool:
    return bool(db.session.scalar(WHERE))


def write(user: User, number: int) -> None:
    with transaction():
        ledger.adjust(user.id, f"test:replica:{number}", 1_000, "test", f"present {number}")


def look() -> replica.Look:
    replica.forget()
    return replica.look()


def following(app: Flask) -> None:
    wait_until(lambda: look().state == replica.OK, what="the replica's following")


@pytest.fixture
def paused(reader: Flask, standby: Standby, monkeypatch: pytest.MonkeyPatch) -> Iterator[Standby]:
    monkeypatch.setattr(replica, "CATCH_UP_SECONDS", 0.2)  # it will not
    following(reader)
    standby.pause()
    yield standby
    standby.go_on()


@pytest.fixture
def stopped(reader: Flask, standby: Standby) -> Iterator[Standby]:
    following(reader)
    standby.stop()
    yield standby
    standby.start()


# ── A replica that follows ───────────────────────────────────────────────────────────────────────────────────────────
def test_heavy_reading_goes_to_the_replica_and_all_else_does_not(reader: Flask) -> None:
    following(reader)
    assert here() is False
    assert replica.read(here) is True
    assert replica.read(here, as_of_now=True) is True
    with replica.reading() as where:
        assert (where, here()) == ("replica", True)
    assert here() is False


def test_what_was_done_a_moment_ago_is_seen_each_time(reader: Flask) -> None:
    following(reader)
    user = make_user("replica@example.com")
    places = []
    for number in range(30):
        write(user, number)

        def count() -> tuple[bool, int]:
            found = db.session.scalar(text("SELECT count(*) FROM ledger_transactions WHERE kind = 'adjustment'"))
            return here(), int(found or 0)

        where, found = replica.read(count, as_of_now=True)
        assert found == number + 1
        places.append(where)
    assert all(places)


def test_nothing_is_written_there_and_nothing_inside_a_transaction(reader: Flask) -> None:
    following(reader)
    with pytest.raises(RuntimeError, match="only read"), replica.reading(), transaction():
        pass
    with pytest.raises(InternalError, match="25006"), replica.reading():
        db.session.execute(text("UPDATE users SET email = email"))
    with transaction(), pytest.raises(RuntimeError, match="inside a transaction"):
        replica.read(here)
    assert look().state == replica.OK
    assert db.session.scalar(text("SELECT current_setting('default_transaction_read_only')")) == "off"


def test_what_was_read_before_stays_readable_and_holds_no_transaction(reader: Flask) -> None:
    following(reader)
    user = make_user("replica@example.com")
    write(user, 1)
    assert db.session.scalar(text("SELECT count(*) FROM users")) == 1
    with replica.reading(as_of_now=True):
        assert user.email == "replica@example.com"
    assert not db.session().in_transaction()


# ── One that lags, or is away ────────────────────────────────────────────────────────────────────────────────────────
def test_one_that_has_not_caught_up_shows_nobody_the_past(reader: Flask, paused: Standby) -> None:
    write(make_user("replica@example.com"), 1)
    assert replica.read(here) is True, "near enough for figures"
    assert replica.read(here, as_of_now=True) is False


def test_one_too_far_behind_is_left_alone_until_it_has_caught_up(
    reader: Flask, paused: Standby, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(reader.config, "DATABASE_REPLICA_LAG_SECONDS", 0.2)
    user = make_user("replica@example.com")
    write(user, 1)
    found = wait_until(lambda: (seen := look()).state == replica.BEHIND and seen, what="its being behind")
    assert 0.2 < found.lag < 10
    assert replica.read(here) is False
    assert told(reader) == ("degraded", "behind", ["replica"])
    paused.go_on()
    following(reader)
    assert replica.read(here) is True


def test_one_that_is_away_costs_one_try_and_nobody_an_answer(
    reader: Flask, stopped: Standby, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert replica.read(here) is False, "found out while reading"
    assert look().state == replica.AWAY
    monkeypatch.setattr(replica, "_look", lambda _memory: pytest.fail("asked again"))
    assert replica.read(here) is False
    assert replica.read(here, as_of_now=True) is False


def test_health_and_metrics_tell_and_requests_may_come(reader: Flask, stopped: Standby) -> None:
    replica.forget()
    assert told(reader) == ("degraded", "away", ["replica"])
    assert reader.test_client().get("/health/ready").status_code == 200
    assert scraped(reader)["namaskah_replica_up"] == 0
    stopped.start()
    following(reader)
    found = scraped(reader)
    assert (found["namaskah_replica_up"], told(reader)[1]) == (1, "ok")
    assert found["namaskah_replica_lag_seconds"] < 5
    assert "namaskah_oldest_doubt_seconds" in found, "the figures come from there"


def test_one_lost_in_the_middle_is_replaced_by_the_primary(reader: Flask, standby: Standby) -> None:
    following(reader)
    places = []

    def count() -> int:
        places.append(here())
        if places[-1]:  # the replica ends all sessions, as it does when it must go on replaying
            standby.ask("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'nam%'")
        return int(db.session.scalar(text("SELECT count(*) FROM users")) or 0)

    assert replica.read(count) == 0
    assert places == [True, False]
    assert replica.look().state == replica.AWAY, "left alone for some seconds"


def test_what_is_too_slow_there_is_not_asked_of_the_primary_too(reader: Flask) -> None:
    following(reader)
    asked = []

    def dawdle() -> None:
        asked.append(here())
        db.session.execute(text("SET LOCAL statement_timeout = 50"))
        db.session.execute(text("SELECT pg_sleep(1)"))

    with pytest.raises(OperationalError, match="57014"):
        replica.read(dawdle)
    assert asked == [True]
    assert replica.look().state == replica.OK


# ── None, or somebody else's ─────────────────────────────────────────────────────────────────────────────────────────
def test_without_one_everything_is_read_from_the_primary(app: Flask) -> None:
    assert (replica.look().state, replica.read(here), replica.read(here, as_of_now=True)) == ("none", False, False)
    with pytest.raises(RuntimeError, match="only read"), replica.reading(), transaction():
        pass
    with transaction():
        pass
    assert told(app)[1] == "none"
    assert "namaskah_replica_up" not in scraped(app)


@pytest.mark.parametrize("which", ["the primary itself", "another database"])
def test_what_is_no_replica_of_our_database_is_never_read(
    app: Flask, settings: dict[str, str], standby: Standby, which: str
) -> None:
    """Somebody else's rows would be shown to our customers."""
    wrong = settings["DATABASE_URL"] if which == "the primary itself" else standby.url("postgres")
    other = create_app(support.load_settings(settings | {"DATABASE_REPLICA_URL": wrong}))
    with other.app_context():
        assert look().state == replica.OTHER
        assert (
            replica.read(lambda: db.session.scalar(text("SELECT current_database()")))
            == make_url(settings["DATABASE_URL"]).database
        )
        assert told(other)[1] == "other"
        db.session.remove()
        for engine in db.engines.values():
            engine.dispose()


def test_a_role_that_may_not_ask_for_the_cluster_reads_from_the_primary(
    reader: Flask, monkeypatch: pytest.MonkeyPatch
) -> None:
    following(reader)
    monkeypatch.setattr(replica, "_PLACE", text("SELECT not_for_us()"))
    assert look().state == replica.OTHER
    assert replica.read(here) is False


def test_an_ordinary_role_may_ask_for_it(app: Flask) -> None:
    with db.engine.connect() as connection:
        connection.execute(text("CREATE ROLE ordinary"))
        connection.execute(text("SET ROLE ordinary"))
        assert connection.execute(replica._PLACE).one().cluster
        connection.rollback()


# ── What goes there ──────────────────────────────────────────────────────────────────────────────────────────────────
def read_elsewhere() -> float:
    return float(metrics.REPLICA_READS.labels("replica")._value.get())


@pytest.mark.parametrize("path", ["/wallet/statement?words=present", "/wallet/statement.csv", "/wallet/statement.pdf"])
def test_statement_files_and_searches_are_read_there_and_hold_the_last_line(reader: Flask, path: str) -> None:
    following(reader)
    user = make_user("replica@example.com", money=100_000)
    client = log_in(reader.test_client(), user)
    write(user, 7)
    before = read_elsewhere()
    answer = client.get(path)
    assert answer.status_code == 200
    assert read_elsewhere() == before + 1
    if not path.endswith("pdf"):
        assert "present 7" in answer.text


@pytest.mark.parametrize("path", ["/wallet", "/wallet/statement", "/activations"])
def test_pages_that_show_what_one_has_are_not(reader: Flask, path: str) -> None:
    following(reader)
    client = log_in(reader.test_client(), make_user("replica@example.com", money=100_000))
    before = read_elsewhere()
    assert client.get(path).status_code == 200
    assert read_elsewhere() == before


def test_the_file_of_everything_is_read_there_and_its_progress_is_written_here(reader: Flask) -> None:
    following(reader)
    user = make_user("replica@example.com", money=100_000)
    before, done = read_elsewhere(), []

    def note(number: int) -> None:
        with transaction():
            done.append(number)

    packed = zipfile.ZipFile(io.BytesIO(export_sheets.pack(user, note)))
    assert len(done) == len(export_sheets.SHEETS) + 1
    assert read_elsewhere() - before > len(export_sheets.SHEETS) / 2
    assert b"1000.00" in packed.read("statement.csv")


def told(app: Flask) -> tuple[str, str, list[str]]:
    health.forget()
    found: Any = app.test_client().get("/health").json
    return found["status"], found["replica"], [name for name in found["degraded"] if name == "replica"]


def scraped(app: Flask) -> dict[str, float]:
    app.config["METRICS_FROM"] = ("127.0.0.1",)
    lines = app.test_client().get("/metrics").text.splitlines()
    return {
        line.split(" ")[0]: float(line.split(" ")[1]) for line in lines if line and line[0] != "#" and "{" not in line
    }
