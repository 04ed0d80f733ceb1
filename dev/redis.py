"""An embedded Redis (Valkey): memory only, on a loopback port, ended with the process that started it."""

import signal
import subprocess
from dataclasses import dataclass
from pathlib import Path
from time import monotonic, sleep
from typing import IO

from redis import Redis as Client
from redis.exceptions import AuthenticationError, RedisError

from dev import binaries
from dev.process import StartError, free_port, last_lines, spawn, stop
from dev.state import Access, lock, read_access, write_access

_READY_WITHIN = 20.0  # seconds


@dataclass
class Redis:
    """A running server; `stop()` ends it."""

    url: str
    process: subprocess.Popen[bytes]
    _lock: IO[str]

    def stop(self) -> None:
        """End it; what it held is gone, as nothing that matters is kept there. Twice is harmless."""
        stop(self.process, signal.SIGTERM, seconds=3)
        self._lock.close()


def start_redis(data: Path) -> Redis:
    """Start a Redis whose port and password are remembered in `data`; raises StartError."""
    data = data.resolve()
    data.mkdir(parents=True, exist_ok=True)
    held = lock(data / "redis.lock")
    try:
        access = read_access(data / "redis.json")
        process, port = _start(data, access)
        write_access(data / "redis.json", Access(port, access.password))
    except BaseException:
        held.close()
        raise
    return Redis(_url(port, access.password), process, held)


def remembered_redis(data: Path) -> str:
    """Where the server of `data` listens when another process has it running."""
    access = read_access(data / "redis.json")
    return _url(access.port or 0, access.password)


def _url(port: int, password: str) -> str:
    return f"redis://:{password}@127.0.0.1:{port}/0"


def _start(data: Path, access: Access) -> tuple[subprocess.Popen[bytes], int]:
    server = binaries.find_redis()
    log = data / "redis.log"
    for attempt in range(3):
        port = free_port(access.port if attempt == 0 else None)
        with log.open("wb") as output:
            # `ps` shows this password; it only keeps other programs of this machine from writing here by mistake.
            process = spawn(
                [server, "--bind", "127.0.0.1", "--port", str(port), "--requirepass", access.password,
                 "--save", "", "--appendonly", "no", "--dir", data],
                output=output,
                death_signal=signal.SIGKILL,  # nothing to save
            )  # fmt: skip
        try:
            if _wait_until_ready(process, port, access.password):
                return process, port
        except BaseException:
            stop(process, signal.SIGTERM, seconds=3)
            raise
        if "Address already in use" not in last_lines(log):
            break
    raise StartError(f"Redis did not start. Its last lines:\n{last_lines(log)}\nMend that, or set REDIS_URL.")


def _wait_until_ready(process: subprocess.Popen[bytes], port: int, password: str) -> bool:
    """True once it answers, False when it ended by itself."""
    until = monotonic() + _READY_WITHIN
    with Client(host="127.0.0.1", port=port, password=password, socket_timeout=2) as client:
        while process.poll() is None:
            try:
                return bool(client.ping())
            except AuthenticationError as error:
                raise StartError(f"Another Redis answers on port {port}.") from error
            except RedisError as error:
                if monotonic() > until:
                    raise StartError(f"Redis on port {port} does not answer: {error}") from error
                sleep(0.02)
    return False
