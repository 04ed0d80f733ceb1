"""This machine: disk, open files, and the program that makes backups."""

import re
import resource
import shutil
import subprocess
import tempfile
from typing import Any

from sqlalchemy.exc import SQLAlchemyError

from namaskah.doctor import database
from namaskah.doctor.findings import Finding, bad, ok, warning

MIB = 1_048_576
LOW_MIB, EMPTY_MIB = 2_048, 256
FILES = 5_500  # the pages one web process may have open, and some for itself


def look(values: dict[str, Any]) -> list[Finding]:
    return [_disk(tempfile.gettempdir()), _files(), _dump(_server_version(values))]


def _disk(folder: str) -> Finding:
    free = shutil.disk_usage(folder).free // MIB
    says = f"{free} MiB free in {folder}"
    if free < EMPTY_MIB:
        return bad("disk", says, "Make room: uploads, papers and backups pass through here.")
    if free < LOW_MIB:
        return warning("disk", says, "Make room before a backup needs it.")
    return ok("disk", says)


def _files() -> Finding:
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    if hard != resource.RLIM_INFINITY and hard < FILES:
        mend = "Raise it: LimitNOFILE=65536 (systemd), ulimits.nofile (containers)."
        return warning("open files", f"{hard} allowed, every open page is one", mend)
    return ok("open files", "enough are allowed")


def _server_version(values: dict[str, Any]) -> int | None:
    try:
        with database.connect(values).connect() as connection:
            return database.version(connection)
    except (SQLAlchemyError, KeyError):
        return None


def _dump(server: int | None) -> Finding:
    program = shutil.which("pg_dump")
    mend = f"Install postgresql-client-{server or database.NEWEST} on the hosts of web and worker."
    if not program:
        return bad("pg_dump", "is not here: no backup can be made", mend)
    told = subprocess.run(  # noqa: S603 (a program of the machine, no shell)
        [program, "--version"], capture_output=True, text=True, timeout=10, check=False
    )
    found = re.search(r"(\d+)", told.stdout)
    if found is None:
        return bad("pg_dump", "does not tell its version", mend)
    if server and int(found[1]) < server:
        return bad("pg_dump", f"is {found[1]}, the server {server}: it refuses to read a newer one", mend)
    return ok("pg_dump", f"is {found[1]}")
