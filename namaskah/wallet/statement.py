"""The statement: each movement of what a customer can spend, newest first, in a sentence that says why.

A purchase is one line when its money is held and, if no code comes, one more when it is back. Taking the held money
for good moves nothing here; it changes what the first line says.

A customer's own money and their gifts are two accounts with a balance each, and so two statements, made alike: `gifts`
shows the other one. A purchase paid from both has a line in both; that of the own money says how much was a gift.
"""

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from itertools import chain

from flask import current_app
from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l
from sqlalchemy import Row, ScalarSelect, select
from sqlalchemy.orm import aliased

from namaskah.db import db
from namaskah.filters import money_text
from namaskah.money import parse_minor
from namaskah.wallet import invoices, periods, refund_reading
from namaskah.wallet.dispute_models import Dispute
from namaskah.wallet.models import LedgerAccount, LedgerEntry, LedgerTransaction, TopUp
from namaskah.wallet.periods import Span

PAGE = 25
STEP = 500  # lines read at once where not each is wanted
MOST_LOOKED_AT = 5_000  # for one page
FILTERS: dict[str, tuple[str, ...]] = {
    "all": (),
    "in": (
        *("top_up", "adjustment", "refund_to_source_begin", "refund_to_source_back"),
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
# A top-up sent back: how that ended (None: not yet), and what moved afterwards.
SENT_BACK = {
    None: _l("On its way back to where you paid it from"),
    "refund_to_source": _l("Sent back to where you paid it from"),
    "refund_to_source_back": _l("Was to go back to where you paid it from"),
}
CALLED_OFF = "cancelled"
AFTER_SENDING_BACK = {
    "refund_to_source_back": _l("Could not be sent back: in your wallet again"),
    "refund_to_source_return": _l("Your bank did not take it: in your wallet again"),
    "refund_to_source_late": _l("Sent back to where you paid it from after all"),
}
MONEY_BACK = _l("%(what)s: money back")
REFUNDED = _l("%(what)s: refunded")
GIFT_OVER = {
    "expired": _l("Gift: what was left of it has run out"),
    "account deleted": _l("Gift: given up with the account"),
}
VOUCHER = re.compile("voucher:([0-9A-Z]{4})")  # the note of a gift that came by a code: its last four letters
# What disputes do to a wallet; the reason of one that was won is "changed" when the bank wants another amount.
DISPUTED = {
    "dispute_open": _l("Payment disputed at its bank: set aside until that is decided"),
    "dispute_won": _l("Dispute over, the payment stands: money back"),
    "dispute_lost": _l("Dispute over: the bank took the payment back"),
    "debt_paid": _l("Paid what was owed after a disputed payment"),
    "debt_written_off": _l("What was owed after a disputed payment was given up"),
}
DISPUTE_CHANGED = _l("The bank disputes another amount: money back, and taken anew")


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


def account_of(show: str) -> str:
    """The kind of account that a filter shows."""
    return ACCOUNTS.get(show, "user_available")


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


Line = Row[tuple[int, int, int, str, str, str, datetime, int | None]]


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
            _beside_it().label("gift"),
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


def _beside_it() -> ScalarSelect[int]:
    """What the same transaction moved of the customer's gifts, for a line that is not one of those itself."""
    entry = aliased(LedgerEntry)
    return (
        select(entry.amount)
        .join(LedgerAccount, LedgerAccount.id == entry.account_id)
        .where(
            entry.transaction_id == LedgerEntry.transaction_id,
            entry.account_id != LedgerEntry.account_id,
            LedgerAccount.kind == "user_promo",
        )
        .correlate(LedgerEntry)
        .scalar_subquery()
    )


def _has(row: StatementRow, words: str) -> bool:
    """Whether all the words stand in what the reader sees of a line, or they are its amount."""
    amount = parse_minor(words.strip().lstrip("+-\u2212"), current_app.config["WALLET_CURRENCY"])
    seen = " ".join(filter(None, (row.text, row.top_up_reference, row.receipt))).casefold()
    return amount == abs(row.amount_minor) or all(word in seen for word in words.casefold().split())


def _rows(lines: list[Line]) -> list[StatementRow]:
    subjects = _subjects({line.reference for line in lines})
    ends = _ends({line.reference for line in lines if line.kind in ENDS})
    refunded = refund_reading.top_ups_of(
        reference for line in lines if (reference := _id_of(line.reference, "gateway_refund"))
    )
    paid = [ref for line in lines if line.kind == "top_up" and (ref := _id_of(line.reference, "top_up"))]
    receipts, fees = (invoices.receipt_numbers(paid), invoices.fees_borne(paid)) if paid else ({}, {})
    origins = _origins(paid)
    disputed = disputed_payments(line.reference for line in lines)
    return [
        StatementRow(
            place=line.sequence,
            kind=line.kind,
            at=line.created_at,
            amount_minor=line.amount,
            balance_after_minor=line.balance_after,
            activation_id=_id_of(line.reference, "activation"),
            top_up_reference=(top_up := _id_of(line.reference, "top_up"))
            or refunded.get(_id_of(line.reference, "gateway_refund") or "")
            or disputed.get(line.reference),
            receipt=receipts.get(top_up or ""),
            text=_with_fee(fees[top_up], origins.get(top_up))
            if line.kind == "top_up" and top_up in fees
            else _with_gift(
                _sentence(
                    line.kind,
                    subjects.get(line.reference, ""),
                    origins.get(top_up or "") or ends.get(line.reference),
                    line.note,
                ),
                line.gift,
            ),
        )
        for line in lines
    ]


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


def _with_fee(fee_minor: int, origin: str | None) -> str:
    """A top-up whose payer bore the gateway's fee: it was paid, and never was in the wallet."""
    fee = money_text(fee_minor)
    if origin == "auto":
        return str(_("Automatic top-up; Paystack’s fee of %(fee)s was paid on top", fee=fee))
    return str(_("Top-up; Paystack’s fee of %(fee)s was paid on top", fee=fee))


def _origins(references: list[str]) -> dict[str, str]:
    """How top-ups were paid: "checkout", "card" or "auto"."""
    if not references:
        return {}
    rows = db.session.execute(select(TopUp.reference, TopUp.origin).where(TopUp.reference.in_(references)))
    return {row.reference: row.origin for row in rows}


def _sentence(kind: str, subject: str, end: str | None, note: str) -> str:
    """One line in the reader's language. `end` is how a hold ended or a top-up was paid. A release carries why it came
    as its note; an adjustment its reason."""
    if kind == "top_up":
        return str(TOPPED_UP.get(end or "", TOP_UP))
    if kind == "adjustment":
        return str(_("Correction: %(reason)s", reason=note))
    if kind == "promo_granted":
        by_code = VOUCHER.fullmatch(note)
        return str(_("Gift by code …%(code)s", code=by_code[1]) if by_code else _("Gift: %(reason)s", reason=note))
    if kind == "promo_expired":
        return str(GIFT_OVER.get(note, GIFT_OVER["expired"]))
    if kind == "refund_to_source_begin":
        return str(SENT_BACK[end])
    if kind == "refund_to_source_back" and note == CALLED_OFF:
        return str(_("Not sent back after all: in your wallet again"))
    if kind in AFTER_SENDING_BACK:
        return str(AFTER_SENDING_BACK[kind])
    if kind in DISPUTED:
        return str(DISPUTE_CHANGED if note == "changed" else DISPUTED[kind])
    if kind == "hold":
        sentence = HELD[end]
    elif kind == "release":
        sentence = RELEASED.get(note, MONEY_BACK)
    else:
        sentence = REFUNDED
    return str(sentence) % {"what": subject or _("A number")}


def _with_gift(sentence: str, gift_minor: int | None) -> str:
    """A line of the customer's own money, and what came from or went back to gifts beside it."""
    if not gift_minor:
        return sentence
    amount = money_text(abs(gift_minor))
    if gift_minor < 0:
        return str(_("%(line)s (and %(amount)s of a gift)", line=sentence, amount=amount))
    return str(_("%(line)s (and %(amount)s to your gifts)", line=sentence, amount=amount))
