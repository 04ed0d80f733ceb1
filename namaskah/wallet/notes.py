"""Credit and debit notes: what a receipt's notes take off it is what its payer has back, whatever went back, came back
or was decided otherwise since."""

from sqlalchemy import select

from namaskah.db import db, require_transaction
from namaskah.wallet import invoices, refund_reading
from namaskah.wallet.dispute_models import Dispute
from namaskah.wallet.models import Invoice, TopUp


def issue(top_up: TopUp, reference: str, most_minor: int) -> Invoice | None:
    """The note that makes the papers of a top-up say what its payer has back: a credit note of at most `most_minor`, a
    debit note, or none where they say it already. `reference` is of the refund or dispute that has just changed, and
    names the note: each is issued once.

    Call it as `invoices.credit_note()`: in the transaction of the change, the top-up's row locked, after the ledger and
    before any audit event.
    """
    require_transaction()
    db.session.flush()
    missing = _back_minor(top_up) - invoices.taken_off_minor(top_up)
    if missing < 0:
        return invoices.debit_note(top_up, reference, -missing)
    credited = min(missing, most_minor)
    return invoices.credit_note(top_up, reference, credited) if credited else None


def _back_minor(top_up: TopUp) -> int:
    """How much of a top-up its payer has back, in minor units: refunds that were paid out and stayed so, disputes that
    were lost. One that was lost and is open again counts as far as its notes do: the gateway still has the money, and
    what the papers say of it stands until it is decided anew."""
    disputes = db.session.execute(
        select(Dispute.gateway_id, Dispute.outcome, Dispute.amount_minor)
        .where(Dispute.top_up_id == top_up.id, Dispute.outcome.is_distinct_from("won"))
        .execution_options(populate_existing=True)
    )
    lost = sum(
        amount if outcome == "lost" else min(amount, _noted_minor(top_up, gateway_id))
        for gateway_id, outcome, amount in disputes
    )
    return min(top_up.paid_minor or 0, refund_reading.processed_minor(top_up) + lost)


def _noted_minor(top_up: TopUp, gateway_id: str) -> int:
    """What all rounds of a dispute have taken off the receipt so far."""
    rounds = Invoice.refund_reference.startswith(f"dispute:{gateway_id}.", autoescape=True)
    return invoices.taken_off_minor(top_up, rounds)
