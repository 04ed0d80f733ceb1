"""What a person sees of `make run`: steps with their time, a box with the addresses, lines of the programs."""

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from select import POLLHUP, poll
from time import monotonic


class Screen:
    """Our own lines on standard output: coloured on a terminal, plain elsewhere, silent once nobody reads them."""

    def __init__(self) -> None:
        """Look once at what standard output is."""
        self.is_terminal = sys.stdout.isatty()
        self.colours = self.is_terminal and "NO_COLOR" not in os.environ
        self._under_way = ""
        with suppress(AttributeError):
            sys.stdout.reconfigure(errors="replace")  # type: ignore[union-attr]

    def line(self, text: str = "") -> None:
        """Write one line, above that of the step under way."""
        self._write(f"{self._wipe()}{text}\n{self._under_way}")

    def paint(self, text: str, colour: str) -> str:
        """`text` in an ANSI colour where there are colours."""
        return f"\033[{colour}m{text}\033[0m" if self.colours else text

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Show `name` while the block runs; a tick and its seconds when it is through, a cross when it is not."""
        began = monotonic()
        self._under_way = f"  … {name}" if self.is_terminal else ""
        self._write(self._under_way)
        mark = self.paint("✗", "31")
        try:
            yield
            mark = self.paint("✓", "32")
        finally:
            wipe, self._under_way = self._wipe(), ""
            self._write(f"{wipe}  {mark} {name:<28}{monotonic() - began:5.1f} s\n")

    def box(self, rows: Sequence[tuple[str, str]]) -> None:
        """A frame around rows of a name and an address."""
        widest = max(len(name) for name, _ in rows)
        lines = [f"  {name:<{widest}}   {address}" for name, address in rows]
        width = max(map(len, lines)) + 2
        body = [f"│{line:<{width}}│" for line in lines]
        for line in ("", f"╭{'─' * width}╮", *body, f"╰{'─' * width}╯"):
            self.line(line)

    def has_gone(self) -> bool:
        """Whether the terminal we write to was closed. Its shell tells us by SIGHUP, but not every terminal has one."""
        if not self.is_terminal:
            return False
        watcher = poll()
        watcher.register(sys.stdout.fileno(), 0)
        return any(happened & POLLHUP for _, happened in watcher.poll(0))

    def _wipe(self) -> str:
        return "\r\033[K" if self._under_way else ""

    def _write(self, text: str) -> None:
        # A closed terminal must not keep us from stopping what we started.
        with suppress(OSError, ValueError):
            sys.stdout.write(text)
            sys.stdout.flush()
