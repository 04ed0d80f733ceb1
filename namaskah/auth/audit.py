"""The audit log: what happened to whose account, and by whom. It only grows; PostgreSQL chains its rows (migration
0004), so that one changed or taken out shows.

Details hold no personal data and no secret: the log outlives the account it is about.
"""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from flask import has_request_context, request
from flask_babel import lazy_gettext as _l
from sqlalchemy import func, insert, select, text, update

from namaskah.auth import devices
from namaskah.auth.models import AuditEvent, User
from namaskah.db import db, require_transaction, transaction

# How long we know which address and browser an event came from.
ORIGIN_KEPT = timedelta(days=90)

# Every kind of event, as its owner reads it.
SENTENCES = {
    "registered": _l("Account opened"),
    "login": _l("Logged in"),
    "login_failed": _l("Log-in refused: wrong password"),
    "login_closed": _l("Log-in refused: the account is closed"),
    "confirm_failed": _l("Asked to confirm who you are: wrong answer"),
    "logout": _l("Logged out"),
    "brought_over": _l("Account brought over from the earlier Namaskah"),
    "email_confirmed": _l("E-mail address confirmed"),
    "password_changed": _l("Password changed"),
    "reset_asked": _l("Asked for a letter to choose a new password"),
    "password_reset": _l("New password chosen by a link in a letter"),
    "email_change_asked": _l("Asked to change the e-mail address"),
    "email_change_cancelled": _l("Change of the e-mail address called off"),
    "email_changed": _l("E-mail address changed"),
    "session_ended": _l("Another device was logged out"),
    "sessions_ended": _l("All other devices were logged out"),
    "factor_added": _l("Second factor added"),
    "factor_removed": _l("Second factor removed"),
    "factor_failed": _l("Second factor: wrong code"),
    "factor_blocked": _l("Second factor: no more codes for five minutes, too many were wrong"),
    "factors_reset": _l("Second factor removed by us"),
    "recovery_codes_made": _l("New recovery codes made"),
    "recovery_code_used": _l("A recovery code was used"),
    "passkey_refused": _l("Passkey refused: it may be a copy"),
    "banned": _l("Account closed by us"),
    "unbanned": _l("Account opened again by us"),
    "admin_made": _l("Made an operator of this site"),
    "admin_ended": _l("No operator of this site any more"),
    "policies_accepted": _l("New version of the rules accepted"),
    "card_kept": _l("A card was kept for later payments"),
    "card_removed": _l("A kept card was removed"),
    "auto_top_up_on": _l("Automatic top-up set up"),
    "auto_top_up_off": _l("Automatic top-up switched off"),
    "auto_top_up_stopped": _l("Automatic top-up switched off: the card could not be charged"),
    "export_asked": _l("A file of everything we hold of you was asked for"),
    "export_downloaded": _l("The file of everything we hold of you was downloaded"),
    "gift_given": _l("We gave you credit"),
    "voucher_redeemed": _l("A gift code was used"),
    "vouchers_made": _l("Gift codes made"),
    "vouchers_taken": _l("Gift codes downloaded"),
    "vouchers_revoked": _l("Gift codes revoked"),
    "dispute_accepted": _l("We gave in to a dispute of a payment"),
    "dispute_declined": _l("We answered a dispute of a payment: it was rightly paid"),
    "debt_written_off": _l("We gave up what was owed after a dispute"),
    "deleted": _l("Account deleted"),
    "unconfirmed_deleted": _l("Account deleted by us: its address was never confirmed"),
    "housekeeping_asked": _l("We had something tidied away before its time"),
    "rate_set": _l("Exchange rates set"),
    "provider_paid_in": _l("Money that was paid in at a provider was booked"),
    "provider_order_settled": _l("It was decided who keeps the cost of an order at a provider"),
    "refund_started": _l("We began to send a top-up back to where it was paid from"),
    "refund_cancelled": _l("We called off sending a top-up back"),
    "refund_account_given": _l("We named the bank account a top-up is to be sent back to"),
    "refund_attached": _l("We noted which refund at Paystack belongs to a top-up that goes back"),
    "refund_returned": _l("A top-up that could not be sent back was booked into the wallet"),
    "refund_booked_late": _l("A top-up that was sent back after all was taken out of the wallet"),
    "top_up_accepted": _l("A payment that differed from what was asked for was credited by us"),
    "top_up_closed": _l("A payment that differed from what was asked for was closed by us without credit"),
    "top_up_reversal_explained": _l("It was found out why a payment went back after its credit"),
    "unknown_payment_credited": _l("A payment that no top-up of ours accounted for was credited by us"),
    "gateway_event_retried": _l("A report of Paystack was worked on again"),
    "gateway_event_closed": _l("A report of Paystack was closed by us"),
}


