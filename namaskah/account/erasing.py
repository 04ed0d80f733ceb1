"""What is taken out of the database when an account is deleted, and what stays, table by table."""

from datetime import datetime
from typing import Any

from sqlalchemy import delete, func, select, text, update
from sqlalchemy.dialects.postgresql import insert as pg_insert

from namaskah.account.models import DeletedAccount
from namaskah.auth import sessions
from namaskah.auth.models import PolicyAcceptance, User
from namaskah.db import db, require_transaction, transaction
from namaskah.numbers.models import Activation, Message
from namaskah.wallet import cards
from namaskah.wallet.models import GatewayEvent, TopUp
from namaskah.wallet.promo_models import PromoGrant
from namaskah.wallet.refund_models import GatewayRefund

# Tables that name an account by `user_id` → what becomes of their rows. A test fails for a table that is in neither.
ERASED = (
    *(
        "auto_top_ups",
        "buyer_details",
        "data_exports",
        "dispute_papers",
        "email_changes",
        "factor_tries",
        "favourites",
        "low_balance_letters",
        "passkeys",
        "recovery_codes",
        "saved_cards",
        "sessions",
    ),
    "totp_seeds",
)
KEPT = {
    "activations": "what was sold: service, country, number and price, under the account's number",
    "audit_events": "what happened, without where it came from: the chain must hold",
    "deleted_accounts": "that it was deleted",
    "gateway_refunds": "what went back, by the gateway's number, without any account of a bank",
    "disputes": "what payers' banks asked back, how it ended, and what was owed: the books refer to it",
    "invoices": "receipts and credit notes as they were issued, name and all: the law wants them whole",
    "ledger_accounts": "the books",
    "policy_acceptances": "which rules were accepted when, without the address on the network",
    "promo_grants": "what was given, for the books; the reason loses its words",
    "top_ups": "what came in, by the gateway's reference",
    "voucher_redemptions": "which code was used, so that it counts as used",
}


def erase(owner: User, deleted_at: datetime | None = None) -> None:
    """Take everything personal out of one account, and set its tombstone. Needs an open transaction."""
    require_transaction()
    _drop_letters(owner.email)
    sessions.end_all(owner)
    cards.forget_all(owner.id)
    for name in ERASED:
        table = db.metadata.tables[name]
        db.session.execute(table.delete().where(table.c.user_id == owner.id))
    _erase_contents(Activation.user_id == owner.id, TopUp.user_id == owner.id)
    db.session.execute(update(PolicyAcceptance).where(PolicyAcceptance.user_id == owner.id).values(address=None))
    db.session.execute(update(PromoGrant).where(PromoGrant.user_id == owner.id, PromoGrant.note != "").values(note=""))
    db.session.execute(update(GatewayRefund).where(GatewayRefund.user_id == owner.id).values(account_last4=None))
    _blank(owner, deleted_at)
    db.session.execute(
        pg_insert(DeletedAccount).values(user_id=owner.id, deleted_at=owner.deleted_at).on_conflict_do_nothing()
    )
    db.session.flush()


def erase_late_due() -> int:
    """Erase what has come for deleted accounts since: a late message, the gateway's word on an old payment."""
    gone = select(DeletedAccount.user_id)
    with transaction():
        return _erase_contents(Activation.user_id.in_(gone), TopUp.user_id.in_(gone))


def _erase_contents(activations: Any, top_ups: Any) -> int:
    """Messages, and what the gateway wrote about the payer. Its events are kept, as the proof that they came."""
    bought = select(Activation.id).where(activations)
    paid = select(TopUp.reference).where(top_ups)
    messages = delete(Message).where(Message.activation_id.in_(bought)).returning(Message.id)
    events = (
        update(GatewayEvent)
        .where(GatewayEvent.reference.in_(paid), GatewayEvent.body != {})
        .values(body={}, raw=None)
        .returning(GatewayEvent.id)
    )
    return len(db.session.scalars(messages).all()) + len(db.session.scalars(events).all())


def _drop_letters(address: str) -> None:
    """Letters that could not be delivered stay in the queue for whoever looks after it, address and all."""
    failed = "DELETE FROM procrastinate_jobs WHERE task_name = 'send_mail' AND status = 'failed' AND args->>'to' = :to"
    db.session.execute(text(failed), {"to": address})


def _blank(owner: User, deleted_at: datetime | None) -> None:
    """The row stays, for the books refer to it. The address in it can be nobody's: `.invalid` is none's (RFC 2606)."""
    owner.email = f"deleted-{owner.id}@deleted.invalid"
    owner.password_hash = "!"  # noqa: S105 (no password has this print)
    owner.name, owner.language, owner.timezone, owner.theme = "", "en", "UTC", ""
    owner.sound, owner.receipt_letters = True, True
    owner.email_verified_at = None
    if owner.deleted_at is None:
        owner.deleted_at = deleted_at or db.session.scalars(select(func.now())).one()
