"""Receipts, credit and debit notes: what is copied into them, and when they are issued.

A receipt is issued in the transaction that credits its top-up, so there is never one without the other; when a note is,
`notes.py` says. Both come after the ledger: the number's row (invoice_years) stays locked until the commit, and whoever
holds it waits for nobody but the audit log. Locks: top-up, ledger accounts, number, audit event.

Each of these documents stays as it was issued, whatever seller, buyer and settings become. The customer may delete the
account: the documents are kept whole, as the law wants, and hold of a person only what was filled in for them.
"""

from collections.abc import Iterable, Sequence
from datetime import date, datetime
from zoneinfo import ZoneInfo

from flask import current_app
from sqlalchemy import ColumnElement, case, func, insert, select
from sqlalchemy.dialects.postgresql import insert as pg_insert

from namaskah.auth.models import User
from namaskah.db import db, require_transaction, transaction
from namaskah.wallet.models import BuyerDetails, Invoice, ReceiptDue, TopUp

WHOLE = 10_000  # hundredths of a percent


def issue_receipt(top_up: TopUp, paid_at: datetime | None = None) -> Invoice:
    """The receipt of a paid top-up, issued now unless it was before: of all that was paid, a fee the payer bore and any
    tax included. `paid_at`: when, by the gateway's word; else, and were that later, when it was credited.

    Needs the open transaction that holds the top-up's row; ledger accounts are locked before, audit events written
    after."""
    require_transaction()
    issued = receipt_of(top_up)
    if issued is not None:
        return issued
    if top_up.paid_minor is None:
        raise ValueError(f"top-up {top_up.reference} is not paid")
    rate = current_app.config["TAX_RATE"]
    credited_at = top_up.settled_at or _now()
    return _insert(
        top_up,
        kind="receipt",
        total_minor=top_up.paid_minor,
        fee_minor=top_up.surcharge_minor,
        tax_minor=included_tax(top_up.paid_minor, rate),
        tax_rate=rate,
        tax_name=current_app.config["TAX_NAME"],
        paid_on=_day(min(paid_at or credited_at, credited_at)),
    )


def credit_note(top_up: TopUp, refund_reference: str, amount_minor: int) -> Invoice:
    """The credit note for money of a top-up that goes back to where it was paid from; the second time the same one.

    Call it in the transaction in which the refund becomes processed, with the top-up's row locked, after the ledger and
    before any audit event. Tax goes back at the receipt's rate; the notes of a top-up given back whole hold its whole
    tax, to the last minor unit. Raises ValueError for another amount under a used reference, or more than the receipt.
    """
    return _note(top_up, "credit_note", refund_reference, amount_minor)


def debit_note(top_up: TopUp, refund_reference: str, amount_minor: int) -> Invoice:
    """The debit note for money that credit notes have taken off a receipt and that has come back; as credit_note(), and
    with the tax that the credit notes took off. Raises ValueError for more than they did."""
    return _note(top_up, "debit_note", refund_reference, amount_minor)


def taken_off_minor(top_up: TopUp, *which: ColumnElement[bool]) -> int:
    """What the notes of a top-up, or `which` of them, take off its receipt, debit notes counted against credit notes,
    in minor units. Call it with the top-up's row locked."""
    signed = case(
        (Invoice.kind == "credit_note", Invoice.total_minor), (Invoice.kind == "debit_note", -Invoice.total_minor)
    )
    return int(db.session.scalar(select(func.sum(signed)).where(Invoice.top_up_id == top_up.id, *which)) or 0)


def included_tax(total_minor: int, rate: int) -> int:
    """The tax in a total that contains it, at a rate in hundredths of a percent; half a minor unit is rounded up."""
    return (2 * total_minor * rate + WHOLE + rate) // (2 * (WHOLE + rate))


def issue_missing_due(limit: int = 20) -> int:
    """Worker: issue the receipts of top-ups that were credited without, by the release before receipts. They are dated
    today, for what was paid then; no letters are sent. Returns how many were issued."""
    due = db.session.scalars(select(ReceiptDue.top_up_id).order_by(ReceiptDue.top_up_id).limit(limit)).all()
    db.session.rollback()
    for top_up_id in due:
        with transaction():
            issue_receipt(db.session.scalars(select(TopUp).filter_by(id=top_up_id).with_for_update()).one())
    return len(due)


def receipt_of(top_up: TopUp) -> Invoice | None:
    """The receipt of a top-up, if it has one."""
    return db.session.scalar(select(Invoice).filter_by(top_up_id=top_up.id, kind="receipt"))


