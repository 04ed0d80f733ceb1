"""ops/pgbouncer.ini: what it says agrees with the application, and a web server works behind it."""

import configparser
import os
import pwd
import re
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import psycopg2
import pytest
from sqlalchemy import text
from sqlalchemy.engine import make_url

from dev.binaries import postgres_account
from dev.process import free_port, port_is_free, spawn, stop
from namaskah import postgres
from namaskah.config import SETTINGS
from namaskah.db import db
from namaskah.watch import heartbeats
from tests.chaos.stand import Browser, Stand, stand
from tests.deploy.proxy import programs
from tests.deploy.shopper import Shopper
from tests.support import ROOT, broken_invariants, make_user, wait_until

SERVER_CONNECTIONS = 3
LIMITS = postgres.timeouts({setting.name: setting.default for setting in SETTINGS}, pages=True)


def conf() -> configparser.ConfigParser:
    read = configparser.ConfigParser(interpolation=None)
    read.read(ROOT / "ops/pgbouncer.ini")
    return read


def test_it_sets_the_limits_of_our_own_connections() -> None:
    [line] = conf()["databases"].values()
    set_there = dict(re.findall(r"SET (\w+) = (\d+)", line))
    assert set_there == {name: str(milliseconds) for name, milliseconds in LIMITS.items()}
    assert conf()["pgbouncer"]["pool_mode"] == "transaction"
    assert "options" in conf()["pgbouncer"]["ignore_startup_parameters"].split(",")


def adapted(folder: Path, port: int, database_url: str) -> Path:
    """On one port of this machine, before the tests' own PostgreSQL, with fewer connections than a web server opens."""
    made, url = conf(), make_url(database_url)
    [(_name, line)] = made["databases"].items()
    line = re.sub(r"host=\S+ port=\S+ dbname=\S+", f"host={url.host} port={url.port} dbname={url.database}", line)
    made["databases"] = {str(url.database): line}
    made["pgbouncer"].update({
        "listen_addr": "127.0.0.1", "listen_port": str(port), "default_pool_size": str(SERVER_CONNECTIONS),
        "logfile": str(folder / "pgbouncer.log"), "pidfile": str(folder / "pgbouncer.pid"),
        "auth_file": str(folder / "userlist.txt"), "stats_users": str(url.username),
    })  # fmt: skip
    (folder / "userlist.txt").write_text(f'"{url.username}" "{url.password}"\n')
    with (folder / "pgbouncer.ini").open("w") as file:
        made.write(file)
    return folder / "pgbouncer.ini"


@contextmanager
def pgbouncer(folder: Path, database_url: str) -> Iterator[str]:
    """Gives the address that leads through it."""
    (program,) = programs("pgbouncer")
    port, user = free_port(), postgres_account()
    folder.mkdir(mode=0o755)
    ini = adapted(folder, port, database_url)
    if user:  # it refuses to run as root
        for path in (folder, *folder.iterdir()):
            os.chown(path, *_ids(user))
    with (folder / "said.log").open("wb") as output:
        process = spawn([program, ini], output=output, user=user)
    try:
        wait_until(lambda: not port_is_free(port) or process.poll() is not None, 10, "pgbouncer")
        assert process.poll() is None, (folder / "said.log").read_text()
        yield make_url(database_url).set(port=port).render_as_string(hide_password=False)
    finally:
        stop(process, signal.SIGINT, 10)


def _ids(user: str) -> tuple[int, int]:
    account = pwd.getpwnam(user)
    return account.pw_uid, account.pw_gid


@pytest.fixture(scope="module")
def place(
    settings: dict[str, str], worker_number: int, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Stand, str]]:
    """A web server behind it and a worker that is not; and the address through it."""
    programs("pgbouncer")
    folder = tmp_path_factory.mktemp("pgbouncer")
    for above in (folder, *folder.parents[:3]):  # one more in a suite of several processes
        above.chmod(0o755)
    with ExitStack() as stack:
        made = stack.enter_context(stand(settings, f"namaskah_bouncer_{worker_number}", folder))
        through = stack.enter_context(pgbouncer(folder / "own", made.environment["DATABASE_URL"]))
        made.installation.start_worker()
        made.installation.environment["DATABASE_URL"] = through
        made.installation.start_web(made.installation.port)
        wait_until(lambda: heartbeats.workers() or db.session.rollback(), 30, "the worker")
        db.session.rollback()
        yield made, through


def test_connections_through_it_have_our_limits(place: tuple[Stand, str]) -> None:
    _made, through = place
    with closing(psycopg2.connect(through.replace("+psycopg2", ""))) as opened, opened.cursor() as cursor:
        for name, milliseconds in LIMITS.items():
            cursor.execute("SELECT setting FROM pg_settings WHERE name = %s", (name,))
            assert cursor.fetchone() == (str(milliseconds),), name


def test_a_customer_gets_a_code_through_it(place: tuple[Stand, str]) -> None:
    made, _through = place
    shopper = Shopper(made.installation.url, made.control)
    shopper.sign_up()
    shopper.pay(shopper.begin_to_pay())
    page = shopper.buy()
    shopper.open_page()
    query = text("SELECT provider_name, provider_ref FROM activations WHERE id = :id")
    provider, reference = db.session.execute(query, {"id": int(page.rpartition("/")[2])}).one()
    db.session.rollback()
    made.control.sms(provider, reference, "Your code is 482-913")
    shopper.waits_for('data-state="received"')
    shopper.leave()
    assert [status for status in shopper.statuses if status >= 400] == []
    assert broken_invariants() == []


def test_more_people_than_connections_are_served(place: tuple[Stand, str]) -> None:
    made, through = place
    browsers = [Browser(made, make_user(f"many{n}@example.com", money=1_000_000)) for n in range(12)]
    with ThreadPoolExecutor(12) as at_once:
        statuses = list(at_once.map(lambda browser: [browser.get("/wallet").status for _ in range(5)], browsers))
    assert statuses == [[200] * 5] * 12
    console = made_url(through, "pgbouncer")
    with closing(psycopg2.connect(console)) as opened:
        opened.autocommit = True
        with opened.cursor() as cursor:
            cursor.execute("SHOW POOLS")
            names = [column.name for column in cursor.description or ()]
            pools = [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
    [ours] = [pool for pool in pools if pool["database"] == make_url(through).database]
    assert (
        sum(ours[name] for name in ("sv_active", "sv_idle", "sv_used", "sv_tested", "sv_login")) <= SERVER_CONNECTIONS
    )
    assert ours["cl_active"] + ours["cl_waiting"] > SERVER_CONNECTIONS


def made_url(url: str, database: str) -> str:
    return make_url(url.replace("+psycopg2", "")).set(database=database).render_as_string(hide_password=False)
