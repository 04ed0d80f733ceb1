"""Each check of the doctor both ways, on real parts: PostgreSQL, Redis, the sandbox's Paystack, providers, mailbox."""

import json
import resource
import shutil
import stat
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psycopg2
import pytest
import redis as redis_library
import time_machine
from click.testing import CliRunner
from flask import Flask
from sqlalchemy import text
from sqlalchemy.engine import make_url

from namaskah import config
from namaskah.auth import audit
from namaskah.auth.models import User
from namaskah.commands import make_admin
from namaskah.db import db, transaction
from namaskah.doctor import BAD, OK, WARNING, Finding, clock, database, examine, host, mail, paystack, providers
from namaskah.doctor import redis as redis_check
from namaskah.doctor import settings as settings_check
from namaskah.doctor import worker as worker_check
from namaskah.doctor.command import doctor
from namaskah.redaction import secrets_of
from namaskah.sandbox import Sandbox
from namaskah.watch import heartbeats
from tests import support
from tests.support import Control, make_user

GOOD = {
    "ENVIRONMENT": "production",
    "SECRET_KEY": "kR7!pW2qZ9vB4mX8cN1tY6uJ3hG5fD0sLaQe",  # pragma: allowlist secret
    "BASE_URL": "https://sms.example.com",
    "DATABASE_URL": "postgresql://127.0.0.1/x",
    "REDIS_URL": "redis://127.0.0.1/0",
    "MAIL_FROM": "Namaskah <hello@example.com>",
    "SUPPORT_EMAIL": "help@example.com",
    "SELLER_ADDRESS": "1 Marina; Lagos",
    "METRICS_FROM": "10.0.0.0/8",
    "BACKUP_STORE": "/var/backups/namaskah",
    "BACKUP_RECIPIENTS": "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p",  # pragma: allowlist secret
}


@pytest.fixture
def values(app: Flask, settings: dict[str, str]) -> dict[str, Any]:
    """The settings of this installation, as the doctor reads them."""
    return config.load(settings)


def levels(found: list[Finding], check: str = "") -> dict[str, str]:
    return {each.check: each.level for each in found if each.check.startswith(check)}


def one(found: list[Finding], check: str) -> Finding:
    (single,) = [each for each in found if each.check == check]
    assert single.level == OK or len(single.mend) > 10, single
    return single


# ── Settings ─────────────────────────────────────────────────────────────────────────────────────────────────────────
def test_good_settings_are_called_so_and_what_is_left_out_is_named() -> None:
    assert levels(settings_check.look(*config.read(GOOD))) == {"settings": OK, "crashes": OK}
    poor = {
        name: value
        for name, value in GOOD.items()
        if name not in {"METRICS_FROM", "SELLER_ADDRESS", "MAIL_FROM", "BACKUP_STORE"}
    }
    found = levels(settings_check.look(*config.read(poor | {"SENTRY_DSN": "https://k@sentry.example.com/1"})))
    assert found == {
        "settings": OK,
        "metrics": WARNING,
        "receipts": WARNING,
        "mail addresses": WARNING,
        "backups": WARNING,
    }


def test_settings_that_cannot_be_used_are_all_named_where_the_application_would_not_start() -> None:
    found = settings_check.look(*config.read(GOOD | {"SECRET_KEY": "changeme", "PORT": "many", "DATABASE_URL": ""}))
    bad = [each.says for each in found if each.level == BAD]
    assert [any(name in says for says in bad) for name in ("SECRET_KEY", "PORT", "DATABASE_URL")] == [True] * 3
    assert not any("changeme" in json.dumps(each.as_dict()) for each in found)


def test_weak_secrets_outside_production_are_warned_of() -> None:
    found = settings_check.look(*config.read(GOOD | {"ENVIRONMENT": "test", "SECRET_KEY": "short"}))
    assert levels(found)["environment"] == levels(found)["secrets"] == WARNING


# ── PostgreSQL ───────────────────────────────────────────────────────────────────────────────────────────────────────
def test_a_database_as_it_should_be(values: dict[str, Any]) -> None:
    found = levels(database.look(values))
    # The tests' own server is made fast, not safe, and its one role owns all of it.
    assert found.pop("database durability") == BAD
    assert found.pop("database rights") == WARNING
    assert set(found.values()) == {OK}, found


