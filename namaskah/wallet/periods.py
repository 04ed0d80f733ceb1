"""A piece of a customer's account: all of it, or what moved from one day to another in the reader's time zone.

The lines of a user's account are numbered without a gap, so a piece is two numbers. Where a day begins is found by
halving: twenty look-ups in the index for a million lines, and no index of times to keep.
"""

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

from flask import current_app
from flask_babel import get_timezone
from sqlalchemy import func, select, text

from namaskah.db import db
from namaskah.wallet.models import LedgerAccount, LedgerEntry, LedgerTransaction

# Whoever waited for the account's lock began earlier than who had it first: beginnings of transactions, which is what
# lines are dated by, are in order but for such neighbours.
NEIGHBOURS = 100

_HALVING = text("""
WITH RECURSIVE halves (low, high) AS (
    SELECT CAST(1 AS bigint), CAST(:end AS bigint)
    UNION ALL
    SELECT CASE WHEN t.created_at < :at THEN e.sequence + 1 ELSE h.low END,
           CASE WHEN t.created_at < :at THEN h.high ELSE e.sequence END
      FROM halves h
      JOIN ledger_entries e ON e.account_id = :account_id AND e.sequence = (h.low + h.high) / 2
      JOIN ledger_transactions t ON t.id = e.transaction_id
     WHERE h.low < h.high)
SELECT low FROM halves WHERE low = high
""")


@dataclass(frozen=True)
class Span:
    """The lines `first` … `end` - 1 of an account; None is the account of who never had money."""

    account_id: int | None
    first: int
    end: int

    @property
    def lines(self) -> int:
        return max(self.end - self.first, 0)


def whole(user_id: int, kind: str = "user_available") -> Span:
    """Everything so far of the customer's own money, or of their account of another kind."""
    found = db.session.execute(
        select(LedgerAccount.id, LedgerAccount.sequence).filter_by(
            kind=kind, user_id=user_id, provider=None, currency=current_app.config["WALLET_CURRENCY"]
        )
    ).one_or_none()
    return Span(found.id, 1, found.sequence + 1) if found else Span(None, 1, 1)


def span(user_id: int, since: date | None, until: date | None, kind: str = "user_available") -> Span:
    """What moved from the first moment of `since` to the last of `until`; None leaves that side open."""
    all_of_it = whole(user_id, kind)
    first = _first_line_from(all_of_it, midnight(since)) if since else 1
    end = _first_line_from(all_of_it, midnight(until + timedelta(days=1))) if until else all_of_it.end
    return Span(all_of_it.account_id, first, max(first, end))


def midnight(day: date) -> datetime:
    """When a day begins for the reader. Where clocks skip midnight, the moment they do; where it comes twice, the first
    one."""
    return datetime(day.year, day.month, day.day, tzinfo=ZoneInfo(str(get_timezone()))).astimezone(UTC)


def balances(piece: Span) -> tuple[int, int]:
    """What the account held before the first line and after the last, in minor units."""
    wanted = {piece.first - 1, piece.end - 1}
    query = select(LedgerEntry.sequence, LedgerEntry.balance_after).where(
        LedgerEntry.account_id == piece.account_id, LedgerEntry.sequence.in_(wanted)
    )
    found = {row.sequence: row.balance_after for row in db.session.execute(query)}
    return found.get(piece.first - 1) or 0, found.get(piece.end - 1) or 0


def _first_line_from(all_of_it: Span, at: datetime) -> int:
    """The number of the first line of that moment or later; one past the last if there is none."""
    values = {"account_id": all_of_it.account_id, "end": all_of_it.end, "at": at}
    near = db.session.scalar(_HALVING, values) or 1
    earliest = db.session.scalar(
        select(func.min(LedgerEntry.sequence))
        .join(LedgerTransaction)
        .where(
            LedgerEntry.account_id == all_of_it.account_id,
            LedgerEntry.sequence.between(near - NEIGHBOURS, near),
            LedgerTransaction.created_at >= at,
        )
    )
    return earliest or near
