"""A database of the predecessor comes over: looked at first, once, and each account whole."""

import os
import signal
import stat
import subprocess
import sys
from collections import Counter
from decimal import ROUND_HALF_EVEN, Decimal
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from flask import Flask
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import func, select, text

from namaskah.auth import accounts, audit, policies
from namaskah.auth.models import User
from namaskah.db import db
from namaskah.legacy import importing, reader, rules, units
from namaskah.legacy.models import LegacyAccount, LegacyRecord
from namaskah.wallet import ledger
from namaskah.wallet.statement import statement
from tests import support
from tests.together import at_once

from .conftest import Run, account, everything, findings, report
from .predecessor import THEN, Predecessor, filled


def owner_of(legacy_id: str) -> User:
    return db.session.get_one(User, account(legacy_id).user_id, populate_existing=True)


def in_wallet(legacy_id: str) -> int:
    return ledger.balance(owner_of(legacy_id).id).available_minor


def house(kind: str) -> int:
    query = (
        "SELECT coalesce(sum(e.amount), 0) FROM ledger_entries e JOIN ledger_accounts a ON a.id = e.account_id"
        " WHERE a.kind = :kind"
    )
    return int(db.session.execute(text(query), {"kind": kind}).scalar_one())


@pytest.mark.parametrize(
    ("version", "unit", "minor"), [("2.0", "1 USD", 825_000), ("2.1", "2 USD", 1_650_000), ("4", "USD 1", 825_000)]
)
def test_each_version_comes_over_at_its_unit(
    run: Run, app: Flask, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str, unit: str, minor: int
) -> None:
    monkeypatch.setitem(app.config, "FX_RATES", {"USD": Decimal(1650)})
    file = filled(tmp_path / "old.db", {"ada": 5.0}, version).path
    assert "Nothing was written" in run(file=file, unit=unit).output
    run("--commit", file=file, unit=unit)
    assert (in_wallet("user_ada"), house("suspense")) == (minor, -minor)
    assert account("user_ada").unit.endswith("USD")


def test_an_account_comes_over_as_a_customer_without_a_password(run: Run, old: Predecessor) -> None:
    old.user("ada", 5.0)
    old.user("new", email_verified=0, created_at=None)
    run("--commit")
    ada, new = owner_of("user_ada"), owner_of("user_new")
    assert (ada.email, ada.role, ada.is_verified, ada.created_at.isoformat()) == (
        "ada@example.com", "customer", True, "2025-11-01T10:20:30.123456+00:00",
    )  # fmt: skip
    assert not new.is_verified
    assert ada.password_hash.startswith("$argon2id$")
    assert accounts.authenticate("ada@example.com", "nobody has this password") is None
    assert not policies.has_accepted(ada)
    assert policies.changes_since(ada.policy_version) == []
    assert [event.kind for event in audit.history(ada) if event.kind == "brought_over"] == ["brought_over"]
    assert audit.breaks() == []


def test_the_statement_begins_with_what_came_over(run: Run, old: Predecessor) -> None:
    old.user("ada", 5.0)
    run("--commit")
    for show in ("all", "in"):
        [line] = statement(owner_of("user_ada").id, show).rows
        assert (line.text, line.amount_minor, line.balance_after_minor) == (
            "Balance of your account at the earlier Namaskah", 1_650_000, 1_650_000,
        )  # fmt: skip


def test_looking_writes_nothing_at_all(run: Run, old: Predecessor) -> None:
    support.make_user("here@example.com")
    for name, credits in {"ada": 5.0, "here": 2.0, "owes": -3.0, "odd": "lots"}.items():
        old.user(name, credits)
    before = everything()
    output = run().output
    assert everything() == before
    assert "DRY RUN: nothing was written." in report(old)
    assert "23,100.00 NGN  would be brought over now" in output
    assert stat.S_IMODE(Path(f"{old.path}.report.txt").stat().st_mode) == 0o600
    assert stat.S_IMODE(Path(f"{old.path}.report.csv").stat().st_mode) == 0o600


def test_postgresql_itself_refuses_to_write_while_looking(
    run: Run, old: Predecessor, monkeypatch: pytest.MonkeyPatch
) -> None:
    old.user("ada", 5.0)
    monkeypatch.setattr(importing, "_judge", lambda plan, account, *_: importing._claim(plan, account))
    with pytest.raises(Exception, match="read-only transaction"):
        run()


