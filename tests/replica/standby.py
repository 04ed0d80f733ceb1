"""A real streaming replica of the tests' own server, made by pg_basebackup. Main thread only."""

import os
import shutil
import signal
import subprocess
import tempfile
import time
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import psycopg2
from sqlalchemy.engine import make_url

from dev import binaries
from dev.process import free_port, last_lines, spawn, stop


class Standby:
    """Started when made. `stop()` and `start()` as often as one likes; `remove()` at the end."""

    def __init__(self, primary_url: str) -> None:
        self._primary = make_url(primary_url).set(drivername="postgresql")
        self._user = binaries.postgres_account()
        self._programs = binaries.reachable_copy(binaries.find_postgres(), self._user)
        self.folder = Path(tempfile.mkdtemp(prefix="namaskah-standby-"))
        self._data = self.folder / "data"
        if self._user:
            shutil.chown(self.folder, self._user)
        self._process: subprocess.Popen[bytes] | None = None
        self.port = free_port()
        self._copy()
        self.start()

    def url(self, database: str) -> str:
        return self._primary.set(port=self.port, database=database).render_as_string(hide_password=False)

    def start(self) -> None:
        """Does nothing when it runs: a second one would be refused, or end the first when that is stopped."""
        if self._process:
            return
        # What has to be as large as at the primary is copied with the data or stands here.
        settings = ["listen_addresses=127.0.0.1", "unix_socket_directories=", "fsync=off", "max_connections=300",
                    f"port={self.port}", "max_standby_streaming_delay=1s"]  # fmt: skip
        command = [self._programs / "postgres", "-D", self._data]
        command += [part for setting in settings for part in ("-c", setting)]
        with (self.folder / "log").open("ab") as log:
            self._process = spawn(command, output=log, user=self._user, env=self._env(), death_signal=signal.SIGINT)
        until = time.monotonic() + 30
        while time.monotonic() < until and self._process.poll() is None:
            with suppress(psycopg2.OperationalError):
                self.ask("SELECT 1")
                return
            time.sleep(0.05)
        raise RuntimeError(f"the standby does not answer: {last_lines(self.folder / 'log')}")

    def stop(self) -> None:
        if self._process:
            stop(self._process, signal.SIGINT, seconds=8)
            self._process = None

    def remove(self) -> None:
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def pause(self) -> None:
        """What comes from now on is received and not shown."""
        self.ask("SELECT pg_wal_replay_pause()")
        until = time.monotonic() + 10
        while self.ask("SELECT pg_get_wal_replay_pause_state()") != "paused":
            assert time.monotonic() < until
            time.sleep(0.01)

    def go_on(self) -> None:
        self.ask("SELECT pg_wal_replay_resume()")

    def ask(self, question: str, database: str = "postgres") -> Any:
        with closing(psycopg2.connect(self.url(database), connect_timeout=2)) as connection:
            connection.autocommit = True
            with connection.cursor() as cursor:
                cursor.execute(question)
                return cursor.fetchone()[0] if cursor.description else None  # type: ignore[index]

    def _copy(self) -> None:
        source = self._primary.set(database=None).render_as_string(hide_password=False)
        command = [self._programs / "pg_basebackup", "-D", self._data, "-R", "-X", "stream", "-c", "fast", "--no-sync",
                   "-d", source]  # fmt: skip
        with (self.folder / "copy").open("wb") as log:
            code = spawn(command, output=log, user=self._user, env=self._env()).wait(120)
        if code:
            raise RuntimeError(f"pg_basebackup failed: {last_lines(self.folder / 'copy')}")

    def _env(self) -> dict[str, str]:
        return {name: value for name, value in os.environ.items() if not name.startswith("PG")}
