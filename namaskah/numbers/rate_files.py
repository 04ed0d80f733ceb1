"""Rates from a file: currency,rate,valid_from[,source], a line each. All of it, or nothing."""

import csv
import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal

from sqlalchemy import select

from namaskah.auth import audit
from namaskah.db import db, transaction
from namaskah.numbers import rates
from namaskah.numbers.rate_models import ExchangeRate

HEADER = ["currency", "rate", "valid_from"]
MOST_LINES = 5_000


class FileRefused(Exception):
    """Nothing of the file was taken. `faults`: what is wrong, by line."""

    def __init__(self, faults: list[str]) -> None:
        super().__init__("\n".join(faults))
        self.faults = faults


@dataclass(frozen=True)
class Line:
    """One rate of the file. `number` counts the file's lines from 1."""

    number: int
    currency: str
    rate: Decimal
    valid_from: datetime
    source: str


def take(file: Iterable[str], who: str, *, are_meant: bool = False) -> tuple[int, int]:
    """Add what a file has; returns how many rates are new, and how many were there already.

    Raises FileRefused with every fault: what is no rate, another rate for a moment that has one, and, unless they
    `are_meant`, rates far from the one before.
    """
    lines = _read(file)
    added, faults = 0, []
    with transaction():
        for line in sorted(lines, key=lambda line: line.valid_from):
            is_new, fault = _add(line, who, are_meant)
            added += is_new
            faults += [fault] if fault else []
        if faults:
            raise FileRefused(sorted(faults, key=lambda fault: int(fault.split()[1].rstrip(":"))))
        if added:
            audit.record("rate_set", None, who, imported=added)
    return added, len(lines) - added


def _add(line: Line, who: str, are_meant: bool) -> tuple[bool, str]:
    """Whether it is new, and what is wrong with it."""
    known = db.session.scalar(
        select(ExchangeRate.rate).filter_by(
            currency=line.currency, wallet_currency=rates.wallet_currency(), valid_from=line.valid_from
        )
    )
    if known is not None:
        other = f"line {line.number}: {line.currency} is {rates.shown(known)} from that moment already"
        return False, "" if known == line.rate else other
    before = rates.before_that(line.currency, line.valid_from)
    if before and not are_meant and rates.is_far(line.rate, before):
        move = f"{rates.shown(line.rate)} is more than {rates.LARGEST_MOVE} % away from {rates.shown(before.rate)}"
        return False, f"line {line.number}: {line.currency} {move}; if it is meant, say --meant"
    return rates.add(line.currency, line.rate, line.valid_from, line.source, who), ""


def _read(file: Iterable[str]) -> list[Line]:
    found, faults = [], []
    rows = csv.reader(file)
    try:
        for row in rows:
            cells = [cell.replace("\0", "").strip().removeprefix("\ufeff") for cell in row]
            if not any(cells) or [cell.lower() for cell in cells[:3]] == HEADER:
                continue
            try:
                found.append(_line(rows.line_num, cells))
            except ValueError as error:
                faults.append(f"line {rows.line_num}: {error}")
    except (csv.Error, UnicodeDecodeError) as error:
        faults.append(f"line {rows.line_num + 1}: this is no CSV in UTF-8 ({type(error).__name__})")
    if len(found) > MOST_LINES:
        faults.append(f"line {MOST_LINES + 1}: at most {MOST_LINES} rates are taken at once")
    if faults or not found:
        raise FileRefused(faults or ["line 1: there is no rate in this file"])
    return found


def _line(number: int, cells: list[str]) -> Line:
    """Raises ValueError with what is wanted."""
    if not 3 <= len(cells) <= 4:
        raise ValueError("currency,rate,valid_from is wanted, and perhaps a source")
    currency, rate = cells[0].upper(), rates.parse_rate(cells[1])
    if not re.fullmatch("[A-Z]{3}", currency) or currency == rates.wallet_currency():
        raise ValueError(f"a currency of three letters other than the wallet's is wanted, not {cells[0][:20]!r}")
    if rate is None:
        raise ValueError(f"a rate above zero like 1600.50 is wanted, not {cells[1][:40]!r}")
    source = cells[3] if len(cells) > 3 and cells[3] else "file"
    return Line(number, currency, rate, _moment(cells[2]), source)


def _moment(cell: str) -> datetime:
    """Raises ValueError for what is none, or of no year one has rates of."""
    try:
        at = datetime.fromisoformat(cell)
    except ValueError:
        at = None
    if at is None or not 2000 <= at.year <= 2200:
        raise ValueError(f"a day or time like 2026-11-25 or 2026-11-25T09:00+01:00 is wanted, not {cell[:40]!r}")
    return at if at.tzinfo else at.replace(tzinfo=UTC)