def test_what_looking_promises_is_what_writing_does(run: Run, old: Predecessor) -> None:
    support.make_user("here@example.com")
    for name, credits in {"ada": 5.0, "here": 2.0, "owes": -3.0, "odd": "lots"}.items():
        old.user(name, credits)
    old.user("twin", 1.0, email="ADA@example.com", created_at="2025-11-02 00:00:00.000000")
    promised = run().stdout.split("Read ")[0].replace("would be", "was")
    done = run("--commit").stdout.split("Read ")[0].replace("is set aside", "was set aside")
    assert done == promised


def test_twice_is_once(run: Run, old: Predecessor) -> None:
    support.make_user("here@example.com")
    for name, credits in {"ada": 5.0, "here": 2.0, "owes": -3.0, "odd": "lots", "nil": 0.0}.items():
        old.user(name, credits)
    old.user("twin", 1.0, email="ADA@example.com", created_at="2025-11-02 00:00:00.000000")
    old.user("nobody", 4.0, email="nobody")
    run("--commit", "--letters")
    before = everything()
    output = run("--commit", "--letters").output
    assert everything() == before
    assert "0.00 NGN  was brought over now" in output


def test_a_later_copy_brings_what_is_new_and_moves_no_balance_again(run: Run, old: Predecessor) -> None:
    old.user("ada", 5.0)
    run("--commit")
    old.sql("UPDATE users SET credits = 7.5")
    old.put("verifications", id="late", user_id="user_ada", service_name="WhatsApp", status="completed")
    old.user("bola", 1.0)
    run("--commit")
    assert (in_wallet("user_ada"), in_wallet("user_bola")) == (1_650_000, 330_000)
    assert [row["row"] for row in findings(old)["changed_since"]] == ["user_ada"]
    assert db.session.scalar(select(func.count()).where(LegacyRecord.legacy_id == "late")) == 1


BALANCES = st.lists(
    st.one_of(
        st.floats(-1_000, 100_000),
        st.integers(-10, 10**6).map(lambda cents: cents / 100),
        st.sampled_from((None, "5.00", "five", 1e300, 0.1 + 0.2, 0.125, 2.675, 0)),
    ),
    max_size=8,
)


@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
@given(BALANCES, st.sampled_from((Decimal(1), Decimal("1653.37"), Decimal("3300"))))
def test_opening_entries_are_the_balances_of_the_file(run: Run, balances: list[Any], worth: Decimal) -> None:
    support.empty()
    with TemporaryDirectory() as folder:
        file = Path(folder) / "old.db"
        filled(file, {f"p{number}": credits for number, credits in enumerate(balances)})
        run("--commit", file=file, unit=str(worth))
        run("--commit", file=file, unit=str(worth))
    expected = 0
    for credits in balances:
        try:
            cents = Decimal(str(credits)).scaleb(2).to_integral_value(ROUND_HALF_EVEN)
        except ArithmeticError:
            continue
        if 0 < cents < 10**11:
            expected += int((cents * worth).to_integral_value(ROUND_HALF_EVEN))
    opened = db.session.scalar(text("SELECT sum(amount) FROM ledger_entries WHERE amount > 0")) or 0
    assert opened == expected == -house("suspense")
    assert db.session.scalar(select(func.count(LegacyAccount.id))) == len(balances)
    assert support.broken_invariants() == []


