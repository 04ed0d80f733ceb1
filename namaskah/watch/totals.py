"""What happened, counted once each: money moved, purchases, codes and how long they took, refunds, payments credited.

Read from the ledger as it grows, so that any number of processes agree on the figures and a restart loses none. They
are a minute old: whatever has a lower number than what is counted has committed by then.
"""

import re
from datetime import datetime
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import insert as pg_insert

from namaskah.db import db, transaction
from namaskah.numbers.models import Activation, Message
from namaskah.wallet.models import GatewayEvent, LedgerAccount, LedgerEntry, LedgerTransaction, TopUp
from namaskah.watch.models import RunningTotals

SETTLE_SECONDS = 60
AT_ONCE = 2_000
ONE = 1

# Upper bounds, in seconds, of what is sorted by how long it took.
BOUNDS = {
    "code_seconds": (5, 10, 20, 30, 60, 90, 120, 180, 300, 600, 1200),
    "message_seconds": (1, 2, 5, 10, 20, 30, 60, 120),
    "refund_seconds": (5, 15, 30, 60, 120, 300, 600, 1800),
    "credit_seconds": (1, 5, 15, 30, 60, 120, 300, 600, 3600),
}
_ACTIVATION = re.compile(r"activation:(\d{1,18})")

Totals = dict[str, dict[str, Any]]


def advance() -> int:
    """Worker: count what came since the last time; returns how many rows that were, at most AT_ONCE."""
    with transaction():
        row = _lock()
        totals: Totals = {name: dict(values) for name, values in row.totals.items()}
        moved = _settled(LedgerTransaction, LedgerTransaction.created_at, row.transaction_id)
        messages = _settled(Message, Message.received_at, row.message_id)
        _count_money(totals, moved)
        _count_activations(totals, moved)
        _count_credits(totals, moved)
        _count_messages(totals, messages)
        row.totals = totals
        row.transaction_id = moved[-1].id if moved else row.transaction_id
        row.message_id = messages[-1].id if messages else row.message_id
        row.counted_at = func.now()
    return len(moved) + len(messages)


def now() -> Totals:
    """All so far; empty before the first count."""
    return db.session.scalar(select(RunningTotals.totals)) or {}


def since(totals: Totals, before: Totals) -> Totals:
    """What came in between."""
    return {
        name: {key: _less(value, before.get(name, {}).get(key)) for key, value in values.items()}
        for name, values in totals.items()
    }


def within(row: list[float], bounds: tuple[int, ...], share: float) -> int | None:
    """The bound below which at least this share of what was sorted lies; None for nothing, or when none does."""
    counts = row[1:]
    reached, wanted = 0.0, share * sum(counts)
    for bound, count in zip(bounds, counts, strict=False):
        reached += count
        if reached and reached >= wanted:
            return bound
    return None


def _lock() -> RunningTotals:
    """The row, locked, so that nothing is counted twice. It begins with what happens from then on."""
    begin = {"id": ONE, "transaction_id": 0, "message_id": 0, "totals": {}}
    for name, model in (("transaction_id", LedgerTransaction), ("message_id", Message)):
        begin[name] = func.coalesce(select(func.max(model.id)).scalar_subquery(), 0)
    db.session.execute(pg_insert(RunningTotals).values(begin).on_conflict_do_nothing())
    wanted = select(RunningTotals).where(RunningTotals.id == ONE).with_for_update()
    return db.session.scalars(wanted.execution_options(populate_existing=True)).one()


def _settled(model: Any, at: Any, last: int) -> list[Any]:
    """The next rows, up to the first that is so young that one before it may not have committed yet."""
    young = select(func.min(model.id)).where(
        model.id > last, at >= func.now() - func.make_interval(0, 0, 0, 0, 0, 0, SETTLE_SECONDS)
    )
    until = db.session.scalar(young)
    wanted = select(model).where(model.id > last).order_by(model.id).limit(AT_ONCE)
    return list(db.session.scalars(wanted if until is None else wanted.where(model.id < until)))


