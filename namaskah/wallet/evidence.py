"""What we answer a dispute with, on paper: the payment, the customer, what the money bought, and the terms.

It is read by banks, so it is in English and its times are in UTC, whatever the language of customer or operator.
Numbers are masked and no message's content is in it: that a code was delivered, and when, is what the bank must know.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from flask import current_app
from flask_babel import force_locale
from sqlalchemy import select

from namaskah.auth.models import AuditEvent, PolicyAcceptance, User
from namaskah.db import db
from namaskah.filters import exact_money
from namaskah.papers.paper import Block, Column, Facts, Paper, Table, Text, Totals
from namaskah.wallet import statement
from namaskah.wallet.dispute_models import Dispute
from namaskah.wallet.models import GatewayEvent, LedgerEntry, LedgerTransaction, TopUp
from namaskah.wallet.periods import Span, whole

MOST_PURCHASES, MOST_EVENTS = 200, 30
LINES_BEFORE, LINES_AFTER = 5, 60
LOG_INS = {"registered": "Account opened", "email_confirmed": "E-mail address confirmed", "login": "Logged in"}


@dataclass(frozen=True)
class Purchase:
    """Something the customer bought and was charged for. `number` as it may be shown to a bank."""

    at: datetime
    what: str
    number: str
    delivered_at: datetime | None
    price_minor: int


# The wallet knows no activations; who sells something for its money enters here what a customer has bought and got from
# a moment on, oldest first, at most so many: {"activation": (user_id, since, limit) -> purchases}.
sources: dict[str, Callable[[int, datetime, int], Sequence[Purchase]]] = {}


def pack(dispute: Dispute, reason: str, made_at: datetime) -> Paper:
    """The evidence against a dispute. `reason` is what the operator says to it."""
    top_up, customer = dispute.top_up, db.session.get_one(User, dispute.user_id)
    with force_locale("en"):
        return _paper(
            dispute,
            "Evidence",
            made_at,
            [
                Text("The payment below was made for an account with us, and what it bought was delivered."),
                *([Text(reason)] if reason else []),
                *_payment(dispute, top_up),
                *_customer(customer),
                *_log_ins(customer),
                *_terms(customer),
                *_purchases(dispute, top_up),
                *_statement(top_up),
            ],
        )


def acceptance(dispute: Dispute, reason: str, made_at: datetime) -> Paper:
    """One page for a dispute that we give in to: the gateway wants a file with each answer."""
    with force_locale("en"):
        accepted = Text("We accept this dispute; the amount may go back to the payer.")
        return _paper(dispute, "Acceptance", made_at, [accepted, Text(reason), *_payment(dispute, dispute.top_up)])


def _paper(dispute: Dispute, head: str, made_at: datetime, blocks: Sequence[Block]) -> Paper:
    seller = str(current_app.config["SELLER_NAME"]).replace("\n", ", ")
    number = f"Dispute {dispute.gateway_id}"
    return Paper(
        title=f"{head}: {number}",
        language="en",
        made_at=made_at,
        head=head,
        subhead=f"{number} · payment {dispute.top_up.reference}",
        foot=f"{seller} · {number} · {current_app.config['SUPPORT_EMAIL']}",
        blocks=blocks,
    )


def _payment(dispute: Dispute, top_up: TopUp) -> list[Block]:
    charge = _charge(top_up)
    authorization = charge.get("authorization")
    card: dict[str, Any] = authorization if isinstance(authorization, dict) else {}
    told = [
        ("Reference", top_up.reference),
        ("Paid", exact_money(top_up.paid_minor or top_up.amount_minor, top_up.currency)),
        ("Disputed", exact_money(dispute.claimed_minor, dispute.currency)),
        ("Confirmed by Paystack", _at(top_up.settled_at)),
        ("Checkout opened", _at(top_up.created_at)),
        ("Channel", top_up.channel or ""),
        ("Answer of the payer's bank", top_up.gateway_message or ""),
        ("Paid from network address", _word(charge.get("ip_address"))),
        ("Card or account", " ".join(filter(None, (_word(card.get(key)) for key in ("brand", "bank"))))),
        ("Last four digits", _word(card.get("last4"))),
        ("Issued in", _word(card.get("country_code"))),
    ]
    return [Text("The payment"), Facts([(name, value) for name, value in told if value])]


def _charge(top_up: TopUp) -> dict[str, Any]:
    """What Paystack's own message said of the payment, as far as we keep it."""
    wanted = select(GatewayEvent.body).filter_by(reference=top_up.reference, event="charge.success").limit(1)
    data = (db.session.scalar(wanted) or {}).get("data")
    return data if isinstance(data, dict) else {}


