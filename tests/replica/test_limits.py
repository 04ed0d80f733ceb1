"""The limits that every kind of session has, as PostgreSQL itself tells them; behind pgbouncer too; and which servers
are refused."""

import asyncio
import http.client
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg2
import pytest
from click.testing import CliRunner
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import create_engine, text
from sqlalchemy.engine import make_url

from dev import binaries
from dev import postgres as embedded
from dev.process import free_port, spawn, stop
from namaskah import commands, config, create_app, postgres, versions
from namaskah.auth.models import User
from namaskah.db import db
from namaskah.doctor import OK, WARNING, database
from namaskah.worker import _queue
from tests import support
from tests.numbers import shop
from tests.support import installation, log_in, make_user

SHOWN = """
    SELECT current_setting('statement_timeout'), current_setting('lock_timeout'),
           current_setting('idle_in_transaction_session_timeout'), current_setting('application_name')
"""
PATIENT = ("15s", "9s", "30s")


def test_workers_and_commands_have_patient_ones(app: Flask) -> None:
    assert tuple(db.session.execute(text(SHOWN)).one()) == (*PATIENT, "namaskah")


def test_the_job_queue_has_the_same(app: Flask) -> None:
    async def ask() -> Any:
        async with _queue(app).open_async() as queue:
            pool = queue.connector.pool
            assert (pool.min_size, pool.max_size) == (2, postgres.QUEUE_CONNECTIONS)
            async with pool.connection() as connection:
                return await (await connection.execute(SHOWN)).fetchone()

    assert asyncio.run(ask()) == (*PATIENT, "namaskah-queue")


def test_pages_have_shorter_ones_and_the_setting_moves_both(app: Flask, settings: dict[str, str]) -> None:
    values = config.load(settings)
    engine = create_engine(values["DATABASE_URL"], **postgres.engine_options(values))
    postgres.hurry(engine, values)
    with engine.connect() as connection:
        assert tuple(connection.execute(text(SHOWN)).one()) == ("5s", "3s", "30s", "namaskah")
    engine.dispose()
    assert postgres.timeouts(values | {"DATABASE_STATEMENT_SECONDS": 2}, pages=False)["statement_timeout"] == 6_000


def test_each_limit_is_shorter_than_what_waits_for_it(settings: dict[str, str]) -> None:
    values = config.load(settings | {"DATABASE_STATEMENT_SECONDS": "9"})
    pages = postgres.timeouts(values, pages=True)
    provider, gunicorn, proxy = 10_000, 30_000, 35_000
    assert pages["lock_timeout"] < pages["statement_timeout"] < provider <= postgres.CONNECTION_SECONDS * 1000
    assert postgres.CONNECTION_SECONDS * 1000 + provider + 2 * 5_000 <= gunicorn < proxy
    conf = (support.ROOT / "gunicorn.conf.py").read_text()
    assert "graceful_timeout = 30" in conf
    assert re.search(r"proxy_read_timeout +35s", (support.ROOT / "ops/nginx.conf").read_text())


@pytest.mark.parametrize("seconds", ["0", "10"])
def test_a_limit_that_makes_no_sense_is_refused(settings: dict[str, str], seconds: str) -> None:
    with pytest.raises(config.ConfigError, match="DATABASE_STATEMENT_SECONDS"):
        config.load(settings | {"DATABASE_STATEMENT_SECONDS": seconds})


def test_a_web_server_answers_when_a_table_is_locked_and_says_when_to_come_back(
    app: Flask, settings: dict[str, str], tmp_path: Path
) -> None:
    """The limits of pages in a real web server: six tenths of a second for a lock here."""
    with installation(settings | {"DATABASE_STATEMENT_SECONDS": "1"}, tmp_path) as site:
        site.start_web()
        visitor = create_visitor(site.port)
        assert visitor("/status")[0] == 200
        with closing(psycopg2.connect(settings["DATABASE_URL"].replace("+psycopg2", ""))) as other:
            other.cursor().execute("LOCK TABLE services, countries, offers, providers IN ACCESS EXCLUSIVE MODE")
            started = time.monotonic()
            status, headers = visitor("/pricing")
            assert (status, headers["Retry-After"]) == (503, "5")
            assert 0.5 < time.monotonic() - started < 4


def create_visitor(port: int) -> Any:
    def visit(path: str) -> tuple[int, Any]:
        with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=20)) as connection:
            connection.request("GET", path)
            answer = connection.getresponse()
            answer.read()
            return answer.status, answer.headers

    return visit


# ── Behind pgbouncer ─────────────────────────────────────────────────────────────────────────────────────────────────
@pytest.fixture
def bouncer(app: Flask, settings: dict[str, str]) -> Iterator[dict[str, str]]:
    """The settings of a web server whose way to PostgreSQL leads through pgbouncer, a connection for a transaction."""
    program = shutil.which("pgbouncer") or ("/usr/sbin/pgbouncer" if Path("/usr/sbin/pgbouncer").exists() else None)
    if program is None:
        pytest.skip("pgbouncer is not installed")
    url, port = make_url(settings["DATABASE_URL"]), free_port()
    with tempfile.TemporaryDirectory(prefix="namaskah-bouncer-") as folder:
        Path(folder, "users").write_text(f'"{url.username}" "{url.password}"\n')
        Path(folder, "ini").write_text(
            f"[databases]\n{url.database} = host=127.0.0.1 port={url.port}\n[pgbouncer]\nlisten_addr = 127.0.0.1\n"
            f"listen_port = {port}\nunix_socket_dir =\nauth_type = scram-sha-256\nauth_file = {folder}/users\n"
            "pool_mode = transaction\ndefault_pool_size = 2\nignore_startup_parameters = options,extra_float_digits\n"
        )
        user = binaries.postgres_account()
        for path in (Path(folder), *Path(folder).iterdir()):
            if user:
                shutil.chown(path, user)
        with Path(folder, "log").open("wb") as log:
            process = spawn([program, f"{folder}/ini"], output=log, user=user)
        try:
            through = url.set(port=port).render_as_string(hide_password=False)
            support.wait_until(lambda: _answers(through), what="pgbouncer's answer")
            yield settings | {"DATABASE_URL": through}
        finally:
            stop(process, signal.SIGINT, seconds=5)


