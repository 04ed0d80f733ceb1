"""What an import did, or would do: a text to read, and beside it every odd thing as a row of a CSV file.

Both name people by their address, so only their owner may read them.
"""

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from decimal import Decimal
from functools import cached_property
from pathlib import Path

from namaskah.legacy.findings import KINDS, SET_ASIDE, Finding, order
from namaskah.legacy.importing import Outcome
from namaskah.legacy.rules import Plan
from namaskah.money import MINOR_DIGITS
from namaskah.numbers import rates
from namaskah.spreadsheets import csv_lines

SHOWN = 20  # rows of a kind in the text; the CSV file has them all
WORDS = {
    "new": "accounts made",
    "joined": "joined to an account that was here",
    "released": "set aside until now, brought over as decided",
    "waits": "set aside earlier and still",
    "known": "brought over earlier",
    "nobody": "no account: without an address, or with one that is here and was never confirmed",
}


@dataclass(frozen=True)
class Report:
    """`opened`: how many opening entries there are in all, and their sum, after a run that wrote."""

    plan: Plan
    outcomes: Sequence[Outcome]
    is_dry: bool
    unknown_decisions: Sequence[str] = ()
    opened: tuple[int, int] | None = None

    @cached_property
    def addresses(self) -> dict[str, str]:
        """By the predecessor's id, as the file has them."""
        return {each.account.legacy_id: each.account.written for each in self.outcomes}

    def findings(self) -> list[Finding]:
        """Those of the file, and those that the database knows of."""
        known = {(each.kind, each.account) for each in self.plan.findings}
        decided = {each.account.legacy_id for each in self.outcomes if not each.reasons}
        found = [_decided(each) if each.account in decided else each for each in self.plan.findings]
        for outcome in self.outcomes:
            account = outcome.account
            for kind in (*outcome.reasons, *outcome.notes):
                if (kind, account.legacy_id) not in known:
                    found.append(Finding(kind, "users", account.legacy_id, account.legacy_id, account.credits))
        return found + [Finding("not_in_file", "--decisions", each) for each in self.unknown_decisions]


def _decided(found: Finding) -> Finding:
    """The same of an account whose money does not wait: if this was a reason to, somebody has decided."""
    told = "; ".join(filter(None, (found.detail, "brought over all the same, as decided")))
    return replace(found, detail=told) if found.kind in SET_ASIDE else found


def write(report: Report, base: Path) -> tuple[Path, Path]:
    """BASE.txt and BASE.csv, in the place of earlier ones; returns both."""
    text, table = Path(f"{base}.txt"), Path(f"{base}.csv")
    _write(text, "\n".join(_lines(report)) + "\n")
    _write(table, csv_lines(list(_rows(report))))
    return text, table


def summary(report: Report) -> list[str]:
    """The part that is shown at once."""
    did = "would be" if report.is_dry else "was"
    now, before = sum(each.minor for each in report.outcomes), sum(each.before_minor for each in report.outcomes)
    aside = sum(each.aside_minor for each in report.outcomes)
    actions = Counter(each.action for each in report.outcomes)
    lines = [f"{len(report.outcomes)} accounts in the file:"]
    lines += [f"  {actions[action]:>7}  {words}" for action, words in WORDS.items() if actions[action]]
    lines += ["", f"Money, at {report.plan.unit.written} a credit:"]
    lines += [f"  {_money(now):>20}  {did} brought over now"]
    lines += [f"  {_money(before):>20}  was brought over earlier"] if before else []
    lines += [f"  {_money(aside):>20}  {'would be' if report.is_dry else 'is'} set aside for a person to decide"]
    lines += [f"  {_money(now + before + aside):>20}  together"]
    return lines


def _lines(report: Report) -> Iterator[str]:
    plan = report.plan
    yield f"Import of {plan.file.name} (version {plan.file.version}) on {datetime.now(UTC):%Y-%m-%d %H:%M} UTC"
    yield f"SHA-256 {plan.file.digest}"
    yield "DRY RUN: nothing was written." if report.is_dry else "Written."
    rate = (
        ""
        if plan.unit.rate == 1
        else f", at {rates.shown(plan.unit.rate)} {rates.wallet_currency()} a {plan.unit.currency}"
    )
    yield f"One credit is {plan.unit.written}{rate}."
    yield "This report names people: keep it where only you can read it, and delete it when it has served."
    yield from ("", *summary(report), "", *_sums(report), "", *_tables(plan))
    yield from (
        "",
        "PASSWORDS",
        "",
        "  None was brought over: accounts of Google sign-in had one that is no secret, and cannot",
    )
    yield from ("  be told from others. Everybody chooses a new one by the letter of “Forgot your password?”.",)
    for question in plan.questions:
        yield from ("", "TO BE CONFIRMED WITH --meant", "", f"  {question}")
    for kind, rows in order(report.findings()).items():
        yield from ("", f"{kind.upper()} ({len(rows)}): {KINDS[kind].what}.", f"  {KINDS[kind].then}", "")
        yield from (f"  {_shown(each, report)}" for each in rows[:SHOWN])
        if len(rows) > SHOWN:
            yield f"  … and {len(rows) - SHOWN} more: see the CSV file"


def _sums(report: Report) -> Iterator[str]:
    """The file's own sum in credits, part by part: it must come out."""
    parts: Counter[str] = Counter()
    for each in report.outcomes:
        cents = each.account.cents or 0
        earlier = "brought over earlier" if each.action == "known" else "brought over"
        parts["below zero, nothing booked" if cents < 0 else "set aside" if each.reasons else earlier] += cents
    total = sum(each.account.cents or 0 for each in report.outcomes)
    yield "CREDITS OF THE FILE"
    yield ""
    yield from (f"  {Decimal(cents).scaleb(-2):>16,}  {part}" for part, cents in parts.items() if cents)
    yield f"  {Decimal(total).scaleb(-2):>16,}  sum of all balances"
    if report.opened is not None:
        yield f"  In the ledger there are {report.opened[0]} opening entries now, {_money(report.opened[1])} in all."


def _tables(plan: Plan) -> Iterator[str]:
    yield "TABLES (rows, of these brought over)"
    yield ""
    for name, rows, kept, why in plan.tables:
        yield f"  {rows:>9,} {kept:>9,}  {name}{f': {why}' if why else ''}"


def _shown(each: Finding, report: Report) -> str:
    credits = "" if each.credits is None else f"{each.credits} credits"
    address = report.addresses.get(each.account, "")
    row = f"{each.table} {each.row}".strip()
    of = each.account if each.account != each.row else ""
    return "  ".join(filter(None, (row, of and f"of {of}", address, credits, each.detail)))


def _rows(report: Report) -> Iterator[Sequence[object]]:
    yield ("kind", "sets_aside", "table", "row", "account", "email", "credits", "detail", "what", "then")
    for kind, rows in order(report.findings()).items():
        words = (KINDS[kind].what, KINDS[kind].then)
        for each in rows:
            place = (
                kind,
                kind in SET_ASIDE,
                each.table,
                each.row,
                each.account,
                report.addresses.get(each.account, ""),
            )
            yield (*place, each.credits, each.detail, *words)


def _money(minor: int) -> str:
    currency = rates.wallet_currency()
    return f"{Decimal(minor).scaleb(-MINOR_DIGITS[currency]):,} {currency}"


def _write(path: Path, content: str) -> None:
    """Whole or not at all, and for its owner's eyes."""
    half = path.with_name(f"{path.name}.new")
    half.unlink(missing_ok=True)
    with os.fdopen(os.open(half, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        file.write(content)
    half.replace(path)
