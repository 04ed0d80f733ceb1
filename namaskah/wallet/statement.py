"""The statement: each movement of what a customer can spend, newest first, in a sentence that says why.

A purchase is one line when its money is held and, if no code comes, one more when it is back. Taking the held money
for good moves nothing here; it changes what the first line says.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime

from flask import current_app
from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l
from sqlalchemy import Row, select

from namaskah.db import db
from namaskah.money import parse_minor
from namaskah.wallet import invoices, periods
from namaskah.wallet.models import LedgerEntry, LedgerTransaction, TopUp
from namaskah.wallet.periods import Span

PAGE = 25
STEP = 500  # lines read at once where not each is wanted
MOST_LOOKED_AT = 5_000  # for one page
FILTERS: dict[str, tuple[str, ...]] = {
    "all": (),
    "in": ("top_up", "adjustment"),
    "bought": ("hold", "release", "refund"),
}

# What a reference is about, in the reader's language: {"activation": ids -> {id: "WhatsApp, Nigeria"}}.
# The wallet knows no activations; who holds money for something enters its describer here.
Describer = Callable[[list[str]], Mapping[str, str]]
describers: dict[str, Describer] = {}


# How a hold ended (None: not yet), and the reasons for which a release gave the money back.
HELD = {
    None: _l("%(what)s: held while you wait"),
    "capture": _l("%(what)s: bought, the code came"),
    "release": _l("%(what)s: held, then given back"),
}
NO_NUMBER = _l("%(what)s: no number to be had, money back")
RELEASED = {
    "no_code": _l("%(what)s: no code came, money back"),
    "customer_cancelled": _l("%(what)s: you cancelled, money back"),
    "number_used": _l("%(what)s: the number was used before, money back"),
    "provider_closed": _l("%(what)s: the number was closed early, money back"),
    "no_stock": NO_NUMBER,
    "provider_refused": NO_NUMBER,
    "nothing_bought": NO_NUMBER,
}
MONEY_BACK = _l("%(what)s: money back")
REFUNDED = _l("%(what)s: refunded")


TOP_UP = _l("Top-up")
TOPPED_UP = {"card": _l("Top-up with a kept card"), "auto": _l("Automatic top-up")}


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

    Raises KeyError for an unknown `show` (all, in, bought).
    """
    span, kinds = within or periods.whole(user_id), FILTERS[show]
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


def in_pieces(span: Span) -> Iterator[list[StatementRow]]:
    """All lines of a span, oldest first, some hundred at a time."""
    for first in range(span.first, span.end, STEP):
        piece = Span(span.account_id, first, min(first + STEP, span.end))
        yield _rows(_lines(piece, (), None, upwards=True))


def _look(
    span: Span, kinds: tuple[str, ...], words: str, wanted: int, *, upwards: bool
) -> tuple[list[StatementRow], Span]:
    """So many matching rows, and what of the span was not looked at. Lines are numbered without a gap, so a piece of
    the account is a range of its index, and however little matches no page looks at more than MOST_LOOKED_AT."""
    step = STEP if kinds or words else wanted
    found: list[StatementRow] = []
    looked = 0
    while span.lines and len(found) < wanted and looked < MOST_LOOKED_AT:
        at = min(step, span.lines)
        edge = span.first + at if upwards else span.end - at
        below, above = Span(span.account_id, span.first, edge), Span(span.account_id, edge, span.end)
        piece, span = (below, above) if upwards else (above, below)
        rows = _rows(_lines(piece, kinds, None if words else wanted - len(found), upwards=upwards))
        found += [row for row in rows if _has(row, words)]
        looked += at
    return found[:wanted], span


Line = Row[tuple[int, int, int, str, str, str, datetime]]


def _lines(span: Span, kinds: tuple[str, ...], limit: int | None, *, upwards: bool) -> list[Line]:
    """Newest first or, `upwards`, oldest first, so that the limit cuts at the far end."""
    query = (
        select(
            LedgerEntry.sequence,
            LedgerEntry.amount,
            LedgerEntry.balance_after,
            LedgerTransaction.kind,
            LedgerTransaction.reference,
            LedgerTransaction.note,
            LedgerTransaction.created_at,
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


def _has(row: StatementRow, words: str) -> bool:
    """Whether all the words stand in what the reader sees of a line, or they are its amount."""
    amount = parse_minor(words.strip().lstrip("+-\u2212"), current_app.config["WALLET_CURRENCY"])
    seen = " ".join(filter(None, (row.text, row.top_up_reference, row.receipt))).casefold()
    return amount == abs(row.amount_minor) or all(word in seen for word in words.casefold().split())


def _rows(lines: list[Line]) -> list[StatementRow]:
    subjects = _subjects({line.reference for line in lines})
    ends = _ends({line.reference for line in lines if line.kind == "hold"})
    topped = [found for line in lines if line.kind == "top_up" and (found := _id_of(line.reference, "top_up"))]
    receipts, origins = invoices.receipt_numbers(topped), _origins(topped)
    return [
        StatementRow(
            place=line.sequence,
            kind=line.kind,
            at=line.created_at,
            amount_minor=line.amount,
            balance_after_minor=line.balance_after,
            activation_id=_id_of(line.reference, "activation"),
            top_up_reference=(top_up := _id_of(line.reference, "top_up")),
            receipt=receipts.get(top_up or ""),
            text=_sentence(
                line.kind,
                subjects.get(line.reference, ""),
                origins.get(top_up or "") or ends.get(line.reference),
                line.note,
            ),
        )
        for line in lines
    ]


def _id_of(reference: str, kind: str) -> str | None:
    prefix, _colon, rest = reference.partition(":")
    return rest if prefix == kind else None


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
    """How holds ended: captured or released; those still open are missing."""
    rows = db.session.execute(
        select(LedgerTransaction.reference, LedgerTransaction.kind).where(
            LedgerTransaction.reference.in_(references), LedgerTransaction.kind.in_(("capture", "release"))
        )
    )
    return {row.reference: row.kind for row in rows}


def _origins(references: list[str]) -> dict[str, str]:
    """How top-ups were paid: "checkout", "card" or "auto"."""
    rows = db.session.execute(select(TopUp.reference, TopUp.origin).where(TopUp.reference.in_(references)))
    return {row.reference: row.origin for row in rows} if references else {}


def _sentence(kind: str, subject: str, end: str | None, note: str) -> str:
    """One line in the reader's language. `end` is how a hold ended or a top-up was paid. A release carries why it came
    as its note; an adjustment its reason."""
    if kind == "top_up":
        return str(TOPPED_UP.get(end or "", TOP_UP))
    if kind == "adjustment":
        return str(_("Correction: %(reason)s", reason=note))
    if kind == "hold":
        sentence = HELD[end]
    elif kind == "release":
        sentence = RELEASED.get(note, MONEY_BACK)
    else:
        sentence = REFUNDED
    return str(sentence) % {"what": subject or _("A number")}
