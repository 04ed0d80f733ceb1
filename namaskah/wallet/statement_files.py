"""A statement to keep: everything that moved in a period, oldest first, between two balances, as CSV and on paper."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from itertools import chain
from typing import Any
from zoneinfo import ZoneInfo

from flask import current_app
from flask_babel import get_locale, get_timezone
from flask_babel import gettext as _

from namaskah.auth.models import User
from namaskah.db import leave_database
from namaskah.errors import UserError
from namaskah.filters import count, day, exact_money, moment_on_paper
from namaskah.language import DEFAULT
from namaskah.money import MINOR_DIGITS
from namaskah.papers.paper import Column, Facts, Paper, Table, Totals
from namaskah.spreadsheets import MARK, csv_lines
from namaskah.wallet import periods
from namaskah.wallet.periods import Span
from namaskah.wallet.statement import StatementRow, in_pieces

# What one request may cost: a paper takes 4 ms of a core for each line, a CSV file a twentieth of that.
MOST_LINES = {"csv": 100_000, "pdf": 500}
COLUMNS = ("date", "kind", "what", "amount", "balance", "currency", "activation", "top_up", "receipt")


class TooLong(UserError):
    """The period has more lines than such a file may have."""

    status = 422


@dataclass(frozen=True)
class Period:
    """Days of the reader's calendar, both included; None: from the beginning, until now. `span` is what moved: of the
    customer's own money, or of their gifts."""

    since: date | None
    until: date | None
    span: Span
    of_gifts: bool = False

    @property
    def title(self) -> str:
        return str(_("Statement of gifts") if self.of_gifts else _("Statement"))

    @property
    def file_name(self) -> str:
        days = (self.since, self.until or datetime.now(_zone()).date())
        return "-".join(("gifts" if self.of_gifts else "statement", *(value.isoformat() for value in days if value)))


def check_length(period: Period, kind: str) -> None:
    """Raises TooLong."""
    most = MOST_LINES[kind]
    if period.span.lines <= most:
        return
    values = {"lines": count(period.span.lines), "most": count(most)}
    if kind == "pdf":
        raise TooLong(
            _("This period has %(lines)s lines; a PDF holds %(most)s. Choose a shorter one, or take CSV.", **values)
        )
    raise TooLong(_("This period has %(lines)s lines; a file holds %(most)s. Choose a shorter one.", **values))


def csv_pieces(period: Period) -> Iterator[str]:
    """The file bit by bit, so that not all of it is in memory. What is in it is settled before: lines that come
    meanwhile are not."""
    opening, closing = periods.balances(period.span)
    yield MARK + csv_lines([COLUMNS, _balance_cells("opening", _("Balance before"), opening)])
    for rows in in_pieces(period.span):
        piece = csv_lines([_cells(row) for row in rows])
        leave_database()
        yield piece
    yield csv_lines([_balance_cells("closing", _("Balance after"), closing)])


def paper(user: User, period: Period) -> Paper:
    """For printing, in the reader's language."""
    opening, closing = periods.balances(period.span)
    rows = list(chain.from_iterable(in_pieces(period.span)))
    now = datetime.now(UTC)
    until = day(period.until or now.astimezone(_zone()))
    days = (
        _("%(first)s to %(last)s", first=day(period.since), last=until)
        if period.since
        else _("until %(last)s", last=until)
    )
    account = _("Customer %(number)s", number=user.id)
    came, went = (sum(row.amount_minor for row in rows if (row.amount_minor > 0) is up) for up in (True, False))
    return Paper(
        title=f"{period.title} {days}",
        language=str(get_locale() or DEFAULT),
        made_at=now,
        head=period.title,
        subhead=days,
        foot=f"{account} · {days}",
        blocks=[
            Facts([
                (_("Account"), f"{user.email}, {account}"),
                (_("Written on"), moment_on_paper(now)),
                (_("Times are in"), str(get_timezone())),
                (_("Balance before"), _money(opening)),
            ]),
            Table(
                [Column(_("When"), 3), Column(_("What"), 6), Column(_("Amount"), 2, is_amount=True),
                 Column(_("Balance"), 2, is_amount=True)],
                [_paper_cells(row) for row in rows] or [["", _("Nothing moved in this period."), "", ""]],
            ),
            Totals([
                (_("Came in"), _money(came)), (_("Went out"), _money(went)), (_("Balance after"), _money(closing)),
            ]),
        ],
    )  # fmt: skip


def _paper_cells(row: StatementRow) -> Sequence[str]:
    about = row.receipt or row.top_up_reference or ""
    what = f"{row.text}\n{about}" if about else row.text
    return [moment_on_paper(row.at), what, _money(row.amount_minor), _money(row.balance_after_minor)]


def _cells(row: StatementRow) -> Sequence[Any]:
    at = row.at.astimezone(_zone()).isoformat(timespec="seconds")
    money = (_units(row.amount_minor), _units(row.balance_after_minor), _currency())
    return (at, row.kind, row.text, *money, row.activation_id, row.top_up_reference, row.receipt)


def _balance_cells(kind: str, what: str, balance_minor: int) -> Sequence[Any]:
    return ("", kind, what, "", _units(balance_minor), _currency(), "", "", "")


def _units(amount_minor: int) -> Decimal:
    return Decimal(amount_minor).scaleb(-MINOR_DIGITS[_currency()])


def _money(amount_minor: int) -> str:
    return exact_money(amount_minor, _currency())


def _currency() -> str:
    return str(current_app.config["WALLET_CURRENCY"])


def _zone() -> ZoneInfo:
    return ZoneInfo(str(get_timezone()))
