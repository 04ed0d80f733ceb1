"""The statement: each movement of what a customer can spend, newest first, in a sentence that says why.

A purchase is one line when its money is held and, if no code comes, one more when it is back. Taking the held money
for good moves nothing here; it changes what the first line says.

A customer's own money and their gifts are two accounts with a balance each, and so two statements, made alike: `gifts`
shows the other one. A purchase paid from both has a line in both; that of the own money says how much was a gift.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from itertools import chain
from typing import Any

from flask import current_app
from sqlalchemy import Row, ScalarSelect, func, null, select
from sqlalchemy.orm import aliased

from namaskah.db import db
from namaskah.money import parse_minor
from namaskah.wallet import invoices, periods, refund_reading
from namaskah.wallet.dispute_models import Dispute
from namaskah.wallet.models import LedgerAccount, LedgerEntry, LedgerTransaction, TopUp
from namaskah.wallet.periods import Span
from namaskah.wallet.statement_words import say

PAGE = 25
STEP = 1_000  # lines read at once where not each is wanted
MOST_LOOKED_AT = 5_000  # for one page
FILTERS: dict[str, tuple[str, ...]] = {
    "all": (),
    "in": (
        *("top_up", "opening_balance", "adjustment", "refund_to_source_begin", "refund_to_source_back"),
        *("refund_to_source_return", "refund_to_source_late", "dispute_won"),
    ),
    "bought": ("hold", "release", "refund"),
    "gifts": (),
}
ACCOUNTS = {"gifts": "user_promo"}  # which account a filter is about, if not the customer's own money
# What sets money aside → what ends that.
ENDS = {"hold": ("capture", "release"), "refund_to_source_begin": ("refund_to_source", "refund_to_source_back")}

# What a reference is about, in the reader's language: {"activation": ids -> {id: "WhatsApp, Nigeria"}}.
# The wallet knows no activations; who holds money for something enters its describer here.
Describer = Callable[[list[str]], Mapping[str, str]]
describers: dict[str, Describer] = {}


@dataclass(frozen=True)
class StatementRow:
    """One line. Amounts are signed minor units; `place` counts the account's lines from 1, without a gap; `receipt` is
    the number of a top-up's."""

    place: int
    kind: str
    at: datetime
    amount_minor: int
    balance_after_minor: int
    activation_id: str | None
    top_up_reference: str | None
    receipt: str | None
    text: str


@dataclass(frozen=True)
class StatementPage:
    """Rows newest first. `next_before` and `next_after` lead to older and newer ones, None at the end. `is_cut`: enough
    was looked through for one page, and what matches may go on beyond."""

    rows: list[StatementRow]
    next_before: int | None
    next_after: int | None
    is_cut: bool = False


def statement(
    user_id: int,
    show: str = "all",
    before: int | None = None,
    after: int | None = None,
    limit: int = PAGE,
    within: Span | None = None,
    words: str = "",
) -> StatementPage:
    """One page of a user's statement: the newest, those older than line `before`, or those newer than `after`; of what
    is `within`, and of that what has all the words (or is the amount) in what the reader sees.

    Raises KeyError for an unknown `show` (all, in, bought, gifts).
    """
    kinds = FILTERS[show]
    span = within or periods.whole(user_id, account_of(show))
    if after is not None and before is None:
        rest = Span(span.account_id, max(span.first, after + 1), span.end)
        found, rest = _look(rest, kinds, words, limit + 1, upwards=True)
        rows = found[:limit][::-1]
        newer = rows[0].place if len(found) > limit else rest.first - 1 if rest.lines else None
        older = rows[-1].place if rows else after + 1 if rest.lines else None
    else:
        rest = Span(span.account_id, span.first, span.end if before is None else min(span.end, before))
        found, rest = _look(rest, kinds, words, limit + 1, upwards=False)
        rows = found[:limit]
        older = rows[-1].place if len(found) > limit else rest.end if rest.lines else None
        newer = None if before is None or not (rows or rest.lines) else rows[0].place if rows else before - 1
    return StatementPage(rows, older, newer, is_cut=len(found) <= limit and bool(rest.lines))


