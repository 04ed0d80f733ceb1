"""What is to be done with a file, decided from the file alone: which accounts, with which money, and whose waits.

The predecessor gave money away through several holes, so an account that shows the marks of one is brought over with
its money set aside until a person has looked.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal

from namaskah.legacy import history, units, values
from namaskah.legacy.findings import SET_ASIDE, Finding
from namaskah.legacy.history import Record
from namaskah.legacy.reader import LEDGERS, LegacyFile, Row
from namaskah.legacy.units import Unit

# The day on which a credit, until then one dollar, became two, and nobody's balance was touched.
UNIT_CHANGED = datetime(2025, 10, 16, tzinfo=UTC)
LEFT_BEHIND = {
    "api_keys": "the predecessor never accepted one; whoever wants one makes a new one",  # pragma: allowlist secret
    "activity_logs": "pages seen and network addresses: nothing we would keep for so long",
    "service_status": "measured anew",
    "banned_numbers": "numbers of a provider we do not buy from; nobody's in particular",
    "alembic_version": "the file's own",
}


@dataclass(frozen=True)
class Account:
    """One account of the file. `email` is the address as we keep it, empty for none that counts; `written` as the file
    has it; `cents` the balance in hundredths of a credit, None for no amount; `reasons` why its money waits; `older`
    the id of the account that has the address already."""

    legacy_id: str
    email: str
    written: str
    created_at: datetime | None
    is_verified: bool
    cents: int | None
    reasons: tuple[str, ...]
    older: str = ""
    records: tuple[Record, ...] = ()

    @property
    def credits(self) -> Decimal | None:
        return None if self.cents is None else Decimal(self.cents).scaleb(-2)


@dataclass
class Plan:
    """`questions`: what must be meant before anything is written. `tables`: for each, how many rows it has, how many
    are brought over, and what becomes of the rest."""

    file: LegacyFile
    unit: Unit
    accounts: list[Account]
    findings: list[Finding]
    questions: list[str] = field(default_factory=list)
    tables: list[tuple[str, int, int, str]] = field(default_factory=list)


def plan(file: LegacyFile, unit: Unit, parse_email: Callable[[str], str | None]) -> Plan:
    """`parse_email` gives an address as we keep it, None for none."""
    rows: dict[str, Row] = {}
    for row in file.tables["users"]:
        rows.setdefault(row["id"], row)
    found = history.read(file, set(rows))
    faults = [*found.findings, *_of_users(file, rows, found.cents)]
    emails = {legacy_id: parse_email(values.plain(row.get("email") or "")) or "" for legacy_id, row in rows.items()}
    older = _older(rows, emails)
    for legacy_id in rows:
        if not emails[legacy_id]:
            faults.append(_about(rows[legacy_id], "no_address", values.plain(rows[legacy_id].get("email") or "")[:80]))
        if older.get(legacy_id):
            faults.append(_about(rows[legacy_id], "same_address", f"as {older[legacy_id]}"))
    reasons: dict[str, list[str]] = defaultdict(list)
    for fault in faults:
        if fault.kind in SET_ASIDE and fault.kind not in reasons[fault.account]:
            reasons[fault.account].append(fault.kind)
    accounts = [
        _account(row, emails[legacy_id], tuple(reasons[legacy_id]), older.get(legacy_id, ""), found.records[legacy_id])
        for legacy_id, row in sorted(rows.items(), key=lambda pair: _age(pair[1]))
    ]
    return Plan(file, unit, accounts, faults, list(_questions(file, unit)), list(_tables(file, found, len(rows))))


def _account(row: Row, email: str, reasons: tuple[str, ...], older: str, records: list[Record]) -> Account:
    balance = values.amount(row["credits"])
    content = {name: values.kept(row[name]) for name in _KEPT if row.get(name) is not None}
    about = Record("users", row["id"], values.moment(row.get("created_at")), content)
    return Account(
        row["id"],
        email,
        values.plain(row.get("email") or ""),
        about.at,
        values.flag(row.get("email_verified")),
        balance.cents if balance else None,
        reasons,
        older,
        (about, *records),
    )


# Of the account itself; its password's print and its tokens are left behind.
_KEPT = ("email", "credits", "free_verifications", "is_admin", "email_verified", "referral_code", "referred_by",
         "referral_earnings", "created_at")  # fmt: skip


def _of_users(file: LegacyFile, rows: dict[str, Row], movements: Counter[str]) -> Iterator[Finding]:
    repeated = Counter(row["id"] for row in file.tables["users"])
    for row in file.tables["users"]:
        if repeated[row["id"]] > 1:
            yield _about(row, "same_id", f"balance {values.plain(row['credits'])}")
    for row in rows.values():
        balance = values.amount(row["credits"])
        if balance is None:
            yield _about(row, "no_amount", f"it is {values.plain(row['credits'])[:40]}")
        else:
            if balance.cents < 0:
                yield _about(row, "negative_balance")
            if not balance.is_exact:
                yield _about(row, "rounded", f"credits is {values.plain(row['credits'])}")
            if difference := balance.cents - movements[row["id"]]:
                detail = f"movements sum to {Decimal(movements[row['id']]).scaleb(-2)}"
                yield Finding("unexplained", "users", row["id"], row["id"], Decimal(difference).scaleb(-2), detail)
        if values.flag(row.get("is_admin")):
            yield _about(row, "was_admin")
        free = values.amount(row.get("free_verifications"))
        if free and free.cents > 0:
            yield _about(row, "free_verifications", f"{free.credits.normalize():f} of them")
        if row.get("created_at") is not None and values.moment(row["created_at"]) is None:
            yield _about(row, "odd_time", f"created_at is {values.plain(row['created_at'])[:40]}")


def _about(row: Row, kind: str, detail: str = "") -> Finding:
    balance = values.amount(row["credits"])
    return Finding(kind, "users", row["id"], row["id"], balance.credits if balance else None, detail)


def _older(rows: dict[str, Row], emails: dict[str, str]) -> dict[str, str]:
    """For each account but the oldest of an address: the oldest."""
    first: dict[str, str] = {}
    found = {}
    for row in sorted(rows.values(), key=_age):
        address = emails[row["id"]].lower()
        if address and first.setdefault(address, row["id"]) != row["id"]:
            found[row["id"]] = first[address]
    return found


def _age(row: Row) -> tuple[bool, datetime, str]:
    at = values.moment(row.get("created_at"))
    return at is None, at or UNIT_CHANGED, row["id"]


def _questions(file: LegacyFile, unit: Unit) -> Iterator[str]:
    usual = units.CUSTOMARY[file.version]
    if unit.currency == "USD" and unit.amount != usual:
        yield f"In version {file.version} a credit was {usual} USD, and --unit says {unit.written}."
    times = [values.moment(row.get("created_at")) for name in LEDGERS for row in file.tables.get(name, ())]
    before = sum(1 for at in times if at and at < UNIT_CHANGED)
    if file.version == "2.1" and before:
        yield (
            f"{before} movements are from before 16 October 2025, when a credit was 1 USD. It became 2 USD then, and no"
            f" balance was changed. All balances are taken at {unit.written}."
        )


def _tables(file: LegacyFile, found: history.History, accounts: int) -> Iterator[tuple[str, int, int, str]]:
    for table, rows in file.tables.items():
        kept = accounts if table == "users" else found.kept[table]
        yield table, len(rows), kept, "see below" if kept < len(rows) else ""
    for table, count in file.others.items():
        yield table, count, 0, LEFT_BEHIND.get(table, "not known to this program, left in the file")