def _customer(customer: User) -> list[Block]:
    told = [
        ("Account number", str(customer.id)),
        ("Name", customer.name),
        ("E-mail address", customer.email),
        ("Account opened", _at(customer.created_at)),
        ("E-mail address confirmed", _at(customer.email_verified_at)),
    ]
    return [Text("The customer"), Facts([(name, value) for name, value in told if value])]


def _log_ins(customer: User) -> list[Block]:
    """Where the customer came from, newest first: we forget addresses after some months."""
    wanted = select(AuditEvent).where(AuditEvent.user_id == customer.id, AuditEvent.kind.in_(LOG_INS))
    found = db.session.scalars(wanted.order_by(AuditEvent.id.desc()).limit(MOST_EVENTS)).all()
    columns = [Column("When", 2), Column("What", 2), Column("Network address", 2), Column("With", 4)]
    rows = [[_at(event.at), LOG_INS[event.kind], event.address or "", event.device or ""] for event in found]
    return [Text("The customer's log-ins, newest first"), Table(columns, rows)] if rows else []


def _terms(customer: User) -> list[Block]:
    wanted = select(PolicyAcceptance).filter_by(user_id=customer.id).order_by(PolicyAcceptance.id)
    rows = [[row.version, _at(row.accepted_at), row.address or ""] for row in db.session.scalars(wanted)]
    columns = [Column("Version", 2), Column("Accepted", 3), Column("From network address", 3)]
    return [Text("Terms the customer has accepted"), Table(columns, rows)] if rows else []


def _purchases(dispute: Dispute, top_up: TopUp) -> list[Block]:
    """What was bought and delivered since the money came."""
    since = top_up.settled_at or top_up.created_at
    bought = [each for source in sources.values() for each in source(top_up.user_id, since, MOST_PURCHASES)]
    bought.sort(key=lambda each: each.at)
    if not bought:
        return [Text("Since the payment nothing was bought from this account.")]
    columns = [
        *(Column("Bought", 2), Column("What", 3), Column("Number", 2), Column("Code delivered", 2)),
        Column("Price", 1.4, is_amount=True),
    ]
    rows = [
        [_at(each.at), each.what, each.number, _at(each.delivered_at), exact_money(each.price_minor, dispute.currency)]
        for each in bought
    ]
    total = exact_money(sum(each.price_minor for each in bought), dispute.currency)
    title = "Bought and delivered since the payment" + (", the first of them" if len(bought) >= MOST_PURCHASES else "")
    return [Text(title), Table(columns, rows), Totals([("Delivered", total)])]


def _statement(top_up: TopUp) -> list[Block]:
    """The lines of the wallet around the payment."""
    all_of_it = whole(top_up.user_id)
    wanted = (
        select(LedgerEntry.sequence)
        .join(LedgerTransaction)
        .where(
            LedgerTransaction.idempotency_key == f"top_up:top_up:{top_up.reference}",
            LedgerEntry.account_id == all_of_it.account_id,
        )
    )
    place = db.session.scalar(wanted)
    if place is None:
        return []
    span = Span(all_of_it.account_id, max(1, place - LINES_BEFORE), min(all_of_it.end, place + LINES_AFTER))
    columns = [Column("When", 2), Column("What", 4), Column("Amount", 1.4, True), Column("Balance after", 1.4, True)]
    rows = [
        [
            *(_at(row.at), row.text, exact_money(row.amount_minor, top_up.currency)),
            exact_money(row.balance_after_minor, top_up.currency),
        ]
        for piece in statement.in_pieces(span)
        for row in piece
    ]
    return [Text("The wallet around the payment"), Table(columns, rows)]


def _at(at: datetime | None) -> str:
    return f"{at:%Y-%m-%d %H:%M} UTC" if at else ""


def _word(value: object) -> str:
    return value.strip()[:80] if isinstance(value, str) else ""