@pytest.fixture
def role(app: Flask, settings: dict[str, str], values: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The settings with a role that may do nothing but log in, in another time zone, sure of its commits."""
    url = make_url(values["DATABASE_URL"])
    name = f"doctor_{url.database}"
    statements = (
        f"CREATE ROLE {name} LOGIN PASSWORD 'quiet-otter-walks'",
        f"ALTER ROLE {name} SET timezone TO 'Africa/Lagos'",
        f"ALTER ROLE {name} SET synchronous_commit TO on",
    )
    support._admin(settings["DATABASE_URL"], *statements)
    yield values | {"DATABASE_URL": url.set(username=name, password="quiet-otter-walks").render_as_string(False)}
    support._admin(settings["DATABASE_URL"], f"DROP OWNED BY {name}", f"DROP ROLE {name}")


def test_a_role_without_rights_and_a_zone_of_its_own_are_seen(role: dict[str, Any], settings: dict[str, str]) -> None:
    name = make_url(role["DATABASE_URL"]).username
    refused = database.look(role)
    assert one(refused, "database").level == BAD and "permission denied" in one(refused, "database").says
    support._admin(settings["DATABASE_URL"], f"GRANT SELECT ON alembic_version TO {name}")
    found = database.look(role)
    rights = [each.says for each in found if each.check == "database rights"]
    assert any("may not make tables" in says for says in rights) and any("may not use" in says for says in rights)
    assert one(found, "database time zone").level == WARNING
    support._admin(
        settings["DATABASE_URL"],
        f"GRANT CREATE ON SCHEMA public TO {name}",
        f"GRANT ALL ON ALL TABLES IN SCHEMA public TO {name}",
    )
    assert one(database.look(role), "database rights").level == OK


def test_what_is_behind_ahead_or_empty_is_told(values: dict[str, Any], settings: dict[str, str]) -> None:
    def schema() -> Finding:
        return one(database.look(values), "database schema")

    assert schema().level == OK
    kept = db.session.scalar(text("SELECT version_num FROM alembic_version"))
    try:
        for version, level in (("0001", BAD), ("9999", WARNING)):
            with transaction():
                db.session.execute(text("UPDATE alembic_version SET version_num = :v"), {"v": version})
            assert schema().level == level
    finally:
        with transaction():
            db.session.execute(text("UPDATE alembic_version SET version_num = :v"), {"v": kept})
    server = make_url(values["DATABASE_URL"]).set(database="postgres").render_as_string(False)
    assert one(database.look(values | {"DATABASE_URL": server}), "database schema").level == BAD


def test_versions_connections_and_read_only_servers(values: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    for wanted, level in (({"WEB_WORKERS": 2}, OK), ({"WEB_WORKERS": 20}, WARNING), ({"WEB_WORKERS": 60}, BAD)):
        assert one(database.look(values | wanted), "database connections").level == level
    with monkeypatch.context() as other:
        other.setattr(database, "OLDEST", 99)
        assert one(database.look(values), "database version").level == BAD
    with monkeypatch.context() as other:
        other.setattr(database, "NEWEST", 9)
        assert one(database.look(values), "database version").level == WARNING
    url = values["DATABASE_URL"]
    with monkeypatch.context() as other:
        other.setenv("PGOPTIONS", "-c default_transaction_read_only=on")
        read_only = psycopg2.connect(url.replace("+psycopg2", ""))
        read_only.close()
    name = make_url(url).database
    support._admin(url, f"ALTER DATABASE {name} SET default_transaction_read_only TO on")
    try:
        assert any("read-only" in each.says for each in database.look(values))
    finally:
        server = make_url(url).set(database="postgres").render_as_string(False)
        support._admin(server, f"ALTER DATABASE {name} RESET default_transaction_read_only")


def test_a_durable_server_and_one_on_another_machine(values: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "DURABLE", ("enable_seqscan",))  # one that is on here
    monkeypatch.setattr(database, "LOOPBACK", set())
    found = database.look(values)
    assert one(found, "database durability").level == OK
    assert one(found, "database privacy").level == WARNING


def test_a_database_that_is_away_is_one_finding_without_its_password(values: dict[str, Any]) -> None:
    url = make_url(values["DATABASE_URL"]).set(port=1)
    found = database.look(values | {"DATABASE_URL": url.render_as_string(False)})
    assert levels(found) == {"database": BAD}
    assert str(url.password) not in found[0].says
    wrong = make_url(values["DATABASE_URL"]).set(password="not-the-one-it-is")
    assert (
        "authentication"
        in one(database.look(values | {"DATABASE_URL": wrong.render_as_string(False)}), "database").says
    )


# ── Redis ────────────────────────────────────────────────────────────────────────────────────────────────────────────
def test_redis_both_ways(values: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    client = redis_library.Redis.from_url(values["REDIS_URL"], decode_responses=True)
    names = ("maxmemory-policy", "save", "appendonly", "maxmemory")
    kept = {name: client.config_get(name)[name] for name in names}

    def look(**changes: str) -> dict[str, str]:
        for name, value in changes.items():
            client.config_set(name.replace("_", "-"), value)
        return levels(redis_check.look(values))

    try:
        good = look(maxmemory_policy="noeviction", save="900 1", maxmemory="0")
        assert set(good.values()) == {OK}, good
        assert look(maxmemory_policy="allkeys-lru")["redis eviction"] == BAD
        assert look(save="", appendonly="no")["redis persistence"] == WARNING
        assert look(appendonly="yes")["redis persistence"] == OK
        assert look(maxmemory=str(client.info()["used_memory"] + 50_000))["redis state"] == WARNING
    finally:
        for name, value in kept.items():
            client.config_set(name, value)
    monkeypatch.setattr(redis_check, "OLDEST", 99)
    monkeypatch.setattr(redis_check, "SLOW_SECONDS", 0.0)
    found = levels(redis_check.look(values))
    assert (found["redis version"], found["redis speed"]) == (BAD, WARNING)


def test_redis_away_or_unwilling_to_write(values: dict[str, Any]) -> None:
    assert levels(redis_check.look(values | {"REDIS_URL": "redis://127.0.0.1:1/0"})) == {"redis": BAD}
    assert redis_check._health({"aof_last_write_status": "err"}).level == BAD


# ── Mail, Paystack, providers ────────────────────────────────────────────────────────────────────────────────────────
def test_mail_both_ways(values: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    assert levels(mail.look(values)) == {"mail": OK}
    assert levels(mail.look(values | {"MAIL_PORT": 1})) == {"mail": BAD}
    # The sandbox's mailbox offers neither.
    assert "STARTTLS" in one(mail.look(values | {"MAIL_USE_TLS": True}), "mail").says
    login = {"MAIL_USERNAME": "namaskah", "MAIL_PASSWORD": "quiet-otter-walks"}
    refused = one(mail.look(values | login), "mail")
    assert refused.level == BAD and "otter" not in refused.says
    monkeypatch.setattr(mail, "LOOPBACK", set())
    assert levels(mail.look(values)) == {"mail": OK, "mail privacy": WARNING}


def test_paystack_both_ways(values: dict[str, Any], control: Control) -> None:
    assert levels(paystack.look(values)) == {"paystack": OK}
    assert levels(paystack.look(values | {"PAYSTACK_SECRET_KEY": "sk_" + "test_wrong"})) == {"paystack": BAD}
    assert levels(paystack.look(values | {"PAYSTACK_SECRET_KEY": ""})) == {"paystack": WARNING}
    assert levels(paystack.look(values | {"PAYSTACK_BASE_URL": "http://127.0.0.1:1"})) == {"paystack": BAD}
    control.fault("paystack", "list", "error")
    assert levels(paystack.look(values)) == {"paystack": WARNING}


def test_providers_both_ways(values: dict[str, Any]) -> None:
    assert levels(providers.look(values)) == {"provider fivesim": OK, "provider herosms": OK}
    wrong = values | {"FIVESIM_TOKEN": "not-a-token", "SMS_ACTIVATE_KEYS": {"herosms": "not-a-key"}}
    assert set(levels(providers.look(wrong)).values()) == {BAD}
    away = values | {"FIVESIM_TOKEN": "", "SMS_ACTIVATE_PROVIDERS": {"herosms": "http://127.0.0.1:1/x"}}
    assert levels(providers.look(away)) == {"provider herosms": WARNING}
    none = values | {"FIVESIM_TOKEN": "", "SMS_ACTIVATE_PROVIDERS": {}}
    assert levels(providers.look(none)) == {"providers": WARNING}
    poor = SimpleNamespace(name="poor", currency="USD", balance_micros=lambda: 0)
    assert providers._one(poor).level == BAD  # type: ignore[arg-type]


# ── Clock, worker, host ──────────────────────────────────────────────────────────────────────────────────────────────
def test_the_clock_is_compared_with_two_others(values: dict[str, Any]) -> None:
    right = clock.look(values)
    assert [each.level for each in right] == [OK, OK]
    assert ["database" in right[0].says, "Paystack" in right[1].says] == [True, True]
    for seconds, level in ((8, WARNING), (90, BAD)):
        with time_machine.travel(datetime.now(UTC) + timedelta(seconds=seconds)):
            assert clock.look(values)[0].level == level
    assert clock.look(values | {"DATABASE_URL": "postgresql://127.0.0.1:1/x", "PAYSTACK_SECRET_KEY": ""}) == []


def test_a_worker_and_an_operator_are_missed(values: dict[str, Any], alice: User) -> None:
    assert levels(worker_check.look(values)) == {"worker": BAD, "operators": WARNING}
    heartbeats.beat()
    support_admin = make_user("first@example.com")
    ran = CliRunner().invoke(make_admin, ["first@example.com", "--reason", "the first"])
    assert ran.exit_code == 0, ran.output
    assert levels(worker_check.look(values)) == {"worker": OK, "operators": OK}
    db.session.refresh(support_admin)
    assert support_admin.is_admin and audit.breaks() == []


def test_disk_and_files_both_ways(values: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    for free, level in ((10_000, OK), (1_000, WARNING), (100, BAD)):
        monkeypatch.setattr(shutil, "disk_usage", lambda _folder, free=free: SimpleNamespace(free=free * host.MIB))
        assert one(host.look(values), "disk").level == level
    for hard, level in ((65_536, OK), (1_024, WARNING)):
        monkeypatch.setattr(resource, "getrlimit", lambda _what, hard=hard: (hard, hard))
        assert one(host.look(values), "open files").level == level


def test_the_programs_of_backups_are_looked_for_as_backups_do(values: dict[str, Any], tmp_path: Path) -> None:
    """Of 17 and later neither serves an older server: what they write it does not take."""
    there = values | {"BACKUP_PROGRAMS": str(tmp_path)}
    assert {one(host.look(there), name).level for name in ("pg_dump", "pg_restore")} == {BAD}
    assert "nowhere" in one(host.look(there), "pg_dump").says
    for name in ("pg_dump", "pg_restore"):
        program = tmp_path / name
        for its, server, level in ((99, 18, OK), (9, 18, BAD), (18, 16, BAD), (16, 15, OK)):
            program.write_text(f"#!/bin/sh\necho '{name} (PostgreSQL) {its}.1'\n")
            program.chmod(program.stat().st_mode | stat.S_IXUSR)
            assert one(host._dump(server, str(tmp_path)), name).level == level, (its, server)
    assert host._dump(None, str(tmp_path)) == []


# ── The whole round ──────────────────────────────────────────────────────────────────────────────────────────────────
def test_the_whole_round_by_command(app: Flask, settings: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    ran = CliRunner().invoke(doctor, ["--json"])
    told = json.loads(ran.output)
    assert ran.exit_code == 1 and told["level"] == BAD  # no worker runs here
    assert told["counts"][OK] > 10
    assert all(set(each) == {"check", "level", "says", "mend"} for each in told["findings"])
    assert all(each["mend"] for each in told["findings"] if each["level"] != OK)
    lines = CliRunner().invoke(doctor, ["--quiet"]).output
    assert "worker: none is at work" in lines and "→ Start one" in lines and "ok      " not in lines


def test_no_secret_is_ever_printed(
    app: Flask, settings: dict[str, str], sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = {"MAIL_PASSWORD": "quiet-otter-walks-home", "MAIL_USERNAME": "namaskah", "METRICS_TOKEN": "b" * 40}
    for changes in (
        secret,
        {"PAYSTACK_BASE_URL": "http://127.0.0.1:1"},
        {"PORT": "x"},
        {"REDIS_URL": "redis://:hunter-two-x@127.0.0.1:1"},
    ):
        environ = settings | changes
        found = json.dumps([each.as_dict() for each in examine(environ)])
        values, _faults = config.read(environ)
        assert [name for name in secrets_of(values) if name in found] == []


def test_a_check_that_breaks_is_a_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(values: dict[str, Any]) -> list[Finding]:
        raise KeyError(values["REDIS_URL"])

    monkeypatch.setattr("namaskah.doctor.examining.CHECKS", (("odd", broken, ()),))
    found = one(examine(GOOD), "odd")
    assert found.level == BAD and found.says == "could not be looked at: KeyError"
