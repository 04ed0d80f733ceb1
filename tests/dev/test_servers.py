"""The embedded servers: they answer, keep what they hold, and nothing outlives whoever started them."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from time import monotonic, sleep

import psycopg2
import pytest
from redis import Redis

from dev.binaries import reachable_folder
from dev.process import StartError, is_running
from dev.servers import servers, shared_servers, start_postgres, start_redis

ROOT = Path(__file__).parents[2]


@pytest.fixture
def data() -> Iterator[Path]:
    """A data folder any account can reach; pytest's own are closed to all but their owner."""
    folder = Path(tempfile.mkdtemp(prefix="namaskah-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


def query(url: str, *statements: str) -> list[tuple[object, ...]]:
    """Run the statements, each for good, and give the rows of the last."""
    with closing(psycopg2.connect(url)) as connection, connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)
        connection.commit()
        return list(cursor.fetchall()) if cursor.description else []


def wait_for(fact: Callable[[], object], seconds: float = 15) -> None:
    until = monotonic() + seconds
    while not fact():
        assert monotonic() < until, "it did not happen in time"
        sleep(0.05)


def processes_of(folder: Path) -> list[int]:
    """Every process working in or below `folder`, as both servers and their children do."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            place = (entry / "cwd").readlink()
        except OSError:
            continue
        if place.is_relative_to(folder) and is_running(int(entry.name)):
            found.append(int(entry.name))
    return found


def test_both_answer_and_nothing_is_left_when_the_block_ends(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DATABASE_URL", raising=False)
    monkeypatch.delenv("REDIS_URL", raising=False)
    with servers(data, durable=False) as running:
        assert query(running.database_url, "SHOW server_encoding") == [("UTF8",)]
        assert query(running.database_url, "SHOW max_connections") == [("300",)]
        assert Redis.from_url(running.redis_url).incr("counter") == 1
        assert len(processes_of(data)) >= 2
    assert processes_of(data) == []


def test_servers_of_the_environment_are_used_as_they_are(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://elsewhere/namaskah")
    monkeypatch.setenv("REDIS_URL", "redis://elsewhere")
    with servers(data) as running:
        assert (running.database_url, running.redis_url) == ("postgresql://elsewhere/namaskah", "redis://elsewhere")
        assert list(data.iterdir()) == []


def test_a_second_start_has_the_same_address_and_the_same_rows(data: Path) -> None:
    first = start_postgres(data)
    query(first.url, "CREATE TABLE kept (word text)", "INSERT INTO kept VALUES ('naïve ₦')")
    first.stop()
    second = start_postgres(data)
    try:
        assert second.url == first.url
        assert query(second.url, "SELECT word FROM kept") == [("naïve ₦",)]
        assert query(second.url, "SHOW fsync") == [("on",)]
    finally:
        second.stop()


def test_a_port_taken_meanwhile_is_left_to_its_owner(data: Path) -> None:
    first = start_redis(data / "one")
    (data / "two").mkdir()
    shutil.copy(data / "one/redis.json", data / "two")
    second = start_redis(data / "two")
    try:
        assert first.url != second.url
        assert Redis.from_url(first.url).ping()
        assert Redis.from_url(second.url).ping()
    finally:
        second.stop()
        first.stop()


def test_a_wrong_password_is_refused_and_the_kept_one_is_private(data: Path) -> None:
    running = start_postgres(data, durable=False)
    try:
        with pytest.raises(psycopg2.OperationalError, match="authentication failed"):
            query(running.url.replace("namaskah:", "namaskah:x", 1), "SELECT 1")
        assert (data / "postgres.json").stat().st_mode & 0o777 == 0o600
    finally:
        running.stop()


def test_two_runs_cannot_share_a_folder(data: Path) -> None:
    running = start_redis(data)
    try:
        with pytest.raises(StartError, match=f"in use by process {os.getpid()}"):
            start_redis(data)
        assert Redis.from_url(running.url).ping()
    finally:
        running.stop()


def test_a_command_beside_make_run_uses_its_servers_and_alone_starts_them(data: Path) -> None:
    with servers(data, durable=False, environ={}) as running:
        with shared_servers(data, {}) as shared:
            assert (shared.database_url, shared.redis_url) == (running.database_url, running.redis_url)
        assert query(running.database_url, "SELECT 1") == [(1,)]
    with shared_servers(data, {}) as alone:
        assert query(alone.database_url, "SELECT 1") == [(1,)]
    assert processes_of(data) == []


PARENT = """
import sys, time
from pathlib import Path
from dev.servers import servers
with servers(Path(sys.argv[1]), durable=False) as running:
    print(running.database_url, flush=True)
    time.sleep(600)
"""


def start_parent(data: Path) -> tuple[subprocess.Popen[str], str]:
    """A process holding both servers, from another folder than the project's; and its database's address."""
    env = {name: value for name, value in os.environ.items() if name not in ("DATABASE_URL", "REDIS_URL")}
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, str(data)],
        stdout=subprocess.PIPE,
        text=True,
        cwd="/",
        env=env | {"PYTHONPATH": str(ROOT)},
    )
    assert parent.stdout
    return parent, parent.stdout.readline().strip()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells children of their parent's death")
def test_sigkill_of_the_parent_ends_the_servers_and_the_next_start_works(data: Path) -> None:
    parent, url = start_parent(data)
    query(url, "CREATE TABLE kept (word text)")
    parent.kill()
    parent.communicate()
    wait_for(lambda: not processes_of(data))
    again = start_postgres(data, durable=False)
    assert query(again.url, "SELECT * FROM kept") == []
    again.stop()
    assert processes_of(data) == []


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_server_left_behind_is_ended_but_a_stranger_with_its_number_is_not(data: Path) -> None:
    running = start_postgres(data, durable=False)
    orphan = running.process.pid
    running._lock.close()  # what the kernel does for a killed run; the server itself goes on
    again = start_postgres(data, durable=False)
    assert running.process.wait(1) == 0
    assert again.process.pid != orphan
    again.stop()
    stranger = subprocess.Popen(["sleep", "600"])
    try:
        (again.cluster / "postmaster.pid").write_text(f"{stranger.pid}\n")
        third = start_postgres(data, durable=False)
        third.stop()
        assert stranger.poll() is None
    finally:
        stranger.send_signal(signal.SIGKILL)
        stranger.wait()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root runs PostgreSQL under another account")
def test_a_folder_closed_to_postgres_gets_a_link_and_throwaway_data_go_with_the_server(data: Path) -> None:
    closed = data / "closed"
    closed.mkdir(mode=0o700)
    running = start_postgres(closed, durable=False)
    assert (closed / "postgres").is_symlink()
    away = running.cluster.parent
    assert query(running.url, "SELECT 1") == [(1,)]
    running.stop()
    assert not away.exists()
    assert not (closed / "postgres").is_symlink()
    assert reachable_folder(data / "postgres", "nobody") == data / "postgres"
