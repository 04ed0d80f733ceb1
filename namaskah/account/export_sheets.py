"""What is in the file of everything we hold of a person, and how it is written: one table a sheet, as CSV."""

import csv
import io
import json
import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from flask import current_app
from flask_babel import LazyString
from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l
from sqlalchemy import Select, select
from sqlalchemy.orm import aliased

from namaskah import replica
from namaskah.auth import audit
from namaskah.auth.models import AuditEvent, EmailChange, PolicyAcceptance, Session, User
from namaskah.auth.second_factor.models import Passkey
from namaskah.db import db
from namaskah.language import reading_as
from namaskah.legacy.models import LegacyAccount, LegacyRecord
from namaskah.money import MINOR_DIGITS
from namaskah.numbers.models import Activation, Favourite, Message
from namaskah.spreadsheets import cell
from namaskah.wallet import events, statement
from namaskah.wallet.card_models import AutoTopUp, LowBalanceLetter, SavedCard
from namaskah.wallet.dispute_models import Dispute, DisputePaper
from namaskah.wallet.models import BuyerDetails, GatewayEvent, Invoice, TopUp
from namaskah.wallet.promo_models import PromoGrant
from namaskah.wallet.refund_models import GatewayRefund
from namaskah.wallet.voucher_models import Voucher, VoucherRedemption

LARGEST = 20 * 2**20  # bytes of the whole file: a row of this size is read and written in a breath
AT_ONCE = 500

Rows = Iterator[Sequence[Any]]
Query = Select[*tuple[Any, ...]]


class TooLarge(Exception):
    """There is more than fits; a person must help."""


@dataclass(frozen=True)
class Sheet:
    """One CSV file: its name, what it says, and its rows, the header first. Amounts in columns named `_minor` are
    written in whole units of the wallet's currency."""

    name: str
    about: LazyString
    rows: Callable[[User], Rows]


def table(query: Callable[[User], Query]) -> Callable[[User], Rows]:
    """The rows of a query under the names of its columns, read piece by piece."""

    def rows(user: User) -> Rows:
        wanted = query(user)
        yield [column.name for column in wanted.selected_columns]
        yield from db.session.execute(wanted.execution_options(yield_per=AT_ONCE))

    return rows


def _policies(user: User) -> Query:
    row = PolicyAcceptance
    return select(row.version, row.accepted_at, row.address).where(row.user_id == user.id).order_by(row.id)


def _devices(user: User) -> Query:
    row = Session
    return (
        select(row.created_at.label("logged_in_at"), row.seen_at, row.address, row.device)
        .where(row.user_id == user.id)
        .order_by(row.id)
    )


def _passkeys(user: User) -> Query:
    row = Passkey
    return select(row.name, row.created_at, row.used_at).where(row.user_id == user.id).order_by(row.id)


def _address(user: User) -> Query:
    return select(EmailChange.email, EmailChange.sent_at).where(EmailChange.user_id == user.id)


def _history(user: User) -> Rows:
    yield ["at", "kind", "what", "actor", "address", "device", "details"]
    wanted = select(AuditEvent).where(AuditEvent.user_id == user.id).order_by(AuditEvent.id)
    for row in db.session.scalars(wanted.execution_options(yield_per=AT_ONCE)):
        what = str(audit.SENTENCES.get(row.kind, row.kind))
        yield [row.at, row.kind, what, row.actor, row.address, row.device, row.details]


def _statement(user: User) -> Rows:
    return _movements(user, "all")


def _gift_statement(user: User) -> Rows:
    return _movements(user, "gifts")


def _movements(user: User, show: str) -> Rows:
    yield ["at", "kind", "what", "amount_minor", "balance_after_minor", "activation", "top_up"]
    before = None
    while True:
        page = statement.statement(user.id, show, before=before, limit=AT_ONCE)
        for row in page.rows:
            about = [row.activation_id and int(row.activation_id), row.top_up_reference]
            yield [row.at, row.kind, row.text, row.amount_minor, row.balance_after_minor, *about]
        before = page.next_before
        if before is None:
            return


def _gifts(user: User) -> Query:
    row, use = PromoGrant, VoucherRedemption
    return (
        select(
            row.created_at, row.source, row.note, row.amount_minor, row.left_minor, row.expired_minor, row.currency,
            row.expires_at, use.created_at.label("code_used_at"), Voucher.last_four.label("code_ends_in"),
        )
        .outerjoin(use, use.grant_id == row.id)
        .outerjoin(Voucher, Voucher.id == use.voucher_id)
        .where(row.user_id == user.id)
        .order_by(row.id)
    )  # fmt: skip


