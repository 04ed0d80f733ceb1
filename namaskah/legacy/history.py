"""The predecessor's rows about somebody, table by table: what is kept of each, and what is odd about it.

Codes, transcripts, keys and network addresses are kept of none: we erase our own a day later, too.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from typing import Any

from namaskah.legacy import payments, values
from namaskah.legacy.findings import Finding
from namaskah.legacy.reader import LEDGERS, OWNERS, LegacyFile, Row
from namaskah.numbers import directory


@dataclass(frozen=True)
class Sheet:
    """What is kept of a table's rows. `never_negative`: those that made money when below zero."""

    columns: tuple[str, ...]
    amounts: tuple[str, ...] = ()
    never_negative: tuple[str, ...] = ()
    times: tuple[str, ...] = ("created_at",)


_MOVEMENTS = Sheet(("amount", "type", "description", "reference", "balance_after", "created_at"), ("amount",))
SHEETS = {
    **dict.fromkeys(LEDGERS, _MOVEMENTS),
    "verifications": Sheet(
        ("service_name", "phone_number", "capability", "status", "cost", "call_duration", "created_at", "completed_at"),
        ("cost", "call_duration"),
        ("cost", "call_duration"),
        ("created_at", "completed_at"),
    ),
    "number_rentals": Sheet(
        ("phone_number", "service_name", "duration_hours", "cost", "mode", "status", "started_at", "expires_at",
         "released_at", "auto_extend", "created_at"),
        ("cost", "duration_hours"),
        ("cost", "duration_hours"),
        ("created_at", "started_at", "expires_at", "released_at"),
    ),
    "payment_logs": Sheet(
        ("reference", "amount_ngn", "amount_usd", "namaskah_amount", "status", "payment_method", "credited",
         "created_at", "updated_at"),
        ("amount_ngn", "amount_usd", "namaskah_amount"),
        ("namaskah_amount",),
        ("created_at", "updated_at"),
    ),
    "subscriptions": Sheet(
        ("plan", "status", "price", "discount", "duration", "expires_at", "cancelled_at", "created_at"), ("price",)
    ),
    "referrals": Sheet(("referred_id", "reward_amount", "created_at"), ("reward_amount",)),
    "support_tickets": Sheet(("category", "message", "status", "admin_response", "created_at", "updated_at")),
    "notification_settings": Sheet(("email_on_sms", "email_on_low_balance", "low_balance_threshold", "created_at")),
    "webhooks": Sheet(("url", "is_active", "created_at")),
}  # fmt: skip
# Said of a row that was not over when the file was made: its finding, in which tables and states, what gave its amount.
STILL_OPEN = {
    "verifications": ("pending_order", {"pending"}, "cost"),
    "number_rentals": ("active_rental", {"active"}, "cost"),
    "subscriptions": ("active_plan", {"active"}, "price"),
    "support_tickets": ("open_ticket", {"open", "in_progress"}, ""),
}


@dataclass(frozen=True)
class Record:
    """One row to be kept, by its table and id there."""

    source: str
    legacy_id: str
    at: datetime | None
    content: dict[str, Any]


@dataclass
class History:
    """By the predecessor's id of an account: what its movements sum to, what is kept, what makes its money doubtful."""

    cents: Counter[str] = field(default_factory=Counter)
    records: dict[str, list[Record]] = field(default_factory=lambda: defaultdict(list))
    findings: list[Finding] = field(default_factory=list)
    kept: Counter[str] = field(default_factory=Counter)
    left: Counter[str] = field(default_factory=Counter)


def read(file: LegacyFile, accounts: set[str]) -> History:
    """All of it, for these accounts."""
    found = History()
    for table, sheet in SHEETS.items():
        seen: set[str] = set()
        for row in file.tables.get(table, ()):
            owner = row[OWNERS[table]]
            # A question to support may come from somebody without an account.
            if owner not in accounts or row["id"] in seen:
                kind = "same_row" if row["id"] in seen else "orphan"
                what = values.amount(row.get(sheet.amounts[0])) if sheet.amounts else None
                found.left[table] += 1
                found.findings.append(Finding(kind, table, row["id"], owner, what.credits if what else None))
                continue
            seen.add(row["id"])
            found.kept[table] += 1
            found.findings += _oddities(table, sheet, row, owner)
            found.records[owner].append(_record(table, sheet, row))
            sum_of_it = values.amount(row.get("amount")) if table == file.ledger else None
            found.cents[owner] += sum_of_it.cents if sum_of_it else 0
    found.findings += [*_unknown_services(file), *_more_refunds(file), *payments.check(file)]
    return found


