"""A refund's state in plain words: for the customer whose money it is, and for the operator, with what it means for the
money and what there is to do."""

from dataclasses import dataclass
from typing import Any

from flask_babel import lazy_gettext as _l

from namaskah.wallet.refund_models import GatewayRefund


@dataclass(frozen=True)
class Words:
    """`tone`: of the badge; `text`: a sentence or two."""

    label: Any
    tone: str
    text: Any


ASKED = Words(_l("On its way"), "info", _l("We have asked Paystack to send it. It is no longer in your wallet."))
CUSTOMERS = {
    "asked": ASKED,
    "doubt": ASKED,
    "pending": ASKED,
    "processing": Words(_l("On its way"), "info", _l("Paystack is sending it to your bank.")),
    "needs_attention": Words(
        _l("On its way"),
        "info",
        _l("Your bank does not take it this way. We look for another and may write to you."),
    ),
    "processed": Words(
        _l("Sent back"), "good", _l("Paystack has sent it. Until your bank shows it, some days may pass.")
    ),
    "failed": Words(_l("In your wallet again"), "", _l("Paystack could not send it. It is in your wallet again.")),
    "cancelled": Words(_l("In your wallet again"), "", _l("It was not sent. It is in your wallet again.")),
}
CAME_BACK = Words(_l("In your wallet again"), "", _l("Your bank did not take it. It is in your wallet again."))
LOOKED_AT = Words(
    _l("Being looked at"), "warn", _l("Paystack has told us two different things of it. A person looks at it.")
)

OPERATORS = {
    "asked": Words(
        _l("Not asked yet"),
        "info",
        _l("The money is out of the wallet and set aside. Paystack was not asked yet."),
    ),
    "doubt": Words(
        _l("In doubt"),
        "warn",
        _l(
            "Paystack was asked and gave no clear answer. The money is set aside. The worker looks for the refund"
            " there, and asks again only when it is certain that there is none."
        ),
    ),
    "pending": Words(_l("Pending"), "info", _l("Paystack has it in its queue. The money is set aside.")),
    "processing": Words(_l("Processing"), "info", _l("Paystack is sending it. The money is set aside.")),
    "needs_attention": Words(
        _l("Needs attention"),
        "warn",
        _l(
            "Paystack cannot send it to where it was paid from. The money is set aside until you name a bank account"
            " of the customer."
        ),
    ),
    "processed": Words(
        _l("Processed"), "good", _l("The money has left our Paystack balance. A credit note is issued.")
    ),
    "failed": Words(_l("Failed"), "bad", _l("Paystack could not send it. The money is in the wallet again.")),
    "cancelled": Words(_l("Called off"), "", _l("It never began at Paystack. The money is in the wallet again.")),
}
CONTRADICTED = {
    "processed": Words(
        _l("Contradicted"),
        "bad",
        _l(
            "Paystack said processed, and says failed now: the money is in our Paystack balance again, and the customer"
            " has it neither at the bank nor in the wallet. Book it into the wallet; a debit note then takes back the"
            " credit note."
        ),
    ),
    "failed": Words(
        _l("Contradicted"),
        "bad",
        _l(
            "We had put the money back into the wallet, and Paystack says now that it sent it: the customer has it"
            " twice. Book it as gone. It is taken out of the wallet as far as it goes, the rest is our loss."
        ),
    ),
}
RETURNED = Words(
    _l("Came back"), "", _l("Paystack had sent it, and it came back. It was booked into the wallet by a person.")
)


def for_customer(refund: GatewayRefund) -> Words:
    """What its owner reads."""
    if refund.is_contradicted:
        return LOOKED_AT
    return CAME_BACK if refund.returned_at else CUSTOMERS[refund.state]


def for_operator(refund: GatewayRefund) -> Words:
    """What whoever looks after it reads."""
    if refund.is_contradicted:
        return CONTRADICTED["processed" if refund.state == "processed" else "failed"]
    return RETURNED if refund.returned_at else OPERATORS[refund.state]
