"""An embedded PostgreSQL: a cluster in a folder, on a loopback port, ended with the process that started it."""

import os
import shutil
import signal
import subprocess
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from time import monotonic, sleep
from typing import IO

import psycopg2

from dev import binaries
from dev.process import StartError, command_line, free_port, is_running, last_lines, spawn, stop, stop_stranger
from dev.state import Access, lock, read_access, write_access, write_private

ROLE = DATABASE = "namaskah"
_READY_WITHIN = 60.0  # seconds; recovery after a crash included
_THROWAWAY = ("fsync=off", "synchronous_commit=off", "full_page_writes=off", "max_connections=300")


@dataclass
class Postgres:
    """A running server; `stop()` ends it."""

    url: str
    process: subprocess.Popen[bytes]
    cluster: Path
    _lock: IO[str]
    _litter: Path | None

    def stop(self) -> None:
        """Fast shutdown: open connections are cut, everything committed is on disk. Twice is harmless."""
        stop(self.process, signal.SIGINT, seconds=8)
        if self._litter:
            shutil.rmtree(self.cluster.parent, ignore_errors=True)
            self._litter.unlink(missing_ok=True)
        self._lock.close()


def start_postgres(data: Path, *, durable: bool = True) -> Postgres:
    """Start the PostgreSQL whose data live in `data`, made on first use; the same port and password as last time.

    `durable=False` trades the safety of a crash for speed, for tests. Raises StartError, also when another live
    process uses `data`; a server that a killed run left behind there is ended first.
    """
    data = data.resolve()
    data.mkdir(parents=True, exist_ok=True)
    user = binaries.postgres_account()
    programs = binaries.reachable_copy(binaries.find_postgres(), user)
    cluster = binaries.reachable_folder(data / "postgres", user)
    held = lock(cluster.with_name("postgres.lock"))
    try:
        _stop_leftover(cluster)
        access = read_access(data / "postgres.json")
        if not (cluster / "PG_VERSION").exists():
            _make_cluster(programs, cluster, access.password, user, durable=durable)
        process, port = _start(programs, cluster, access, user, data / "postgres.log", durable=durable)
        write_access(data / "postgres.json", Access(port, access.password))
    except BaseException:
        held.close()
        raise
    # What lies in the caller's folder is his to keep; a throwaway cluster elsewhere nobody would ever find.
    litter = data / "postgres" if not durable and (data / "postgres").is_symlink() else None
    return Postgres(_url(port, access.password), process, cluster, held, litter)


def remembered_postgres(data: Path) -> str:
    """Where the server of `data` listens when another process has it running."""
    access = read_access(data / "postgres.json")
    return _url(access.port or 0, access.password)


def _url(port: int, password: str, database: str = DATABASE) -> str:
    return f"postgresql://{ROLE}:{password}@127.0.0.1:{port}/{database}"


def _make_cluster(programs: Path, cluster: Path, password: str, user: str | None, *, durable: bool) -> None:
    """initdb into a draft folder that is renamed when whole, so an interrupted first start leaves nothing half."""
    draft = cluster.with_name("postgres.new")
    secret = cluster.with_name("postgres.secret")
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(mode=0o700)
    write_private(secret, password)
    if user:
        shutil.chown(draft, user)
        shutil.chown(secret, user)
    log = cluster.with_name("initdb.log")
    options = [f"--username={ROLE}", "--auth=scram-sha-256", f"--pwfile={secret}", "--encoding=UTF8",
               "--locale=C.UTF-8", *([] if durable else ["--no-sync"])]  # fmt: skip
    try:
        with log.open("wb") as output:
            initdb = spawn([programs / "initdb", f"--pgdata={draft}", *options], output=output, env=_env(), user=user)
            if initdb.wait() != 0:
                raise StartError(f"PostgreSQL's initdb failed. {_advice(log)}")
    finally:
        secret.unlink(missing_ok=True)
    draft.rename(cluster)
    log.unlink(missing_ok=True)


def _start(
    programs: Path, cluster: Path, access: Access, user: str | None, log: Path, *, durable: bool
) -> tuple[subprocess.Popen[bytes], int]:
    """Start the server and wait until it answers; another port if the wanted one is snatched in between."""
    settings = ["listen_addresses=127.0.0.1", "unix_socket_directories=", "timezone=UTC", "log_timezone=UTC"]
    # Statements that fail stand in its log otherwise, with the addresses and messages in them.
    settings += ["log_min_error_statement=panic", "log_error_verbosity=terse"]
    settings += [] if durable else _THROWAWAY
    for attempt in range(3):
        port = free_port(access.port if attempt == 0 else None)
        options = [part for setting in (*settings, f"port={port}") for part in ("-c", setting)]
        with log.open("wb") as output:
            # SIGINT is PostgreSQL's fast shutdown; SIGTERM would wait for every connection to close.
            process = spawn(
                [programs / "postgres", "-D", cluster, *options],
                output=output, env=_env(), user=user, death_signal=signal.SIGINT,
            )  # fmt: skip
        try:
            if _wait_until_ready(process, port, access.password):
                return process, port
        except BaseException:
            stop(process, signal.SIGINT, seconds=8)
            raise
        if "could not bind" not in last_lines(log):
            break
    raise StartError(f"PostgreSQL did not start. {_advice(log)}")


def _wait_until_ready(process: subprocess.Popen[bytes], port: int, password: str) -> bool:
    """True once the database answers (and exists), False when the server ended by itself."""
    until = monotonic() + _READY_WITHIN
    while process.poll() is None:
        try:
            _make_database(port, password)
        except psycopg2.OperationalError as error:
            if "authentication failed" in str(error):
                raise StartError(
                    f"The PostgreSQL on port {port} refuses the password kept in postgres.json. Remove the data "
                    "folder to start anew, without what is in it."
                ) from error
            if monotonic() > until:
                raise StartError(f"PostgreSQL on port {port} does not answer: {error}") from error
            sleep(0.02)
        else:
            return True
    return False


def _make_database(port: int, password: str) -> None:
    with closing(psycopg2.connect(_url(port, password, "postgres"), connect_timeout=5)) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1 FROM pg_database WHERE datname = %s", (DATABASE,))
            if cursor.fetchone() is None:
                cursor.execute(f"CREATE DATABASE {DATABASE}")


def _stop_leftover(cluster: Path) -> None:
    """End the server a killed run left in `cluster`, known by its own arguments; never another process.

    We hold the lock, so nobody alive is using it: the server is either shutting down already or was orphaned.
    """
    try:
        pid = int((cluster / "postmaster.pid").read_text().splitlines()[0])
    except (OSError, ValueError, IndexError):
        return
    if not is_running(pid):
        return
    if str(cluster) in command_line(pid):
        stop_stranger(pid, signal.SIGINT, seconds=15)
        return
    # The number belongs to another program by now (a reboot, a new container). PostgreSQL itself cannot tell.
    with suppress(OSError):
        (cluster / "postmaster.pid").unlink()


def _env() -> dict[str, str]:
    # PGDATA, PGPORT, PGOPTIONS… of the caller's shell are about other servers.
    return {name: value for name, value in os.environ.items() if not name.startswith("PG")}


def _advice(log: Path) -> str:
    return f"Its last lines:\n{last_lines(log)}\nMend that, or set DATABASE_URL to a running PostgreSQL."