def _top_ups(user: User) -> Query:
    row = TopUp
    return (
        select(
            row.reference, row.created_at, row.state, row.amount_minor, row.surcharge_minor, row.currency,
            row.paid_minor, row.fees_minor, row.channel, row.gateway_status, row.gateway_message, row.settled_at,
            row.checkout_url, row.difference, row.seen_minor, row.seen_currency, row.reversed_at, row.reversal_note,
            row.decided_at, row.decision, row.origin,
        ).where(row.user_id == user.id).order_by(row.id)
    )  # fmt: skip


def _refunds(user: User) -> Query:
    row = GatewayRefund
    return (
        select(
            row.reference, TopUp.reference.label("top_up"), row.created_at, row.state, row.amount_minor, row.currency,
            row.reason, row.loss_minor.label("paid_by_us_minor"), row.loss_reason.label("why_paid_by_us"),
            row.gateway_id, row.gateway_status, row.problem, row.account_last4, row.settled_at, row.returned_at,
        ).join(TopUp, TopUp.id == row.top_up_id).where(row.user_id == user.id).order_by(row.id)
    )  # fmt: skip


def _disputes(user: User) -> Query:
    row = Dispute
    return (
        select(
            row.gateway_id, TopUp.reference.label("top_up"), row.opened_at, row.category, row.state, row.outcome,
            row.currency, row.claimed_minor, row.amount_minor, row.debt_minor, row.debt_paid_minor,
            row.written_off_minor, row.due_at, row.answer, row.answer_reason, row.answered_at, row.resolved_at,
        ).join(TopUp, TopUp.id == row.top_up_id).where(row.user_id == user.id).order_by(row.id)
    )  # fmt: skip


def _dispute_papers(user: User) -> Query:
    row = DisputePaper
    return select(row.made_at, row.sha256).where(row.user_id == user.id).order_by(row.id)


def _receipts(user: User) -> Query:
    row, receipt = Invoice, aliased(Invoice)
    return (
        select(
            row.kind, row.year, row.number, row.issued_on, row.paid_on, row.currency, row.total_minor, row.fee_minor,
            row.tax_minor, row.tax_name, row.tax_rate, row.seller, row.buyer, row.language,
            receipt.year.label("receipt_year"), receipt.number.label("receipt_number"),
        ).outerjoin(receipt, receipt.id == row.receipt_id).where(row.user_id == user.id).order_by(row.id)
    )  # fmt: skip


def _buyer(user: User) -> Query:
    row = BuyerDetails
    return select(row.company, row.address, row.tax_id).where(row.user_id == user.id)


def _payments(user: User) -> Rows:
    """Without the codes that charge cards: the newer ones are kept without them, the older ones are shown so."""
    yield ["received_at", "event", "reference", "outcome", "body"]
    row = GatewayEvent
    wanted = (
        select(row.received_at, row.event, row.reference, row.outcome, row.body)
        .join(TopUp, TopUp.reference == row.reference)
        .where(TopUp.user_id == user.id)
        .order_by(row.id)
    )
    for *others, body in db.session.execute(wanted.execution_options(yield_per=AT_ONCE)):
        yield [*others, events.without_codes(body)]


def _cards(user: User) -> Query:
    """But for the code by which Paystack charges it: it opens nothing to its owner, and much to a thief."""
    row = SavedCard
    return (
        select(
            row.created_at, row.removed_at, row.brand, row.last4, row.exp_month, row.exp_year, row.bank, row.email,
            row.signature,
        ).where(row.user_id == user.id).order_by(row.id)
    )  # fmt: skip


def _auto_top_up(user: User) -> Query:
    row = AutoTopUp
    return select(
        row.is_on, row.currency, row.below_minor, row.amount_minor, row.day_limit_minor, row.off_reason, row.off_detail,
        row.waits_for, row.changed_at,
    ).where(row.user_id == user.id)  # fmt: skip


def _low_balance(user: User) -> Query:
    row = LowBalanceLetter
    return select(row.below_minor, row.currency, row.is_told).where(row.user_id == user.id)


def _activations(user: User) -> Query:
    row = Activation
    return (
        select(
            row.id, row.created_at, row.service_code, row.country_code, row.operator, row.phone, row.state,
            row.end_reason, row.price_minor, row.currency, row.provider_name, row.expires_at, row.received_at,
            row.cancel_requested_at, row.asked_again_at, row.ended_at, row.replaces_id,
        ).where(row.user_id == user.id).order_by(row.id)
    )  # fmt: skip


def _messages(user: User) -> Query:
    row = Message
    return (
        select(row.activation_id, row.received_at, row.sender, row.code, row.body, row.is_late, row.erased_at)
        .join(Activation, Activation.id == row.activation_id)
        .where(Activation.user_id == user.id)
        .order_by(row.id)
    )


def _earlier(user: User) -> Query:
    row = LegacyRecord
    return select(row.source, row.legacy_id, row.at, row.content).where(row.user_id == user.id).order_by(row.id)