def _oddities(table: str, sheet: Sheet, row: Row, owner: str) -> Iterator[Finding]:
    for name in sheet.amounts:
        value, amount = row.get(name), values.amount(row.get(name))
        if value is not None and amount is None:
            yield Finding("odd_amount", table, row["id"], owner, None, f"{name} is {values.plain(value)[:40]}")
        if amount and not amount.is_exact:
            yield Finding("rounded", table, row["id"], owner, amount.credits, f"{name} is {values.plain(value)}")
        if amount and amount.cents < 0 and name in sheet.never_negative:
            yield Finding("negative_order", table, row["id"], owner, amount.credits, f"{name} is {values.plain(value)}")
    for name in sheet.times:
        if row.get(name) is not None and values.moment(row[name]) is None:
            yield Finding("odd_time", table, row["id"], owner, None, f"{name} is {values.plain(row[name])[:40]}")
    if table in LEDGERS:
        amount = values.amount(row.get("amount"))
        if amount and row.get("type") in {"credit", "debit"} and amount.cents * (-1, 1)[row["type"] == "credit"] < 0:
            yield Finding("odd_sign", table, row["id"], owner, amount.credits, f"a {row['type']}")
    if table in STILL_OPEN and row.get("status") in STILL_OPEN[table][1]:
        kind, _states, price = STILL_OPEN[table]
        amount = values.amount(row.get(price))
        yield Finding(kind, table, row["id"], owner, amount.credits if amount else None, _about(row))
    if table in {"verifications", "number_rentals"} and _country(row) is None:
        said = values.plain(row.get("country") or row.get("phone_number") or "nothing")
        yield Finding("unknown_country", table, row["id"], owner, None, said[:40])


def _record(table: str, sheet: Sheet, row: Row) -> Record:
    content = {name: values.kept(row[name]) for name in sheet.columns if row.get(name) is not None}
    if table in {"verifications", "number_rentals"}:
        # The predecessor's id of an order was the provider's; it bought at one, which sold numbers of one country.
        content |= {"provider": values.plain(row.get("provider") or "textverified"), "provider_order_id": row["id"]}
        content |= {"service": _services().get(_folded(row)), "country": _country(row)}
    if table in STILL_OPEN and table != "support_tickets" and row.get("status") in STILL_OPEN[table][1]:
        content["status"] = "expired"
    return Record(table, row["id"], values.moment(row.get("created_at")), content)


def _about(row: Row) -> str:
    told = (row.get(name) for name in ("service_name", "plan", "category", "expires_at"))
    return ", ".join(values.plain(each)[:60] for each in told if each)


@cache
def _services() -> dict[str, str]:
    """Our code by everything a service is called, folded. What is its own name counts before what is an alias."""
    known: dict[str, str] = {}
    for entry in directory.services():
        for name in (entry.name, entry.code, entry.fivesim or "", *entry.aliases):
            known.setdefault(directory.fold(name), entry.code)
    known |= {directory.fold(entry.name): entry.code for entry in directory.services()}
    known.pop("", None)
    return known


@cache
def _countries() -> dict[str, str]:
    known = {directory.fold(alias): entry.code for entry in directory.countries() for alias in entry.aliases}
    return known | {
        directory.fold(each): entry.code for entry in directory.countries() for each in (entry.name, entry.code)
    }


def _country(row: Row) -> str | None:
    """By the file's word if it has one (it got one late), else by the number: all were of the United States."""
    if row.get("country"):
        return _countries().get(directory.fold(values.plain(row["country"])))
    digits = "".join(filter(str.isdecimal, values.plain(row.get("phone_number") or "")))
    return "US" if len(digits) == 10 or (len(digits) == 11 and digits[0] == "1") else None


def _folded(row: Row) -> str:
    return directory.fold(values.plain(row.get("service_name") or ""))


def _unknown_services(file: LegacyFile) -> Iterator[Finding]:
    """One finding a name, however often it was bought."""
    for table in ("verifications", "number_rentals"):
        rows = file.tables.get(table, ())
        names = Counter(
            values.plain(row["service_name"])
            for row in rows
            if row.get("service_name") and _folded(row) not in _services()
        )
        for name, times in names.most_common():
            yield Finding("unknown_service", table, "", "", None, f"{name[:60]}, {times} orders")


def _more_refunds(file: LegacyFile) -> Iterator[Finding]:
    """It gave money back for the same order as often as one asked."""
    bought: Counter[str] = Counter()
    returned: Counter[str] = Counter()
    for row in file.tables[file.ledger] if file.ledger else ():
        amount = values.amount(row.get("amount"))
        if amount and amount.cents < 0:
            bought[row["user_id"]] += 1
        elif amount and "refund" in values.plain(row.get("description") or "").lower():
            returned[row["user_id"]] += 1
    for owner, times in returned.items():
        if times > bought[owner]:
            detail = f"{times} refunds, {bought[owner]} purchases"
            yield Finding("more_refunds", str(file.ledger), "", owner, None, detail)
