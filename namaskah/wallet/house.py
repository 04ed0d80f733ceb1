"""What the house's own accounts hold. Every purchase touches them, so none keeps a running balance: it is the last
snapshot and whatever came after it."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, Row, func, select
from sqlalchemy.dialects.postgresql import insert as pg_insert

from namaskah.db import db, transaction
from namaskah.wallet.models import LedgerAccount, LedgerEntry, LedgerSnapshot, LedgerTransaction

# An entry with a lower number may be committed after one with a higher. Whatever began an hour ago is committed or
# gone: no transaction of ours may be open for longer than a minute (postgres.py).
SETTLED = func.make_interval(0, 0, 0, 0, 1)
A_DAY = func.make_interval(0, 0, 0, 1)


def balances(*wanted: ColumnElement[bool]) -> Sequence[Row[Any, Any, int]]:
    """Provider, kind and balance of the accounts for which all of `wanted` holds; signed as the ledger has them."""
    newer = _sum(LedgerEntry.id > func.coalesce(LedgerSnapshot.entry_id, 0))
    return db.session.execute(
        select(LedgerAccount.provider, LedgerAccount.kind, func.coalesce(LedgerSnapshot.balance, 0) + newer)
        .outerjoin(LedgerSnapshot, LedgerSnapshot.account_id == LedgerAccount.id)
        .where(LedgerAccount.balance.is_(None), *wanted)
    ).all()


def take_snapshots_due() -> int:
    """Bring one account's snapshot to an hour ago if it is a day old or missing; returns how many it took."""
    with transaction():
        found = db.session.execute(
            select(LedgerAccount.id, LedgerSnapshot.entry_id, LedgerSnapshot.balance)
            .outerjoin(LedgerSnapshot, LedgerSnapshot.account_id == LedgerAccount.id)
            .where(
                LedgerAccount.balance.is_(None),
                LedgerSnapshot.taken_at.is_(None) | (LedgerSnapshot.taken_at < func.now() - A_DAY),
            )
            .order_by(LedgerSnapshot.taken_at.nulls_first(), LedgerAccount.id)
            .limit(1)
            .with_for_update(key_share=True, skip_locked=True, of=LedgerAccount)
        ).one_or_none()
        if found is None:
            return 0
        last, balance = found.entry_id or 0, found.balance or 0
        until = _last_settled(found.id) or last
        more = _sum(LedgerEntry.id > last, LedgerEntry.id <= until)
        taken = {"entry_id": until, "taken_at": func.now()}
        taken["balance"] = balance + int(db.session.scalar(select(more).where(LedgerAccount.id == found.id)) or 0)
        upsert = pg_insert(LedgerSnapshot).values(account_id=found.id, **taken)
        db.session.execute(upsert.on_conflict_do_update(index_elements=["account_id"], set_=taken))
    return 1


def _sum(*which: ColumnElement[bool]) -> Any:
    """The sum of an account's entries. `sequence IS NULL`, which all of them are, is what their index is for."""
    entries = select(func.coalesce(func.sum(LedgerEntry.amount), 0)).where(
        LedgerEntry.account_id == LedgerAccount.id, LedgerEntry.sequence.is_(None), *which
    )
    return entries.correlate(LedgerAccount, LedgerSnapshot).scalar_subquery()


def _last_settled(account_id: int) -> int | None:
    return db.session.scalar(
        select(LedgerEntry.id)
        .join(LedgerTransaction)
        .where(
            LedgerEntry.account_id == account_id,
            LedgerEntry.sequence.is_(None),
            LedgerTransaction.created_at < func.now() - SETTLED,
        )
        .order_by(LedgerEntry.id.desc())
        .limit(1)
    )