def _count_money(totals: Totals, moved: list[Any]) -> None:
    """By kind of transaction: how many, and how much of the wallets' money, in minor units."""
    if not moved:
        return
    kinds = {each.id: each.kind for each in moved}
    for each in moved:
        _add(totals, "transactions", each.kind, 1)
    rows = db.session.execute(
        select(LedgerEntry.transaction_id, LedgerAccount.currency, func.sum(LedgerEntry.amount))
        .join(LedgerAccount, LedgerAccount.id == LedgerEntry.account_id)
        .where(LedgerEntry.transaction_id.in_(kinds), LedgerEntry.amount > 0, LedgerAccount.scale == 2)
        .group_by(LedgerEntry.transaction_id, LedgerAccount.currency)
    )
    for transaction_id, currency, amount in rows:
        _add(totals, "money", f"{kinds[transaction_id]} {currency}", int(amount))


def _count_activations(totals: Totals, moved: list[Any]) -> None:
    found = {each.id: _ACTIVATION.fullmatch(each.reference) for each in moved}
    ids = {int(match[1]) for match in found.values() if match}
    rows = {row.id: row for row in db.session.scalars(select(Activation).where(Activation.id.in_(ids)))} if ids else {}
    for each in moved:
        match = found[each.id]
        activation = rows.get(int(match[1])) if match else None
        if activation is None:
            continue
        if each.kind == "hold":
            _add(totals, "opened", "", 1)
        elif each.kind == "capture":
            _sort(totals, "code_seconds", activation.provider_name, activation.created_at, each.created_at)
        elif each.kind == "release":
            _add(totals, "released", f"{activation.provider_name} {activation.end_reason}", 1)
            if activation.end_reason == "no_code":
                _sort(totals, "refund_seconds", "", activation.expires_at, each.created_at)


def _count_credits(totals: Totals, moved: list[Any]) -> None:
    """From when the gateway first told us of a payment to when its money was in the wallet."""
    credited = {each.reference.removeprefix("top_up:"): each for each in moved if each.kind == "top_up"}
    if not credited:
        return
    events = db.session.execute(
        select(GatewayEvent.reference, func.min(GatewayEvent.received_at))
        .where(GatewayEvent.reference.in_(credited), GatewayEvent.event == "charge.success")
        .group_by(GatewayEvent.reference)
    )
    told = {reference: at for reference, at in events if at is not None}
    known = set(db.session.scalars(select(TopUp.reference).where(TopUp.reference.in_(credited))))
    for reference in known:
        at = credited[reference].created_at
        _sort(totals, "credit_seconds", "", told.get(reference, at), at)


def _count_messages(totals: Totals, messages: list[Any]) -> None:
    """From when the provider says it had a message to when we had it, where it says so."""
    timed = [message for message in messages if message.provider_at is not None and not message.is_late]
    wanted = select(Activation.id, Activation.provider_name).where(
        Activation.id.in_({message.activation_id for message in timed})
    )
    providers = {row.id: row.provider_name for row in db.session.execute(wanted)} if timed else {}
    for message in timed:
        provider = providers[message.activation_id]
        _sort(totals, "message_seconds", provider, message.provider_at, message.received_at)


def _add(totals: Totals, name: str, key: str, count: int) -> None:
    row = totals.setdefault(name, {})
    row[key] = row.get(key, 0) + count


def _sort(totals: Totals, name: str, key: str, begin: datetime | None, end: datetime) -> None:
    """Add a time to its row: the sum of all, then how many lie below each bound and above the one before, and those
    above the last."""
    if begin is None:
        return
    seconds = max(0.0, (end - begin).total_seconds())
    bounds = BOUNDS[name]
    row = list(totals.setdefault(name, {}).get(key) or [0.0] * (len(bounds) + 2))
    place = next((index for index, bound in enumerate(bounds) if seconds <= bound), len(bounds))
    row[0] = round(row[0] + seconds, 3)
    row[place + 1] += 1
    totals[name][key] = row


def _less(value: Any, before: Any) -> Any:
    if isinstance(value, list):
        return [new - old for new, old in zip(value, before or [0] * len(value), strict=True)]
    return value - (before or 0)
