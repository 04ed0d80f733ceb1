"""The statement: each movement of what a customer can spend, newest first, in a sentence that says why.

A purchase is one line when its money is held and, if no code comes, one more when it is back. Taking the held money
for good moves nothing here; it changes what the first line says.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from flask import current_app
from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l
from sqlalchemy import Row, select

from namaskah.db import db
from namaskah.wallet import invoices
from namaskah.wallet.models import LedgerAccount, LedgerEntry, LedgerTransaction

PAGE = 25
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


@dataclass(frozen=True)
class StatementRow:
    """One line. Amounts are signed minor units; `entry_id` is the place in the list, for paging; `receipt` is the
    number of a top-up's."""

    entry_id: int
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
    """Rows newest first. `next_before` and `next_after` lead to older and newer ones, None at the end."""

    rows: list[StatementRow]
    next_before: int | None
    next_after: int | None


def statement(
    user_id: int, show: str = "all", before: int | None = None, after: int | None = None, limit: int = PAGE
) -> StatementPage:
    """One page of a user's statement: the newest, those older than entry `before`, or those newer than `after`.

    Raises KeyError for an unknown `show` (all, in, bought).
    """
    found = _lines(user_id, FILTERS[show], before, after, limit + 1)
    lines, has_more = found[:limit], len(found) > limit
    if after is not None and before is None:
        lines.reverse()
        has_newer, has_older = has_more, True
    else:
        has_newer, has_older = before is not None, has_more
    rows = _rows(lines)
    if not rows:
        return StatementPage([], None, None)
    return StatementPage(rows, rows[-1].entry_id if has_older else None, rows[0].entry_id if has_newer else None)


Line = Row[tuple[int, int, int, str, str, str, datetime]]


def _lines(user_id: int, kinds: tuple[str, ...], before: int | None, after: int | None, limit: int) -> list[Line]:
    """Newest first; with `after` oldest first, so that the limit cuts at the far end."""
    query = (
        select(
            LedgerEntry.id,
            LedgerEntry.amount,
            LedgerEntry.balance_after,
            LedgerTransaction.kind,
            LedgerTransaction.reference,
            LedgerTransaction.note,
            LedgerTransaction.created_at,
        )
        .join(LedgerTransaction)
        .join(LedgerAccount, LedgerAccount.id == LedgerEntry.account_id)
        .where(
            LedgerAccount.kind == "user_available",
            LedgerAccount.user_id == user_id,
            LedgerAccount.currency == current_app.config["WALLET_CURRENCY"],
        )
        .limit(limit)
    )
    if kinds:
        query = query.where(LedgerTransaction.kind.in_(kinds))
    if before is not None:
        return list(db.session.execute(query.where(LedgerEntry.id < before).order_by(LedgerEntry.id.desc())))
    if after is not None:
        return list(db.session.execute(query.where(LedgerEntry.id > after).order_by(LedgerEntry.id)))
    return list(db.session.execute(query.order_by(LedgerEntry.id.desc())))


def _rows(lines: list[Line]) -> list[StatementRow]:
    subjects = _subjects({line.reference for line in lines})
    ends = _ends({line.reference for line in lines if line.kind == "hold"})
    receipts = invoices.receipt_numbers(
        reference for line in lines if line.kind == "top_up" and (reference := _id_of(line.reference, "top_up"))
    )
    return [
        StatementRow(
            entry_id=line.id,
            kind=line.kind,
            at=line.created_at,
            amount_minor=line.amount,
            balance_after_minor=line.balance_after,
            activation_id=_id_of(line.reference, "activation"),
            top_up_reference=(top_up := _id_of(line.reference, "top_up")),
            receipt=receipts.get(top_up or ""),
            text=_sentence(line.kind, subjects.get(line.reference, ""), ends.get(line.reference), line.note),
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


def _sentence(kind: str, subject: str, end: str | None, note: str) -> str:
    """One line in the reader's language. A release carries why it came as its note; an adjustment its reason."""
    if kind == "top_up":
        return str(_("Top-up"))
    if kind == "adjustment":
        return str(_("Correction: %(reason)s", reason=note))
    if kind == "hold":
        sentence = HELD[end]
    elif kind == "release":
        sentence = RELEASED.get(note, MONEY_BACK)
    else:
        sentence = REFUNDED
    return str(sentence) % {"what": subject or _("A number")}
