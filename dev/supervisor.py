"""Runs programs side by side in one terminal: their output, their end, and everything stopped when one of them dies."""

import os
import re
import selectors
import signal
import subprocess
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from select import select
from time import monotonic, sleep
from types import FrameType, TracebackType
from typing import BinaryIO, NoReturn

from dev.process import StartError, last_lines, spawn, stop
from dev.screen import Screen

_WORTH_SHOWING = re.compile(r"\b(warning|error|critical|exception|traceback)\b|Error\b", re.IGNORECASE)
_COLOURS = ("36", "35", "34", "32", "33")
_KEPT_LINES = 25


class Interrupted(BaseException):
    """Somebody asked us to stop: Ctrl-C, SIGTERM, or the terminal was closed."""


class ChildDied(StartError):
    """A program ended that should not have, or failed; the message has its name and its last lines."""


@dataclass
class Child:
    """One program under watch. `grace` seconds are its share of an orderly stop."""

    name: str
    process: subprocess.Popen[bytes]
    colour: str
    grace: float = 3.0
    log: BinaryIO | None = None
    tail: deque[str] = field(default_factory=lambda: deque(maxlen=_KEPT_LINES))
    unfinished: bytes = b""
    showing: bool = False  # the line before was worth showing, so indented ones after it are its continuation


class Supervisor:
    """Starts programs, shows what they have to say, and stops them in the order given by `__exit__`: last one first."""

    def __init__(self, screen: Screen, logs: Path, *, cwd: Path, verbose: bool = False) -> None:
        """`logs` gets one file a program; `verbose` shows every line here too."""
        self.screen, self.logs, self.cwd, self.verbose = screen, logs, cwd, verbose
        self._children: list[Child] = []
        self._selector = selectors.DefaultSelector()

    def __enter__(self) -> "Supervisor":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for child in reversed(self._children):
            self._stop(child)
        self._selector.close()

    def start(self, name: str, args: Sequence[str | Path], env: Mapping[str, str], *, grace: float = 3.0) -> None:
        """Start a program that is to run until we stop it; raises StartError."""
        self.logs.mkdir(parents=True, exist_ok=True)
        child = self._spawn(name, args, env, grace)
        child.log = (self.logs / f"{name}.log").open("wb")
        self._children.append(child)

    def run(self, name: str, args: Sequence[str | Path], env: Mapping[str, str]) -> list[str]:
        """Run a program to its end and give the lines it wrote; raises ChildDied when it, or another one, fails."""
        child = self._spawn(name, args, env, grace=2.0)
        child.tail = deque()
        try:
            while child.process.poll() is None:
                self.pump()
        finally:
            self._stop(child)
        if child.process.returncode != 0:
            raise ChildDied(_obituary(child))
        return list(child.tail)

    def wait_until(self, name: str, ready: Callable[[], bool], seconds: float) -> None:
        """Watch until `ready()`; raises ChildDied when a program ends first, StartError after `seconds`."""
        until = monotonic() + seconds
        while not ready():
            self.pump(0.05)
            if monotonic() > until:
                raise StartError(
                    f"{name} does not answer after {seconds:.0f} s.\n{last_lines(self.logs / f'{name}.log')}"
                )

    def watch(self, others: Mapping[str, subprocess.Popen[bytes]]) -> NoReturn:
        """Show output until a program, or one of `others`, ends: raises ChildDied then and never returns."""
        while True:
            self.pump()
            for name, process in others.items():
                if process.poll() is not None:
                    raise ChildDied(f"{name} has ended ({_reason(process.returncode)}).")

    def pump(self, seconds: float = 0.2) -> None:
        """Pass on what was written, waiting up to `seconds` for it; raises ChildDied when a program has ended."""
        for key, _ in self._selector.select(seconds):
            self._read(key.data)
        for child in self._children:
            if child.process.poll() is not None:
                self._drain(child)
                raise ChildDied(_obituary(child))
        if self.screen.has_gone():
            signal.raise_signal(signal.SIGHUP)

    def _stop(self, child: Child) -> None:
        """SIGTERM, then read what it still says until it ends or its grace is over, then SIGKILL for its group."""
        until = monotonic() + child.grace
        if child.process.poll() is None:
            child.process.terminate()
        while child.process.poll() is None and monotonic() < until:
            self._drain(child, seconds=0.02)
        stop(child.process, signal.SIGKILL, seconds=0)
        self._drain(child)
        if child.log:
            child.log.close()

    def _drain(self, child: Child, seconds: float = 0) -> None:
        # A grandchild may hold the pipe open for ever, so this ends when there is nothing to read, not at its end.
        assert child.process.stdout
        while not child.process.stdout.closed and select([child.process.stdout], [], [], seconds)[0]:
            self._read(child)
        if child.process.stdout.closed:
            sleep(seconds)

    def _spawn(self, name: str, args: Sequence[str | Path], env: Mapping[str, str], grace: float) -> Child:
        process = spawn(args, output=subprocess.PIPE, env=env, cwd=self.cwd)
        child = Child(name, process, _COLOURS[len(self._children) % len(_COLOURS)], grace)
        assert process.stdout
        self._selector.register(process.stdout, selectors.EVENT_READ, child)
        return child

    def _read(self, child: Child) -> None:
        assert child.process.stdout
        got = os.read(child.process.stdout.fileno(), 65536)
        if child.log:
            child.log.write(got)
            child.log.flush()
        *lines, child.unfinished = (child.unfinished + got).split(b"\n")
        if not got:
            self._selector.unregister(child.process.stdout)
            child.process.stdout.close()
            lines = [child.unfinished] if child.unfinished else []
        for raw in lines:
            self._show(child, raw.decode(errors="replace").rstrip())

    def _show(self, child: Child, line: str) -> None:
        child.tail.append(line)
        # A line at INFO may name gunicorn's logger, which is called gunicorn.error.
        child.showing = bool(_WORTH_SHOWING.search(line) and " INFO " not in line) or (
            child.showing and line[:1] in (" ", "\t", "}")
        )
        if self.verbose or child.showing:
            self.screen.line(f"{self.screen.paint(f'{child.name:>8} |', child.colour)} {line}")


def until_stopped(screen: Screen, work: Callable[[], NoReturn]) -> int:
    """Do `work` until somebody asks us to stop (0) or something fails (1, after saying what); main thread only."""
    _catch_signals()
    try:
        work()
    except Interrupted:
        screen.line("\nStopped.")
        return 0
    except StartError as error:
        screen.line("\n" + screen.paint(str(error), "31"))
        screen.line("Stopped.")
        return 1


def _catch_signals() -> None:
    """The first Ctrl-C, SIGTERM or closing of the terminal raises Interrupted; later ones wait for the stop."""
    wanted = [signal.SIGINT, signal.SIGTERM]
    if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:  # nohup asked to survive it
        wanted.append(signal.SIGHUP)

    def interrupt(number: int, frame: FrameType | None) -> None:
        for each in wanted:
            signal.signal(each, signal.SIG_IGN)
        raise Interrupted(signal.Signals(number).name)

    for each in wanted:
        signal.signal(each, interrupt)


def _obituary(child: Child) -> str:
    last = "\n".join(f"    {line}" for line in list(child.tail)[-_KEPT_LINES:])
    return f"{child.name} has ended ({_reason(child.process.returncode)}). Its last lines:\n{last}"


def _reason(returncode: int) -> str:
    return f"signal {signal.Signals(-returncode).name}" if returncode < 0 else f"exit code {returncode}"