def moved_last(user_id: int, reference: str) -> bool:
    """Whether nothing has moved what a customer can spend since this reference did: then the balance of now is the one
    that came of it."""
    newest = select(LedgerEntry.transaction_id).where(LedgerEntry.account_id == LedgerAccount.id)
    of_each = newest.order_by(LedgerEntry.sequence.desc()).limit(1).scalar_subquery()
    spendable = LedgerAccount.user_id == user_id, LedgerAccount.kind.in_(("user_available", "user_promo"))
    last = select(func.max(of_each)).where(*spendable).scalar_subquery()
    return db.session.scalar(select(LedgerTransaction.reference).where(LedgerTransaction.id == last)) == reference


def account_of(show: str) -> str:
    """The kind of account that a filter shows."""
    return ACCOUNTS.get(show, "user_available")


def in_pieces(span: Span) -> Iterator[list[StatementRow]]:
    """All lines of a span, oldest first, some at a time."""
    gifts = _gifts_beside(span)
    for first in range(span.first, span.end, STEP):
        piece = Span(span.account_id, first, min(first + STEP, span.end))
        yield _rows(_lines(piece, (), None, gifts, upwards=True))


def _look(
    span: Span, kinds: tuple[str, ...], words: str, wanted: int, *, upwards: bool
) -> tuple[list[StatementRow], Span]:
    """So many matching rows, and what of the span was not looked at. Lines are numbered without a gap, so a piece of
    the account is a range of its index, and however little matches no page looks at more than MOST_LOOKED_AT."""
    step = STEP if kinds or words else wanted
    needle, gifts, said = _Needle.of(words), _gifts_beside(span), cache(say)
    found: list[Any] = []
    looked = 0
    while span.lines and len(found) < wanted and looked < MOST_LOOKED_AT:
        at = min(step, span.lines)
        edge = span.first + at if upwards else span.end - at
        below, above = Span(span.account_id, span.first, edge), Span(span.account_id, edge, span.end)
        piece, span = (below, above) if upwards else (above, below)
        lines = _lines(piece, kinds, None if words else wanted - len(found), gifts, upwards=upwards)
        # Words are looked for in what the reader sees; of kinds alone all lines are made into rows at once.
        found += _rows(lines, needle, said) if words else lines
        looked += at
    return found[:wanted] if words else _rows(found), span


Line = Row[int, int, int, str, str, str, datetime, int | None]


def _lines(span: Span, kinds: tuple[str, ...], limit: int | None, gifts: int | None, *, upwards: bool) -> list[Line]:
    """Newest first or, `upwards`, oldest first, so that the limit cuts at the far end. `gifts` is the account of what
    may have moved beside them."""
    query = (
        select(
            LedgerEntry.sequence,
            LedgerEntry.amount,
            LedgerEntry.balance_after,
            LedgerTransaction.kind,
            LedgerTransaction.reference,
            LedgerTransaction.note,
            LedgerTransaction.created_at,
            (null() if gifts is None else _moved_in(gifts)).label("gift"),
        )
        .join(LedgerTransaction)
        .where(
            LedgerEntry.account_id == span.account_id,
            LedgerEntry.sequence >= span.first,
            LedgerEntry.sequence < span.end,
        )
        .order_by(LedgerEntry.sequence if upwards else LedgerEntry.sequence.desc())
        .limit(limit)
    )
    if kinds:
        query = query.where(LedgerTransaction.kind.in_(kinds))
    return list(db.session.execute(query))


def _gifts_beside(span: Span) -> int | None:
    """The account of the same customer's gifts, where lines of it can stand beside those of this one."""
    mine, gifts = aliased(LedgerAccount), aliased(LedgerAccount)
    same = (gifts.user_id == mine.user_id) & (gifts.currency == mine.currency) & (gifts.id != mine.id)
    wanted = select(gifts.id).join(mine, same).where(mine.id == span.account_id, gifts.kind == "user_promo")
    return db.session.scalar(wanted)


def _moved_in(account_id: int) -> ScalarSelect[int]:
    """What the same transaction moved in that account."""
    entry = aliased(LedgerEntry)
    beside = (entry.transaction_id == LedgerEntry.transaction_id) & (entry.account_id == account_id)
    return select(entry.amount).where(beside).correlate(LedgerEntry).scalar_subquery()


