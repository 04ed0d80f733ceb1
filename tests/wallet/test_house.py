"""What the house's accounts hold: a snapshot and what came after it, always the sum of all entries."""

from collections.abc import Callable

from flask import Flask
from sqlalchemy import text

from namaskah.auth.models import User
from namaskah.db import db, transaction
from namaskah.wallet import house, ledger

Funded = Callable[[int], User]


def sold(user: User, reference: str) -> None:
    with transaction():
        ledger.hold(user.id, reference, 100)
        ledger.capture(user.id, reference, 100)


def revenue() -> int:
    return next(balance for _provider, kind, balance in house.balances() if kind == "revenue")


def as_if_old() -> None:
    """All that was written so far is of yesterday."""
    with transaction():
        db.session.execute(text("SET LOCAL session_replication_role = replica"))  # its guards sleep
        db.session.execute(text("UPDATE ledger_transactions SET created_at = created_at - interval '1 day'"))


def snapshots() -> dict[str, int]:
    while house.take_snapshots_due():
        pass
    rows = db.session.execute(
        text("SELECT a.kind, s.balance FROM ledger_snapshots s JOIN ledger_accounts a ON a.id = s.account_id")
    )
    return {row[0]: row[1] for row in rows}


def test_a_snapshot_and_what_came_after_it_are_the_sum(app: Flask, funded: Funded) -> None:
    user = funded(1_000)
    sold(user, "x:1")
    as_if_old()
    assert snapshots()["revenue"] == 100
    sold(user, "x:2")
    assert (revenue(), snapshots()["revenue"]) == (200, 100)


def test_what_may_still_have_neighbours_under_way_is_in_no_snapshot(app: Flask, funded: Funded) -> None:
    """A lower number may be committed after a higher one: only what is an hour old is settled."""
    sold(funded(1_000), "x:1")
    assert snapshots()["revenue"] == 0
    assert revenue() == 100


def test_a_snapshot_of_yesterday_is_brought_up_to_date(app: Flask, funded: Funded) -> None:
    user = funded(1_000)
    sold(user, "x:1")
    as_if_old()
    snapshots()
    sold(user, "x:2")
    as_if_old()
    with transaction():
        db.session.execute(text("UPDATE ledger_snapshots SET taken_at = taken_at - interval '2 days'"))
    assert (snapshots()["revenue"], revenue()) == (200, 200)
