"""pg_dump and pg_restore: where they are, whether they are new enough, and running them.

Passwords go to them through their environment; their arguments, which anybody on the machine can read, name none.
"""

import os
import re
import shutil
import subprocess
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from flask import current_app
from sqlalchemy.engine import make_url

from namaskah.backups.problems import ProgramFailed
from namaskah.backups.stores import Readable

USUAL = ("usr/lib/postgresql/*/bin", "usr/pgsql-*/bin", "opt/homebrew/opt/postgresql@*/bin")
# What of our environment they get: none of our secrets.
PASSED_ON = ("PATH", "HOME", "LD_LIBRARY_PATH", "TMPDIR", "TZ", "PGPASSFILE")
# A migration that waits behind us would make every customer wait behind it.
LOCK_WAIT = "30s"
# From this version on a restore begins by setting transaction_timeout, which older servers do not know.
SETS_MORE = 17
# These repeat the row they are about.
QUOTING = re.compile(r"^(DETAIL|CONTEXT|HINT|STATEMENT|COPY )")
SECONDS_TO_END = 20


def find(program: str, version: int, chosen: str | None = None) -> Path:
    """The program for a server of this major version of PostgreSQL: of the same, or the next newer one there is.
    `chosen`: BACKUP_PROGRAMS, where there is no application. Raises ProgramFailed."""
    found: dict[int, Path] = {}
    for folder in _folders(current_app.config["BACKUP_PROGRAMS"] if chosen is None else chosen):
        path = folder / program
        if (its := major(path)) is not None:
            found.setdefault(its, path)
    fitting = [its for its in found if version <= its and (its < SETS_MORE or version >= SETS_MORE)]
    if fitting:
        return found[min(fitting)]
    have = f"only of PostgreSQL {' and '.join(map(str, sorted(found)))}" if found else "nowhere on this machine"
    raise ProgramFailed(
        f"{program} is {have}, and the server is PostgreSQL {version}: install postgresql-client-{version}, "
        "or set BACKUP_PROGRAMS to the folder it is in"
    )


@contextmanager
def dump(url: str, version: int, snapshot: str, starts: Callable[[str], None]) -> Iterator[Readable]:
    """A database as pg_dump sees it in a snapshot, compressed; its read() raises ProgramFailed when that fails.
    `starts` is called with the name of each table as its rows begin."""
    address, environment = _connection(url)
    command = [
        *(str(find("pg_dump", version)), f"--dbname={address}", "--format=custom", "--compress=6", "--no-password"),
        *(f"--snapshot={snapshot}", f"--lock-wait-timeout={LOCK_WAIT}", "--verbose"),
    ]

    def watch(line: str) -> None:
        if found := re.search(r'dumping contents of table "?([\w."]+?)"?$', line):
            starts(found[1].replace('"', ""))

    with _running(command, environment, watch, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE) as program:
        yield program


@contextmanager
def restore(url: str, version: int) -> Iterator["Program"]:
    """An empty database being filled by what is written here: all of it, or nothing. Call finish() at the end; when
    the block is left before that, nothing is restored."""
    address, environment = _connection(url)
    command = [
        *(str(find("pg_restore", version)), f"--dbname={address}", "--no-password", "--no-owner", "--no-privileges"),
        *("--single-transaction", "--exit-on-error"),
    ]
    with _running(command, environment, None, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL) as program:
        yield program


class Program:
    """One of them at work: read its output or write its input."""

    def __init__(self, process: "subprocess.Popen[bytes]", name: str, watch: Callable[[str], None] | None) -> None:
        self._process, self._name, self._watch = process, name, watch
        self._said: deque[str] = deque(maxlen=40)
        self._listener = threading.Thread(target=self._listen, name=name, daemon=True)
        self._listener.start()

    def read(self, size: int = -1) -> bytes:
        assert self._process.stdout is not None
        chunk = self._process.stdout.read(size)
        if not chunk:
            self._require_success()
        return chunk

    def write(self, data: bytes) -> None:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(data)
        except BrokenPipeError:
            self._require_success()
            raise ProgramFailed(f"{self._name} stopped before the end of the backup") from None

    def finish(self) -> None:
        """Nothing more comes; wait until all of it is committed. Raises ProgramFailed."""
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):
            self._process.stdin.close()
        self._require_success()

    def kill(self) -> None:
        """End it at once: what it did is rolled back."""
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()

    def _listen(self) -> None:
        assert self._process.stderr is not None
        for raw in self._process.stderr:
            line = raw.decode("utf-8", "replace").rstrip()
            if self._watch:
                self._watch(line)
            if not QUOTING.match(line.removeprefix(f"{self._name}: ").strip()):
                self._said.append(line)

    def _require_success(self) -> None:
        code = self._process.wait()
        self._listener.join(SECONDS_TO_END)
        if code:
            errors = [line for line in self._said if "error" in line or "fatal" in line] or list(self._said)[-3:]
            raise ProgramFailed(f"{self._name} failed: {' / '.join(errors)[:600] or f'exit code {code}'}")


@contextmanager
def _running(
    command: list[str],
    environment: dict[str, str],
    watch: Callable[[str], None] | None,
    *,
    stdin: int,
    stdout: int,
) -> Iterator[Program]:
    process = subprocess.Popen(  # noqa: S603 (our own arguments, no shell)
        command, env=environment, stdin=stdin, stdout=stdout, stderr=subprocess.PIPE
    )
    program = Program(process, Path(command[0]).name, watch)
    try:
        yield program
    finally:
        program.kill()
        for pipe in (process.stdin, process.stdout):
            _close(pipe)


def _close(pipe: IO[bytes] | None) -> None:
    with suppress(OSError):
        if pipe:
            pipe.close()


def _connection(url: str) -> tuple[str, dict[str, str]]:
    """The address without its password, and an environment with it."""
    address = make_url(url).set(drivername="postgresql")
    password = str(address.password or address.query.get("password", ""))
    address = address.difference_update_query(["password"])._replace(password=None)
    names = {name for name in os.environ if name.startswith("PGSSL")} | set(PASSED_ON)
    environment = {name: os.environ[name] for name in names if name in os.environ}
    environment |= {"LC_ALL": "C", "PGAPPNAME": "namaskah backup", "PGCONNECT_TIMEOUT": "10"}
    return address.render_as_string(hide_password=False), environment | ({"PGPASSWORD": password} if password else {})


def _folders(chosen: str) -> Iterator[Path]:
    if chosen:
        yield Path(chosen)
        return
    if found := shutil.which("pg_dump"):
        yield Path(found).parent
    for pattern in USUAL:
        yield from sorted(Path("/").glob(pattern))


def major(program: Path) -> int | None:
    """The major version of a program; None when it is not there or does not run."""
    try:
        said = subprocess.run(  # noqa: S603 (a program of the machine, no shell)
            [str(program), "--version"], capture_output=True, text=True, check=False, timeout=10
        ).stdout
    except (OSError, subprocess.TimeoutExpired):
        return None
    found = re.search(r"\(PostgreSQL\) (\d+)", said)
    return int(found[1]) if found else None