@dataclass(frozen=True)
class _Needle:
    """What is looked for: words that the reader sees, or an amount."""

    words: tuple[str, ...] = ()
    amount_minor: int | None = None

    @classmethod
    def of(cls, words: str) -> "_Needle":
        amount = parse_minor(words.strip().lstrip("+-\u2212"), current_app.config["WALLET_CURRENCY"])
        return cls(tuple(words.casefold().split()), amount)

    def fits(self, amount_minor: int, *seen: str | None) -> bool:
        """Whether all the words stand in what is seen of a line, or they are its amount."""
        if self.amount_minor == abs(amount_minor):
            return True
        text = " ".join(filter(None, seen)).casefold()
        return all(word in text for word in self.words)


def _rows(lines: list[Line], needle: _Needle | None = None, said: Callable[..., str] = say) -> list[StatementRow]:
    """What the reader sees of these lines; of those alone in which the needle is. `said` is `say`, or remembers what it
    has said: most lines of many read like another one."""
    subjects = _subjects({line.reference for line in lines})
    ends = _ends({line.reference for line in lines if line.kind in ENDS})
    refunded = refund_reading.top_ups_of(
        reference for line in lines if (reference := _id_of(line.reference, "gateway_refund"))
    )
    paid = [ref for line in lines if line.kind == "top_up" and (ref := _id_of(line.reference, "top_up"))]
    receipts, fees = (invoices.receipt_numbers(paid), invoices.fees_borne(paid)) if paid else ({}, {})
    origins = _origins(paid)
    disputed = disputed_payments(line.reference for line in lines)
    rows = []
    for place, amount, balance_after, kind, reference, note, at, gift in lines:
        paid_by = _id_of(reference, "top_up") or ""
        top_up = paid_by or refunded.get(_id_of(reference, "gateway_refund") or "") or disputed.get(reference)
        receipt = receipts.get(paid_by)
        end = origins.get(paid_by) or ends.get(reference)
        text = said(kind, subjects.get(reference, ""), end, note, gift, fees.get(paid_by))
        if needle is None or needle.fits(amount, text, top_up, receipt):
            activation = _id_of(reference, "activation")
            rows.append(StatementRow(place, kind, at, amount, balance_after, activation, top_up, receipt, text))
    return rows


def _id_of(reference: str, kind: str) -> str | None:
    prefix, _colon, rest = reference.partition(":")
    return rest if prefix == kind else None


def disputed_payments(references: Iterable[str]) -> dict[str, str]:
    """Ledger reference of a dispute's movements → reference of the top-up that it is about."""
    numbers = {each: _id_of(each, "dispute") for each in references}
    ids = {each: number.partition(".")[0] for each, number in numbers.items() if number}
    if not ids:
        return {}
    rows = db.session.execute(
        select(Dispute.gateway_id, TopUp.reference).join(Dispute.top_up).where(Dispute.gateway_id.in_(ids.values()))
    )
    found = {row[0]: row[1] for row in rows}
    return {each: found[number] for each, number in ids.items() if number in found}


def _subjects(references: Iterable[str]) -> dict[str, str]:
    """What each reference is about, asked of its describer, one call a kind."""
    ids: dict[str, list[str]] = defaultdict(list)
    for reference in references:
        kind, _colon, rest = reference.partition(":")
        ids[kind].append(rest)
    found: dict[str, str] = {}
    for kind, wanted in ids.items():
        if kind in describers:
            found |= {f"{kind}:{rest}": text for rest, text in describers[kind](wanted).items()}
    return found


def _ends(references: set[str]) -> dict[str, str]:
    """How what was set aside ended: captured, released, sent back or not; what is still open is missing."""
    rows = db.session.execute(
        select(LedgerTransaction.reference, LedgerTransaction.kind).where(
            LedgerTransaction.reference.in_(references), LedgerTransaction.kind.in_(chain(*ENDS.values()))
        )
    )
    return {row.reference: row.kind for row in rows}


def _origins(references: list[str]) -> dict[str, str]:
    """How top-ups were paid: "checkout", "card" or "auto"."""
    if not references:
        return {}
    rows = db.session.execute(select(TopUp.reference, TopUp.origin).where(TopUp.reference.in_(references)))
    return {row.reference: row.origin for row in rows}
