"""This machine: disk, open files, and the programs of backups."""

import resource
import shutil
import tempfile
from typing import Any

from sqlalchemy.exc import SQLAlchemyError

from namaskah.backups import programs
from namaskah.backups.problems import ProgramFailed
from namaskah.doctor import database
from namaskah.doctor.findings import Finding, bad, ok, warning

MIB = 1_048_576
LOW_MIB, EMPTY_MIB = 2_048, 256
FILES = 5_500  # the pages one web process may have open, and some for itself


def look(values: dict[str, Any]) -> list[Finding]:
    return [_disk(tempfile.gettempdir()), _files(), *_dump(_server_version(values), values["BACKUP_PROGRAMS"])]


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


def _dump(server: int | None, chosen: str) -> list[Finding]:
    """As backups look for them: in BACKUP_PROGRAMS, else in PATH and the usual folders, and neither too old nor too new
    for the server."""
    found: list[Finding] = []
    if server is None:
        return found  # the database's own findings say why
    for program in ("pg_dump", "pg_restore"):
        try:
            path = programs.find(program, server, chosen)
        except ProgramFailed as error:
            found.append(
                bad(
                    program,
                    f"does not serve: {error}",
                    "Without it no backup is made, or none restored: docs/backups.md.",
                )
            )
        else:
            found.append(ok(program, f"is {programs.major(path)}"))
    return found
