"""What the gateway's events say and what became of each, in sentences for the operator."""

from flask_babel import LazyString
from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l

from namaskah.wallet import events, refund_words
from namaskah.wallet.models import GatewayEvent

# By name; where none fits, by what it begins with.
KINDS: dict[str, LazyString] = {
    "charge.success": _l("A payment succeeded."),
    "charge.failed": _l("A payment failed."),
    "charge.dispute.create": _l("A payer disputes a payment at the bank."),
    "charge.dispute.remind": _l("A dispute still waits for our answer."),
    "charge.dispute.resolve": _l("A dispute was decided."),
    "refund.pending": _l("A refund was asked for."),
    "refund.processing": _l("A refund is on its way."),
    "refund.processed": _l("A refund has arrived at the payer’s."),
    "refund.failed": _l("A refund did not arrive; its money is with us again."),
    "refund.needs-attention": _l("A refund waits for details of the payer’s account."),
    events.NOT_AN_EVENT: _l("Something signed by Paystack that is no report we can read."),
}
FAMILIES: tuple[tuple[str, LazyString], ...] = (
    ("transfer.", _l("About money that was sent out from the Paystack account.")),
    ("invoice.", _l("About a subscription’s invoice; no subscriptions are sold here.")),
    ("subscription.", _l("About a subscription; none are sold here.")),
    ("paymentrequest.", _l("About a request for payment made in Paystack’s dashboard.")),
    ("customeridentification.", _l("About checking who a payer is, which is not done here.")),
    ("dedicatedaccount.", _l("About bank accounts for single payers, which are not used here.")),
    ("direct_debit.", _l("About direct debits, which are not used here.")),
    ("bank.transfer.", _l("About a bank transfer that was turned down.")),
)
# By outcome; handlers' own words stand here too.
OUTCOMES: dict[str, LazyString] = {
    "paid": _l("Paystack confirmed the payment when asked, and the money is in the customer’s wallet."),
    "pending": _l("Asked about it, Paystack said that the bank is at it. Nothing was credited; it is asked again."),
    "opened": _l("Asked about it, Paystack knew of no payment. Nothing was credited; it is asked again."),
    "failed": _l("Asked about it, Paystack said that the payment failed. Nothing was credited."),
    "abandoned": _l("Asked about it, Paystack said that nobody has paid. Nothing was credited; it is asked again."),
    "expired": _l("Nothing was paid in three days, so nothing was credited."),
    "mismatch": _l("Something else was paid than was asked for. Nothing was credited; a person decides about it."),
    "closed": _l("A person had closed the top-up without credit. Nothing was credited."),
    events.UNMATCHED: _l("Nothing of ours belongs to it, after an hour of tries. Nothing was done; a person looks."),
    events.NOT_HANDLED: _l("Events of this kind are kept, and nothing is done on them by itself."),
    events.NOT_AN_EVENT: _l("It could not be read, so nothing was done. It is kept as it came; a person looks at it."),
}  # fmt: skip
# What the handlers of disputes say, and those of refunds: one word for each refund that the event can be about.
DISPUTES: dict[str, LazyString] = {
    "awaiting_merchant_feedback": _l("Asked about it, Paystack said that the dispute waits for our answer."),
    "awaiting_bank_feedback": _l("Asked about it, Paystack said that the dispute waits for the bank."),
    "pending": _l("Asked about it, Paystack said that the dispute is open."),
    "won": _l("The dispute is won: what was set aside is the customer’s again."),
    "lost": _l("The dispute is lost: the money went back to the payer."),
}


def kind(event: GatewayEvent) -> str:
    """What an event says, by its name alone."""
    said = KINDS.get(event.event)
    if said is None:
        families = (sentence for start, sentence in FAMILIES if event.event.startswith(start))
        said = next(families, _l("An event that Namaskah does not know; Paystack’s documentation names it."))
    return str(said)


def outcome(event: GatewayEvent) -> str:
    """What became of it, or how it stands."""
    if event.closed_at is not None:
        return _("Closed by a person.")
    if event.handled_at is None:
        return _waiting(event)
    return _done(event.event, event.outcome or "")


def _done(name: str, outcome: str) -> str:
    if name.startswith("charge.dispute.") and outcome in DISPUTES:
        return str(DISPUTES[outcome])
    states = outcome.split()
    if name.startswith("refund.") and states and all(state in refund_words.OPERATORS for state in states):
        labels = ", ".join(str(refund_words.OPERATORS[state].label) for state in states)
        return _("Asked about it, Paystack said how the refund stands: %(states)s.", states=labels)
    return str(OUTCOMES.get(outcome) or _("Done: %(word)s.", word=outcome))


def _waiting(event: GatewayEvent) -> str:
    if event.last_error:
        return _("The last try failed. The worker tries again by itself until it is done; nothing is lost.")
    if event.outcome == events.UNMATCHED:
        return _("Nothing of ours belongs to it yet: it may have come early. The worker looks again for an hour.")
    return _("The worker acts on it in a moment.")