def receipt_numbers(references: Iterable[str]) -> dict[str, str]:
    """Reference of a top-up → number of its receipt, as people write it; those without are missing."""
    wanted = select(TopUp.reference, Invoice).join(Invoice, Invoice.top_up_id == TopUp.id)
    rows = db.session.execute(wanted.where(TopUp.reference.in_(list(references)), Invoice.kind == "receipt"))
    return {reference: invoice.full_number for reference, invoice in rows}


def fees_borne(references: Iterable[str]) -> dict[str, int]:
    """Reference of a top-up → the fee its payer bore, in minor units; those without are missing."""
    wanted = select(TopUp.reference, TopUp.surcharge_minor).where(TopUp.surcharge_minor > 0)
    return {row[0]: row[1] for row in db.session.execute(wanted.where(TopUp.reference.in_(list(references))))}


def documents_of(top_up: TopUp) -> Sequence[Invoice]:
    """The receipt of a top-up and the notes that followed, oldest first."""
    return db.session.scalars(select(Invoice).filter_by(top_up_id=top_up.id).order_by(Invoice.id)).all()


def of_user(user_id: int, before: int | None, limit: int) -> Sequence[Invoice]:
    """A customer's documents, newest first, those older than the one with id `before`."""
    query = select(Invoice).where(Invoice.user_id == user_id).order_by(Invoice.id.desc()).limit(limit)
    return db.session.scalars(query if before is None else query.where(Invoice.id < before)).all()


def find(user_id: int, year: int, number: int) -> Invoice | None:
    """A customer's document by its number; another's is as unknown as one that never was."""
    return db.session.scalar(select(Invoice).filter_by(user_id=user_id, year=year, number=number))


def buyer_details(user_id: int) -> BuyerDetails:
    """What the customer wants to stand on receipts; empty for who never said."""
    found = db.session.get(BuyerDetails, user_id)
    return found or BuyerDetails(user_id=user_id, company="", address="", tax_id="")


def set_buyer_details(user: User, *, name: str, company: str, address: str, tax_id: str) -> None:
    """What stands on receipts from now on; those that were issued stay as they are."""
    with transaction():
        user.name = name
        details = {"company": company, "address": address, "tax_id": tax_id}
        db.session.execute(
            pg_insert(BuyerDetails)
            .values(user_id=user.id, **details)
            .on_conflict_do_update(index_elements=["user_id"], set_=details)
        )


def _note(top_up: TopUp, kind: str, refund_reference: str, amount_minor: int) -> Invoice:
    require_transaction()
    issued = db.session.scalar(select(Invoice).filter_by(refund_reference=refund_reference))
    if issued is not None:
        if (issued.kind, issued.top_up_id, issued.total_minor) != (kind, top_up.id, amount_minor):
            raise ValueError(f"{refund_reference} has a {issued.kind} of {issued.total_minor}")
        return issued
    receipt = issue_receipt(top_up)
    before = taken_off_minor(top_up)
    most = receipt.total_minor - before if kind == "credit_note" else before
    if not 0 < amount_minor <= most:
        raise ValueError(f"no {kind} of {amount_minor} for {receipt.full_number}: {before} is taken off")
    after = before + amount_minor if kind == "credit_note" else before - amount_minor
    return _insert(
        top_up,
        kind=kind,
        receipt_id=receipt.id,
        refund_reference=refund_reference,
        total_minor=amount_minor,
        tax_minor=abs(included_tax(after, receipt.tax_rate) - included_tax(before, receipt.tax_rate)),
        tax_rate=receipt.tax_rate,
        tax_name=receipt.tax_name,
        paid_on=receipt.paid_on,
    )


def _insert(top_up: TopUp, **values: object) -> Invoice:
    """Take a number and write the document under it."""
    user = db.session.get_one(User, top_up.user_id)
    today = _day(_now())
    # What the session still holds must not wait until the number's row is locked.
    db.session.flush()
    query = insert(Invoice).values(
        year=today.year,
        issued_on=today,
        user_id=user.id,
        top_up_id=top_up.id,
        language=user.language,
        currency=top_up.currency,
        seller=_seller(),
        buyer=_buyer(user),
        **values,
    )
    return db.session.scalars(query.returning(Invoice)).one()


def _seller() -> dict[str, str]:
    config = current_app.config
    return {
        "name": config["SELLER_NAME"],
        "address": config["SELLER_ADDRESS"],
        "tax_id": config["SELLER_TAX_ID"],
        "email": config["SUPPORT_EMAIL"],
    }


def _buyer(user: User) -> dict[str, str]:
    details = buyer_details(user.id)
    return {"name": user.name, "company": details.company, "address": details.address, "tax_id": details.tax_id}


def _day(at: datetime) -> date:
    return at.astimezone(ZoneInfo(current_app.config["SELLER_TIMEZONE"])).date()


def _now() -> datetime:
    return db.session.scalars(select(func.clock_timestamp())).one()
