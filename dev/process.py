"""Child processes that cannot outlive us: own session, signalled by the kernel when we die, stopped by group."""

import ctypes
import os
import pwd
import random
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from time import monotonic, sleep
from typing import IO

_PR_SET_PDEATHSIG = 1
# Linux gives calls out ports from 32768 on, others higher ones.
_NOT_FOR_CALLS = range(20_000, 32_000)
_given: set[int] = set()  # by this process: what is not listened on yet is not given twice
_libc = ctypes.CDLL(None) if sys.platform == "linux" else None


class StartError(Exception):
    """A server or program could not be started; the message says what to do about it."""


def spawn(
    args: Sequence[str | Path],
    *,
    output: int | IO[bytes],
    env: Mapping[str, str] | None = None,
    cwd: Path = Path("/"),
    user: str | None = None,
    death_signal: signal.Signals = signal.SIGTERM,
) -> subprocess.Popen[bytes]:
    """Start `args` in a session of its own, standard output and error together going to `output`.

    `user` (root only) is the account to drop to. `death_signal` is what the kernel sends when this process
    dies, however it dies (Linux; elsewhere only an orderly stop ends the child). Raises StartError.
    """
    if threading.current_thread() is not threading.main_thread():
        # The kernel's death signal follows the *thread* that forked: a helper thread would take the child along.
        raise StartError("Servers must be started from the main thread.")
    try:
        return subprocess.Popen(
            [str(arg) for arg in args],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=env,
            cwd=cwd,
            start_new_session=True,
            preexec_fn=_die_with(os.getpid(), death_signal),
            user=user,
            group=pwd.getpwnam(user).pw_gid if user else None,
            extra_groups=[] if user else None,
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise StartError(f"{args[0]} could not be started: {error}") from error


def _die_with(parent: int, death_signal: signal.Signals) -> Callable[[], None] | None:
    if _libc is None:
        return None
    prctl = _libc.prctl

    def ask_kernel() -> None:
        prctl(_PR_SET_PDEATHSIG, int(death_signal))
        if os.getppid() != parent:  # the parent died between fork and prctl: nobody would ever tell us
            os._exit(1)

    return ask_kernel


def stop(child: subprocess.Popen[bytes], first: signal.Signals, seconds: float) -> None:
    """Ask `child` to end with the signal `first`; after `seconds`, and for what it left behind, kill its group."""
    if child.poll() is None:
        child.send_signal(first)
        with suppress(subprocess.TimeoutExpired):
            child.wait(seconds)
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(child.pid, signal.SIGKILL)
    child.wait()


def stop_stranger(pid: int, first: signal.Signals, seconds: float) -> None:
    """End a process that is not our child, by signal `first`, after `seconds` by SIGKILL; wait until it is gone."""
    for sent in (first, signal.SIGKILL):
        with suppress(ProcessLookupError):
            os.kill(pid, sent)
        until = monotonic() + seconds
        while monotonic() < until:
            if not is_running(pid):
                return
            sleep(0.02)
    raise StartError(f"Process {pid} does not end; stop it by hand.")


def is_running(pid: int) -> bool:
    """Whether `pid` exists and is more than a zombie."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    stat = Path(f"/proc/{pid}/stat")
    try:
        return stat.read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return not stat.parent.parent.joinpath("self").exists()  # /proc has it no more, or there is no /proc


def command_line(pid: int) -> list[str]:
    """The arguments `pid` was started with; empty when it is gone. Without /proc (macOS) `ps` tells."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_text(errors="replace").split("\0")
    except OSError:
        if Path("/proc/self").exists():
            return []
    ps = subprocess.run(["ps", "-o", "args=", "-p", str(pid)], capture_output=True, text=True, check=False)
    return ps.stdout.split()


def free_port(wanted: int | None = None) -> int:
    """`wanted` if nothing listens there on the loopback, else a free one.

    Not one of those the system gives to calls out: between our look and the server's start any of these may be taken by
    a program that only calls somebody.
    """
    if wanted and port_is_free(wanted):
        return wanted
    for port in random.sample(_NOT_FOR_CALLS, 50):
        if port not in _given and port_is_free(port):
            _given.add(port)
            return port
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def port_is_free(port: int, host: str = "127.0.0.1") -> bool:
    """Whether a server could listen on `host`:`port` now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


def last_lines(log: Path, count: int = 12) -> str:
    """The end of a log file, for an error message."""
    try:
        return "\n".join(log.read_text(errors="replace").splitlines()[-count:])
    except OSError:
        return ""