@pytest.mark.parametrize("place", ["_keep_records", "_write", "audit.record"])
def test_an_end_within_an_account_leaves_nothing_of_it(
    run: Run, old: Predecessor, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    for number in range(3):
        old.user(f"p{number}", 1.0, created_at=f"2025-11-0{number + 1} 00:00:00.000000")
    calls = []
    owner = importing.audit if place == "audit.record" else importing
    name = place.removeprefix("audit.")
    original = getattr(owner, name)

    def dies(*args: Any, **more: Any) -> Any:
        calls.append(original(*args, **more))
        if len(calls) == 2:
            raise KeyboardInterrupt
        return calls[-1]

    with monkeypatch.context() as patched:
        patched.setattr(owner, name, dies)
        run("--commit", ok=False)
    assert db.session.scalars(select(LegacyAccount.legacy_id)).all() == ["user_p0"]
    assert db.session.scalar(select(func.count(User.id))) == 1
    assert support.broken_invariants() == []
    run("--commit")
    assert [in_wallet(f"user_p{number}") for number in range(3)] == [330_000] * 3
    assert house("suspense") == -990_000


def test_killed_in_the_middle_it_is_finished_by_the_next_run(
    run: Run, old: Predecessor, settings: dict[str, str], app: Flask
) -> None:
    for number in range(4):
        old.user(f"p{number}", 1.0, created_at=f"2025-11-0{number + 1} 00:00:00.000000")
    # Somebody stands in the way of the third account, so that the program is in the middle when it is killed.
    blocker = db.engine.connect()
    blocker.execute(
        text(
            "INSERT INTO legacy_accounts (legacy_id, state, reasons, unit, currency)"
            " VALUES ('user_p2', 'set_aside', 'x', 'x', 'NGN')"
        )
    )
    command = [
        sys.executable,
        "-m",
        "flask",
        "--app",
        "wsgi",
        "import-legacy",
        str(old.path),
        "--unit",
        "3300",
        "--commit",
    ]
    process = subprocess.Popen(command, cwd=support.ROOT, env=os.environ | settings, stdout=-3, stderr=-3)

    def two_are_done() -> bool:
        db.session.rollback()
        return db.session.scalar(select(func.count(LegacyAccount.id))) == 2 or process.poll() is not None

    support.wait_until(two_are_done, 30, "the first two accounts")
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    blocker.rollback()
    blocker.close()
    db.session.rollback()
    assert support.broken_invariants() == []
    assert "13,200.00 NGN  together" in run("--commit").output
    assert [in_wallet(f"user_p{number}") for number in range(4)] == [330_000] * 4


def test_two_imports_at_once_are_one(app: Flask, old: Predecessor) -> None:
    for number in range(30):
        old.user(f"p{number}", 1.0)
    plan = rules.plan(reader.read(old.path), units.parse("3300"), accounts.parse_email)
    outcomes: Any = at_once(app, *[lambda: importing.bring_over(plan, importing.Orders("test", "!"), list)] * 3)
    done = [outcome.action for found in outcomes for outcome in found]
    assert Counter(done) == {"new": 30, "known": 60}
    assert house("suspense") == -30 * 330_000
    assert db.session.scalar(select(func.count(User.id))) == 30


def test_somebody_registers_at_that_very_moment(run: Run, old: Predecessor, monkeypatch: pytest.MonkeyPatch) -> None:
    old.user("ada", 5.0)
    original = importing._find_owner
    seen: list[Any] = []

    def late(*args: Any, **more: Any) -> Any:
        if not seen:
            found = original(*args, **more)
            seen.append(found)
            with db.engine.begin() as other:
                add = "INSERT INTO users (email, password_hash, policy_version, policy_accepted_at, email_verified_at)"
                other.execute(text(f"{add} VALUES ('Ada@example.com', '!', '', now(), now())"))
            return found
        return original(*args, **more)

    monkeypatch.setattr(importing, "_find_owner", late)
    run("--commit")
    assert (owner_of("user_ada").email, in_wallet("user_ada")) == ("Ada@example.com", 1_650_000)
    assert db.session.scalar(select(func.count(User.id))) == 1


def test_letters_go_to_new_accounts_only_and_once(run: Run, old: Predecessor) -> None:
    support.make_user("here@example.com")
    old.user("ada", 5.0)
    old.user("here", 5.0)
    run("--commit", "--letters")
    run("--commit", "--letters")
    jobs = db.session.scalars(text("SELECT args FROM procrastinate_jobs WHERE task_name = 'send_mail'")).all()
    assert [(job["to"], job["subject"]) for job in jobs] == [("ada@example.com", "Your account at Namaskah has moved")]
    assert "http://localhost/forgot-password" in jobs[0]["text"]
    assert "http://localhost/forgot-password" in jobs[0]["html"]


def test_no_letters_unless_asked_for(run: Run, old: Predecessor) -> None:
    old.user("ada", 5.0, created_at=THEN)
    run("--commit")
    assert db.session.scalar(text("SELECT count(*) FROM procrastinate_jobs")) == 0
