"""`make run`: the whole of Namaskah on this machine, from nothing to an address to open; Ctrl-C stops all of it."""

import http.client
import json
import os
import sys
from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path
from typing import NoReturn

from dev.binaries import find_postgres
from dev.process import StartError, port_is_free
from dev.screen import Screen
from dev.servers import servers
from dev.settings import PORTS, development
from dev.supervisor import Supervisor, until_stopped

ROOT = Path(__file__).resolve().parents[1]
DATA = ROOT / ".data"
FLASK = (sys.executable, "-m", "flask", "--app", "wsgi")
LOOPBACK = "127.0.0.1"
EVERYWHERE = ("0.0.0.0", "::", "")  # noqa: S104 — compared with, never bound to


def main() -> int:
    """Start everything and watch it; the exit code is 0 after an asked-for stop, else 1."""
    screen = Screen()
    screen.line("Namaskah, for development\n")
    return until_stopped(screen, lambda: run(screen))


def run(screen: Screen) -> NoReturn:
    """Servers first, then what stands on them; watches for ever, so it ends by an exception only."""
    DATA.mkdir(exist_ok=True)  # open to PostgreSQL's account
    os.umask(0o077)  # logs and the sandbox's mailbox hold passwords and links that sign in
    settings = development(os.environ, ROOT, DATA)
    with ExitStack() as stack:
        with screen.step("PostgreSQL and Redis"):
            running = stack.enter_context(servers(DATA, environ=settings))
        settings |= {"DATABASE_URL": running.database_url, "REDIS_URL": running.redis_url}
        if "postgres" in running.embedded:
            settings.setdefault("BACKUP_PROGRAMS", str(find_postgres()))  # the machine's may be too old for it
        check_ports(settings)
        verbose = settings.get("VERBOSE", "0") not in ("0", "no", "false")
        supervisor = stack.enter_context(Supervisor(screen, DATA / "log", cwd=ROOT, verbose=verbose))
        accounts = prepare(screen, supervisor, settings)
        serve(screen, supervisor, settings)
        show_addresses(screen, settings, accounts)
        supervisor.watch(running.embedded)


def check_ports(settings: dict[str, str]) -> None:
    """Raises StartError naming every port that is taken and the setting that changes it."""
    taken = [
        name
        for name in PORTS
        if not port_is_free(int(settings[name]), web_host(settings) if name == "PORT" else LOOPBACK)
    ]
    if taken:
        lines = [f"Port {settings[name]} is taken: choose another with {name}=…" for name in taken]
        example = " ".join(f"{name}={int(settings[name]) + 100}" for name in taken)
        raise StartError("\n".join([*lines, f"For instance: make run {example}"]))


def prepare(screen: Screen, supervisor: Supervisor, settings: dict[str, str]) -> list[dict[str, str]]:
    """Schema, catalogue, sandbox, offers; gives the demo accounts if they were made just now."""
    supervisor.start("sandbox", (sys.executable, "-m", "namaskah.sandbox"), settings, grace=1.5)
    with screen.step("database schema"):
        supervisor.run("flask db upgrade", (*FLASK, "db", "upgrade"), settings)
    with screen.step("services and countries"):
        supervisor.run("flask catalogue load", (*FLASK, "catalogue", "load"), settings)
    with screen.step("sandbox"):
        supervisor.wait_until("sandbox", lambda: answers(LOOPBACK, int(settings["SANDBOX_PORT"])), seconds=30)
    with screen.step("offers of the providers"):
        supervisor.run("flask catalogue sync", (*FLASK, "catalogue", "sync"), settings)
    with screen.step("demo accounts"):
        return accounts_in(supervisor.run("flask demo accounts", (*FLASK, "demo", "accounts"), settings))


def serve(screen: Screen, supervisor: Supervisor, settings: dict[str, str]) -> None:
    """Worker and web, in this order because they are stopped in the opposite one."""
    supervisor.start("worker", (*FLASK, "worker"), settings)
    gunicorn = (sys.executable, "-m", "gunicorn", "-c", "gunicorn.conf.py", "wsgi:app")
    supervisor.start("web", gunicorn, settings)
    with screen.step("web and worker"):
        supervisor.wait_until("web", lambda: answers(web_host(settings), int(settings["PORT"])), seconds=60)


def web_host(settings: dict[str, str]) -> str:
    """Where the web server is reached from here: HOST, unless that means every address."""
    host = settings.get("HOST", LOOPBACK)
    return LOOPBACK if host in EVERYWHERE else host


def answers(host: str, port: int) -> bool:
    """Whether the first page of the server there comes without a server error."""
    connection = http.client.HTTPConnection(host, port, timeout=5)
    try:
        connection.request("GET", "/")
        return connection.getresponse().status < 500
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def accounts_in(lines: Iterable[str]) -> list[dict[str, str]]:
    """The accounts among what `flask demo accounts` wrote; its log lines are JSON too, but no accounts."""
    found = []
    for line in lines:
        try:
            account = json.loads(line)
        except ValueError:
            continue
        if isinstance(account, dict) and {"role", "email", "password"} <= account.keys():
            found.append(account)
    return found


def show_addresses(screen: Screen, settings: dict[str, str], accounts: list[dict[str, str]]) -> None:
    """The box at the end: where everything is, and who may sign in."""
    sandbox = settings["SANDBOX_URL"].rstrip("/")
    screen.box([("Namaskah", settings["BASE_URL"]), ("Mailbox", f"{sandbox}/mail"), ("Sandbox", f"{sandbox}/")])
    if accounts:
        screen.line("  Sign in with these, shown only this once:")
        for account in accounts:
            screen.line(f"    {account['role']:<10} {account['email']:<28} {account['password']}")
    else:
        screen.line("  The demo accounts exist already; `make demo-passwords` gives them new passwords.")
    screen.line(
        f"  Ctrl-C stops everything. Logs are in {(DATA / 'log').relative_to(ROOT)}/; VERBOSE=1 shows them here.\n"
    )


if __name__ == "__main__":
    sys.exit(main())
