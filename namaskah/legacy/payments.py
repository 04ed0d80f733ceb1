"""The predecessor's payments against what it credited: it credited twice, to others, and more than was paid."""

import re
from collections import defaultdict
from collections.abc import Iterator

from namaskah.legacy import values
from namaskah.legacy.findings import Finding
from namaskah.legacy.reader import LegacyFile, Row

# How it named a payment: whose, and when. An account's id may have such digits too.
REFERENCE = re.compile(r"namaskah_(?P<account>[\w-]+?)_\d{9,17}(?!\w)")
ABOUT_NOTHING = 1  # hundredths of a credit that floats may be apart


def check(file: LegacyFile) -> Iterator[Finding]:
    """What is wrong with credits that name a payment, and with payments that nothing was credited for."""
    table = file.ledger
    if table is None:
        return
    logged = {
        values.plain(row.get("reference")): row for row in file.tables.get("payment_logs", ()) if row.get("reference")
    }
    credited: dict[str, list[Row]] = defaultdict(list)
    for row in file.tables[table]:
        sum_of_it = values.amount(row.get("amount"))
        for reference in _references(row) if sum_of_it and sum_of_it.cents > 0 else ():
            credited[reference].append(row)
    for reference, rows in credited.items():
        for row in rows:
            yield from _faults(file, reference, row, rows[0], logged.get(reference))
    for reference, log in logged.items():
        if _is_paid(log) and reference not in credited and (credited or not values.flag(log.get("credited"))):
            lost = values.amount(log.get("namaskah_amount"))
            credits = lost.credits if lost else None
            yield Finding("paid_not_credited", "payment_logs", log["id"], log["user_id"], credits, reference)


def _references(row: Row) -> list[str]:
    """The payments that a movement names: once each."""
    text = " ".join(values.plain(row.get(name) or "") for name in ("description", "reference"))
    return list(dict.fromkeys(found[0] for found in REFERENCE.finditer(text)))


def _faults(file: LegacyFile, reference: str, row: Row, first: Row, log: Row | None) -> Iterator[Finding]:
    amount = values.amount(row.get("amount"))
    assert amount is not None
    payers = {found["account"] for found in [REFERENCE.fullmatch(reference)] if found}
    payers |= {log["user_id"]} if log and log["user_id"] else set()

    def fault(kind: str, detail: str) -> Finding:
        return Finding(kind, str(file.ledger), row["id"], row["user_id"], amount.credits, f"{reference}: {detail}")

    if row is not first:
        yield fault("paid_twice", f"first credited by {first['id']}")
    if payers != {row["user_id"]}:
        yield fault("others_payment", f"paid by {', '.join(sorted(payers))}")
    if "payment_logs" in file.tables and (log is None or not _is_paid(log)):
        yield fault("unpaid_credit", f"on record as {log.get('status')}" if log else "not on record")
    elif log is not None:
        yield from (fault("credit_differs", detail) for detail in _too_much(file, log, amount.cents))


def _is_paid(log: Row) -> bool:
    """`duplicate` says that the gateway told of it again: paid once, all the same."""
    return log.get("status") in {"completed", "duplicate"}


def _too_much(file: LegacyFile, log: Row, cents: int) -> Iterator[str]:
    """By the log's own figure of credits; and by what was paid, at the two dollars that a credit cost in 2.1."""
    meant, paid = values.amount(log.get("namaskah_amount")), values.amount(log.get("amount_usd"))
    if meant is None or cents - meant.cents > ABOUT_NOTHING:
        yield f"on record as {meant.credits if meant else 'no amount'}"
    elif file.version == "2.1" and (paid is None or 2 * cents - paid.cents > 2 * ABOUT_NOTHING):
        yield f"{paid.credits if paid else 'no amount'} USD were paid"