@dataclass(frozen=True)
class Break:
    """A row at which the chain does not hold."""

    id: int
    reason: str


def record(kind: str, user_id: int | None, actor: str = "", **details: Any) -> None:
    """Add an event about this account. `actor` is who did it, where it was not the account's owner.

    Needs an open transaction, and is its last step: from here to the commit nobody else can write to the log.
    """
    require_transaction()
    assert kind in SENTENCES, kind
    db.session.execute(
        insert(AuditEvent).values(
            user_id=user_id,
            actor=actor or (f"user:{user_id}" if user_id else "somebody"),
            kind=kind,
            details=details,
            address=(request.remote_addr or "")[:45] if has_request_context() else None,
            device=devices.name() if has_request_context() else None,
        )
    )


def history(user: User, before: int | None = None, limit: int = 30) -> list[AuditEvent]:
    """What happened to this account, newest first; older than event `before` if given."""
    wanted = select(AuditEvent).where(AuditEvent.user_id == user.id).order_by(AuditEvent.id.desc()).limit(limit)
    if before is not None:
        wanted = wanted.where(AuditEvent.id < before)
    return list(db.session.scalars(wanted))


def has_happened(kind: str, user_id: int) -> bool:
    """Whether such an event is on record for this account."""
    event = select(AuditEvent.id).where(AuditEvent.user_id == user_id, AuditEvent.kind == kind).limit(1)
    return db.session.scalar(event) is not None


def breaks() -> list[Break]:
    """Rows that were changed, and places where rows are missing; none when the log is whole. What was cut off at its
    end shows only beside an earlier head()."""
    rows = db.session.execute(
        text("""
            SELECT id, reason FROM (
                SELECT id, CASE
                    WHEN id <> coalesce(lag(id) OVER w, 0) + 1 THEN 'events before it are missing'
                    WHEN previous_hash <> coalesce(lag(hash) OVER w, ''::bytea) THEN 'it does not follow the one before'
                    WHEN hash <> audit_hash(audit_events) THEN 'it was changed'
                    WHEN salt IS NOT NULL AND origin_hash <> sha256(convert_to(
                        jsonb_build_array(salt, address, device)::text, 'UTF8')) THEN 'its origin was changed'
                END AS reason
                FROM audit_events WINDOW w AS (ORDER BY id)
            ) checked WHERE reason IS NOT NULL ORDER BY id
        """)
    )
    return [Break(row.id, row.reason) for row in rows]


def head() -> tuple[int, str]:
    """Number and hash (hex) of the newest event: kept elsewhere, they prove later that nothing was cut off."""
    newest = db.session.execute(
        select(AuditEvent.id, AuditEvent.hash).order_by(AuditEvent.id.desc()).limit(1)
    ).one_or_none()
    return (newest.id, newest.hash.hex()) if newest else (0, "")


def forget_origins_due() -> int:
    """Forget where events older than ORIGIN_KEPT came from; returns how many were forgotten, a thousand at most."""
    old = (
        select(AuditEvent.id)
        .where(AuditEvent.at < func.now() - ORIGIN_KEPT, AuditEvent.salt.is_not(None))
        .limit(1000)
        .with_for_update(skip_locked=True)
    )
    with transaction():
        return len(_forget(AuditEvent.id.in_(old)))


def forget_origins_of(user_id: int) -> None:
    """Forget where all events of one account came from. Needs an open transaction."""
    require_transaction()
    _forget(AuditEvent.user_id == user_id, AuditEvent.salt.is_not(None))


def _forget(*which: Any) -> list[int]:
    return list(
        db.session.scalars(
            update(AuditEvent).where(*which).values(address=None, device=None, salt=None).returning(AuditEvent.id)
        )
    )