def _brought_over(user: User) -> Query:
    row = LegacyAccount
    return (
        select(row.legacy_id, row.created_at, row.credits, row.unit, row.opened_minor, row.currency, row.state)
        .where(row.user_id == user.id)
        .order_by(row.id)
    )


def _favourites(user: User) -> Query:
    return select(Favourite.service_code).where(Favourite.user_id == user.id).order_by(Favourite.service_code)


SHEETS = (
    Sheet("rules", _l("Which rules you accepted, when, and from which network address"), table(_policies)),
    Sheet("devices", _l("Where you are logged in"), table(_devices)),
    Sheet("passkeys", _l("Your passkeys"), table(_passkeys)),
    Sheet("new-address", _l("The e-mail address that waits to be confirmed"), table(_address)),
    Sheet("security", _l("What happened to your account"), _history),
    Sheet("statement", _l("Every movement of your money, newest first"), _statement),
    Sheet("gifts", _l("What we gave you, and how much of it is left"), table(_gifts)),
    Sheet("gift-statement", _l("Every movement of your gifts, newest first"), _gift_statement),
    Sheet("top-ups", _l("Payments you began, and what became of them"), table(_top_ups)),
    Sheet("refunds", _l("Top-ups that were sent back to where you paid them from"), table(_refunds)),
    Sheet("disputes", _l("Payments that their banks asked back, and how it ended"), table(_disputes)),
    Sheet("dispute-papers", _l("When we sent a paper about you to answer a dispute"), table(_dispute_papers)),
    Sheet("receipts", _l("Receipts and credit notes, as they were issued"), table(_receipts)),
    Sheet("buyer", _l("What stands on your receipts"), table(_buyer)),
    Sheet("payments", _l("What Paystack told us about your payments, as it came"), _payments),
    Sheet("cards", _l("Cards you let us keep: what we know of them"), table(_cards)),
    Sheet("auto-top-up", _l("What you wanted charged by itself"), table(_auto_top_up)),
    Sheet("low-balance", _l("Below which balance you wanted a letter"), table(_low_balance)),
    Sheet("activations", _l("The numbers you bought"), table(_activations)),
    Sheet(
        "messages",
        _l("The messages that came to them; where erased_at stands, what one said is not kept any more"),
        table(_messages),
    ),
    Sheet(
        "brought-over", _l("Your accounts at the earlier Namaskah, and what came over of them"), table(_brought_over)
    ),
    Sheet("earlier", _l("What the earlier Namaskah knew of you: orders, payments, questions"), table(_earlier)),
    Sheet("favourites", _l("Services you have starred"), table(_favourites)),
)


def pack(user: User, progress: Callable[[int], None]) -> bytes:
    """The whole file; `progress` is told after each part how many are done. Raises TooLarge."""
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as packed:
        with reading_as(user):
            packed.writestr("README.txt", _contents())
            packed.writestr("account.json", json.dumps(_account(user), indent=2, ensure_ascii=False))
        progress(1)
        for number, sheet in enumerate(SHEETS):
            with packed.open(f"{sheet.name}.csv", "w") as raw, reading_as(user), replica.reading(as_of_now=True):
                _write(raw, made, sheet.rows(user))
            progress(number + 2)
    if made.tell() > LARGEST:
        raise TooLarge
    return made.getvalue()


def _write(raw: Any, made: io.BytesIO, rows: Rows) -> None:
    text = io.TextIOWrapper(raw, encoding="utf-8-sig", newline="")  # with the mark by which spreadsheets know it
    writer = csv.writer(text)
    header = next(rows)
    digits = MINOR_DIGITS[current_app.config["WALLET_CURRENCY"]]
    writer.writerow([name.removesuffix("_minor") for name in header])
    for row in rows:
        values = zip(header, row, strict=True)
        writer.writerow(
            [Decimal(value).scaleb(-digits) if _is_money(name, value) else cell(value) for name, value in values]
        )
        if made.tell() > LARGEST:
            raise TooLarge
    text.flush()
    text.detach()


def _is_money(name: str, value: Any) -> bool:
    return name.endswith("_minor") and value is not None


def _account(user: User) -> dict[str, Any]:
    """The account's own row, but for the one-way print of the password: it opens nothing and is shown to nobody."""
    hidden = {"password_hash", "deleted_at"}
    columns = [column.name for column in User.__table__.columns if column.name not in hidden]
    return {name: _plain(getattr(user, name)) for name in columns}


def _plain(value: Any) -> Any:
    return value.astimezone(UTC).isoformat() if isinstance(value, datetime) else value


def _contents() -> str:
    lines = [f"account.json  {_('Your account and what you chose')}"]
    lines += [f"{sheet.name}.csv  {sheet.about}" for sheet in SHEETS]
    note = _("Times are in UTC. A ' stands before texts that a spreadsheet would take for a formula.")
    return "\n".join([_("Everything Namaskah holds of you"), "", *lines, "", note, ""])
