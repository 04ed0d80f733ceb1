"""What a server's data folder remembers between starts (port, password), and the lock that makes it one run's own."""

import fcntl
import json
import os
import secrets
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO

from dev.process import StartError


class InUse(StartError):
    """Another live process uses this data folder."""


@dataclass(frozen=True)
class Access:
    """Where a server listened last and with which password."""

    port: int | None
    password: str


def read_access(file: Path) -> Access:
    """What `file` remembers, or a fresh password and no port."""
    try:
        kept = json.loads(file.read_text())
        return Access(int(kept["port"]), str(kept["password"]))
    except (OSError, ValueError, KeyError, TypeError):
        return Access(None, secrets.token_hex(16))


def write_access(file: Path, access: Access) -> None:
    """Keep `access` in `file`, readable by its owner alone."""
    write_private(file, json.dumps(asdict(access)))


def write_private(file: Path, text: str) -> None:
    """Write `text` to `file` with mode 0600 from its first byte on, all or nothing."""
    draft = file.with_name(file.name + ".new")
    draft.unlink(missing_ok=True)
    with os.fdopen(os.open(draft, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w") as out:
        out.write(text)
    draft.replace(file)


def lock(file: Path) -> IO[str]:
    """Hold `file` locked until the returned handle is closed or this process dies, however it dies.

    Raises InUse when another live process holds it, naming that process.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    handle = file.open("a+")
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        handle.seek(0)
        holder = handle.read().strip()
        handle.close()
        raise InUse(f"{file.parent} is in use by process {holder}: stop that one first.") from None
    handle.truncate(0)
    handle.write(str(os.getpid()))
    handle.flush()
    return handle
