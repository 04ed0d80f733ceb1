"""What a line of the statement says, in the reader's language: why money moved, and how what it was set aside for
ended."""

import re

from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l

from namaskah.filters import money_text

# How a hold ended (None: not yet), and the reasons for which a release gave the money back.
HELD = {
    None: _l("%(what)s: held while you wait"),
    "capture": _l("%(what)s: bought, the code came"),
    "release": _l("%(what)s: held, then given back"),
}
NO_NUMBER = _l("%(what)s: no number to be had, money back")
RELEASED = {
    "no_code": _l("%(what)s: no code came, money back"),
    "customer_cancelled": _l("%(what)s: you cancelled, money back"),
    "number_used": _l("%(what)s: the number was used before, money back"),
    "provider_closed": _l("%(what)s: the number was closed early, money back"),
    "no_stock": NO_NUMBER,
    "provider_refused": NO_NUMBER,
    "nothing_bought": NO_NUMBER,
}
# A top-up sent back: how that ended (None: not yet), and what moved afterwards.
SENT_BACK = {
    None: _l("On its way back to where you paid it from"),
    "refund_to_source": _l("Sent back to where you paid it from"),
    "refund_to_source_back": _l("Was to go back to where you paid it from"),
}
CALLED_OFF = "cancelled"
AFTER_SENDING_BACK = {
    "refund_to_source_back": _l("Could not be sent back: in your wallet again"),
    "refund_to_source_return": _l("Your bank did not take it: in your wallet again"),
    "refund_to_source_late": _l("Sent back to where you paid it from after all"),
}
MONEY_BACK = _l("%(what)s: money back")
REFUNDED = _l("%(what)s: refunded")
GIFT_OVER = {
    "expired": _l("Gift: what was left of it has run out"),
    "account deleted": _l("Gift: given up with the account"),
}
VOUCHER = re.compile("voucher:([0-9A-Z]{4})")  # the note of a gift that came by a code: its last four letters
# What disputes do to a wallet; the reason of one that was won is "changed" when the bank wants another amount.
DISPUTED = {
    "dispute_open": _l("Payment disputed at its bank: set aside until that is decided"),
    "dispute_won": _l("Dispute over, the payment stands: money back"),
    "dispute_lost": _l("Dispute over: the bank took the payment back"),
    "debt_paid": _l("Paid what was owed after a disputed payment"),
    "debt_written_off": _l("What was owed after a disputed payment was given up"),
}
DISPUTE_CHANGED = _l("The bank disputes another amount: money back, and taken anew")


TOP_UP = _l("Top-up")
TOPPED_UP = {"card": _l("Top-up with a kept card"), "auto": _l("Automatic top-up")}


def say(
    kind: str, subject: str, end: str | None, note: str, gift_minor: int | None = None, fee_minor: int | None = None
) -> str:
    """One line in words. `subject` is what it is about; `end` how a hold ended or a top-up was paid; `note` why a
    release came, or an adjustment's reason; `gift_minor` what moved of the customer's gifts beside it; `fee_minor` what
    the payer bore of the gateway's fee."""
    if fee_minor is not None:
        return _with_fee(fee_minor, end)
    return _with_gift(_sentence(kind, subject, end, note), gift_minor)


def _sentence(kind: str, subject: str, end: str | None, note: str) -> str:
    if kind == "top_up":
        return str(TOPPED_UP.get(end or "", TOP_UP))
    if kind == "adjustment":
        return str(_("Correction: %(reason)s", reason=note))
    if kind == "opening_balance":
        return str(_("Balance of your account at the earlier Namaskah"))
    if kind == "promo_granted":
        by_code = VOUCHER.fullmatch(note)
        return str(_("Gift by code …%(code)s", code=by_code[1]) if by_code else _("Gift: %(reason)s", reason=note))
    if kind == "promo_expired":
        return str(GIFT_OVER.get(note, GIFT_OVER["expired"]))
    if kind == "refund_to_source_begin":
        return str(SENT_BACK[end])
    if kind == "refund_to_source_back" and note == CALLED_OFF:
        return str(_("Not sent back after all: in your wallet again"))
    if kind in AFTER_SENDING_BACK:
        return str(AFTER_SENDING_BACK[kind])
    if kind in DISPUTED:
        return str(DISPUTE_CHANGED if note == "changed" else DISPUTED[kind])
    if kind == "hold":
        sentence = HELD[end]
    elif kind == "release":
        sentence = RELEASED.get(note, MONEY_BACK)
    else:
        sentence = REFUNDED
    return str(sentence) % {"what": subject or _("A number")}


def _with_gift(sentence: str, gift_minor: int | None) -> str:
    """A line of the customer's own money, and what came from or went back to gifts beside it."""
    if not gift_minor:
        return sentence
    amount = money_text(abs(gift_minor))
    if gift_minor < 0:
        return str(_("%(line)s (and %(amount)s of a gift)", line=sentence, amount=amount))
    return str(_("%(line)s (and %(amount)s to your gifts)", line=sentence, amount=amount))


def _with_fee(fee_minor: int, origin: str | None) -> str:
    """A top-up whose payer bore the gateway's fee: it was paid, and never was in the wallet."""
    fee = money_text(fee_minor)
    if origin == "auto":
        return str(_("Automatic top-up; Paystack’s fee of %(fee)s was paid on top", fee=fee))
    return str(_("Top-up; Paystack’s fee of %(fee)s was paid on top", fee=fee))
