"""The gateway's side of a refund, and short ways to a paid top-up and its refund."""

import secrets
from typing import Any

from sqlalchemy import func, select, text

from namaskah.auth.models import User
from namaskah.db import db, transaction
from namaskah.sandbox.refunds import Refund
from namaskah.wallet import ledger, refund_asking, refund_reading, refunds, topups
from namaskah.wallet.models import Invoice, LedgerTransaction, TopUp
from namaskah.wallet.refund_models import GatewayRefund

from .counter import Counter

PAID = 250_000
WHO = "user:1"


def paid(payer: User, counter: Counter, amount_minor: int = PAID) -> TopUp:
    """A top-up that was paid and credited."""
    opened = topups.open_top_up(payer, amount_minor, secrets.token_hex(16))
    counter.pay(opened.reference)
    return topups.settle(opened.reference)


def begin(top_up: TopUp, amount_minor: int = PAID, **more: Any) -> GatewayRefund:
    """Written down and taken out of the wallet, not yet asked for."""
    wanted: dict[str, Any] = {"reason": "asked for it", "key": secrets.token_hex(16), "who": WHO} | more
    return refunds.start(top_up.reference, amount_minor, **wanted)


def sent(top_up: TopUp, amount_minor: int = PAID, **more: Any) -> GatewayRefund:
    """On its way at the gateway."""
    return refund_asking.ask(begin(top_up, amount_minor, **more).reference)


def there(counter: Counter, refund: GatewayRefund | None = None) -> list[Refund]:
    """The gateway's refunds, oldest first; of one of ours if told."""
    rows = list(reversed(counter.world.refunds.listing()))
    return [row for row in rows if refund is None or row.merchant_note == refund.reference]


def becomes(counter: Counter, refund: GatewayRefund, status: str) -> GatewayRefund:
    """The gateway moves it on, and we ask."""
    counter.world.refunds.move(there(counter, refund)[0], status)
    return refund_asking.ask(refund.reference)


def fresh(refund: GatewayRefund) -> GatewayRefund:
    db.session.rollback()
    return refund_reading.get_refund(refund.reference)


def wallet(user_id: int) -> tuple[int, int]:
    """What can be spent, and what is on its way back."""
    db.session.rollback()
    found = ledger.balance(user_id)
    return found.available_minor, found.refunding_minor


def house(kind: str) -> int:
    """What one of the house's accounts holds."""
    query = text("SELECT coalesce(sum(e.amount), 0) FROM ledger_entries e JOIN ledger_accounts a ON a.id = e.account_id"
                 " WHERE a.kind = :kind")  # fmt: skip
    return int(db.session.scalar(query, {"kind": kind}) or 0)


def moved(kind: str) -> int:
    """How many movements of this kind there were."""
    return db.session.scalar(select(func.count()).select_from(LedgerTransaction).filter_by(kind=kind)) or 0


def noted() -> list[int]:
    """What each note takes off its receipt, oldest first: below zero for those that put it back."""
    rows = db.session.scalars(select(Invoice).where(Invoice.receipt_id.is_not(None)).order_by(Invoice.id))
    return [row.total_minor if row.kind == "credit_note" else -row.total_minor for row in rows]


def letters() -> list[str]:
    """Subjects of the letters that wait."""
    rows = text("SELECT args->>'subject' FROM procrastinate_jobs WHERE task_name = 'send_mail' ORDER BY id")
    return list(db.session.scalars(rows))


def later(minutes: int) -> None:
    """So much time goes by for all refunds."""
    with transaction():
        change = "UPDATE gateway_refunds SET asked_at = asked_at - :by, check_at = check_at - :by"
        db.session.execute(text(change.replace(":by", f"interval '{minutes} minutes'")))