def _answers(url: str) -> bool:
    try:
        psycopg2.connect(url.replace("+psycopg2", "")).close()
    except psycopg2.OperationalError:
        return False
    return True


def test_behind_pgbouncer_the_role_carries_the_limits_and_the_doctor_sees_whether_it_does(
    bouncer: dict[str, str], settings: dict[str, str]
) -> None:
    def limits() -> Any:
        return next(each for each in database.look(config.load(bouncer)) if each.check == "database limits")

    dropped = limits()
    assert dropped.level == WARNING
    role, name = make_url(bouncer["DATABASE_URL"]).username, make_url(bouncer["DATABASE_URL"]).database
    assert f"ALTER ROLE {role} SET statement_timeout = 5000;" in dropped.mend
    try:
        for what in ("statement_timeout = 5000", "lock_timeout = 3000", "idle_in_transaction_session_timeout = 30000"):
            support._admin(settings["DATABASE_URL"], f"ALTER ROLE {role} IN DATABASE {name} SET {what}")
        support._admin(settings["DATABASE_URL"], "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                       " WHERE datname = current_database() AND pid <> pg_backend_pid()")  # fmt: skip
        support.wait_until(lambda: limits().level == OK, what="the limits' being in force")
        assert "statement 5 s, lock 3 s, idle 30 s" in limits().says
    finally:
        support._admin(settings["DATABASE_URL"], f"ALTER ROLE {role} IN DATABASE {name} RESET ALL")
        db.engine.dispose()


def test_behind_pgbouncer_numbers_are_bought(bouncer: dict[str, str], app: Flask) -> None:
    """More at once than pgbouncer has connections, each purchase of several transactions."""
    alice = make_user("alice@example.com", money=1_000_000)
    made = create_app(support.load_settings(bouncer))
    with made.app_context():
        try:
            bought = [shop.buy(db.session.get_one(User, alice.id)).state for _number in range(4)]
            assert bought == ["waiting"] * 4
            client: FlaskClient = log_in(made.test_client(), alice)
            assert client.get("/wallet").status_code == 200
        finally:
            db.session.remove()
            db.engine.dispose()


# ── Versions ─────────────────────────────────────────────────────────────────────────────────────────────────────────
def test_a_server_that_is_too_old_is_refused_in_production(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    versions.refuse_old()
    monkeypatch.setattr(versions, "POSTGRES", (98, 99))
    versions.refuse_old()  # a warning, in a test
    monkeypatch.setitem(app.config, "ENVIRONMENT", "production")
    with pytest.raises(versions.TooOld, match=r"PostgreSQL \d\d is too old: 98 to 99 .* Nothing was changed"):
        versions.refuse_old()
    result = CliRunner().invoke(commands.worker, catch_exceptions=False)
    assert result.exit_code == 1 and "too old" in result.output


def test_newer_servers_and_old_redis_are_warned_of(
    app: Flask, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(versions, "POSTGRES", (1, 2))
    monkeypatch.setattr(versions, "REDIS_OLDEST", 99)
    monkeypatch.setitem(app.config, "ENVIRONMENT", "production")
    versions.refuse_old()
    assert "newer than any" in caplog.text and "Redis" in caplog.text


def test_a_server_that_is_away_is_no_reason_not_to_start(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    def away() -> Any:
        return create_engine(f"postgresql+psycopg2://nobody@127.0.0.1:{free_port()}/nothing").connect()

    monkeypatch.setattr(db.session, "scalar", lambda _query: away())
    monkeypatch.setitem(app.config, "ENVIRONMENT", "production")
    versions.refuse_old()


OTHERS = [found for found in sorted(Path("/usr/lib/postgresql").glob("*/bin")) if (found / "initdb").exists()]


@pytest.mark.parametrize("programs", OTHERS, ids=lambda path: f"PostgreSQL {path.parent.name}")
def test_other_versions_that_are_installed_take_every_migration(
    programs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The suite itself runs on the newest; here all migrations, and what they build, on those of the system."""
    if not versions.POSTGRES[0] <= int(programs.parent.name) <= versions.POSTGRES[1]:
        pytest.skip("not supported")
    monkeypatch.setattr(binaries, "find_postgres", lambda: programs)
    with tempfile.TemporaryDirectory(prefix="namaskah-other-") as folder:
        Path(folder).chmod(0o755)
        running = embedded.start_postgres(Path(folder), durable=False)
        try:
            support.make_template(running.url)
            url = support._named(running.url, support.TEMPLATE)
            values = support.settings(url, os.environ["TEST_REDIS_URL"], None)
            found = subprocess.run(
                [sys.executable, "-m", "flask", "--app", "wsgi", "ledger", "check"],
                cwd=support.ROOT, env=os.environ | values, capture_output=True, text=True, check=False,
            )  # fmt: skip
            assert (found.returncode, found.stdout) == (0, ""), found.stderr
        finally:
            running.stop()
