"""Everything that can be odd about a file of the predecessor's: what it means, what was done, what is left to do."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal


@dataclass(frozen=True)
class Kind:
    """`what` stands above the rows of this kind, `then` says what becomes of them and what a person may do."""

    what: str
    then: str


@dataclass(frozen=True)
class Finding:
    """One odd thing: in which row, about whose account (the predecessor's id), and how many credits it is about."""

    kind: str
    table: str
    row: str
    account: str = ""
    credits: Decimal | None = None
    detail: str = ""


_WAITS = "The money is set aside, nothing was booked; name the account in --decisions to bring it over."

# For these an account's money waits for a person.
SET_ASIDE = {
    "negative_balance": Kind(
        "The balance is below zero", "Nothing was booked and nothing is owed here; the account begins with nothing."
    ),
    "no_amount": Kind(
        "The balance is no amount",
        "The money is set aside: mend the figure in a copy of the file and name the account in --decisions.",
    ),
    "no_address": Kind(
        "There is no e-mail address one could write to",
        "No account was made, its records stay in the file; --decisions takes an address behind the id.",
    ),
    "same_address": Kind(
        "Another account has the same address, perhaps with other capitals; the oldest of them was brought over",
        "The money is set aside; named in --decisions it goes to that account.",
    ),
    "same_id": Kind("Several accounts have this id; the first one was read", _WAITS),
    "was_admin": Kind(
        "Was an admin of the predecessor, and is a customer here", f"It began with made-up money. {_WAITS}"
    ),
    "negative_order": Kind("Has an order with a price or a duration below zero, which made money", _WAITS),
    "more_refunds": Kind("Was given money back more often than it bought", _WAITS),
    "paid_twice": Kind("A payment was credited more than once", _WAITS),
    "others_payment": Kind("A payment of another account was credited", _WAITS),
    "unpaid_credit": Kind("A payment was credited that is not on record as paid", _WAITS),
    "credit_differs": Kind("More was credited than was paid", _WAITS),
    "address_not_confirmed": Kind(
        "The address has an account here already that was never confirmed: whoever opened it may not read its mail",
        _WAITS,
    ),
    "account_closed": Kind("The address has an account here that is closed", _WAITS),
}
OTHERS = {
    "unexplained": Kind(
        "The balance is not the sum of the account's movements", "The balance counts; the amount is the difference."
    ),
    "rounded": Kind("An amount has more than two decimals", "It was rounded half-even to hundredths of a credit."),
    "odd_amount": Kind("Something else than an amount", "It counts as nothing; the record keeps it as it is."),
    "odd_sign": Kind("A credit below zero, or a debit above", "The sign counts, not the word."),
    "odd_time": Kind("Something else than a time, or one that cannot be", "It was left out; the record keeps it."),
    "orphan": Kind("The account it belongs to is not in the file", "Left in the file."),
    "same_row": Kind("Another row of the table has the same id", "Left in the file."),
    "pending_order": Kind(
        "An order was still waiting",
        "Kept as expired. Its price had been taken: decide whether to give it back (Admin, Gifts).",
    ),
    "active_rental": Kind("A rented number was still in use", "Kept as expired; the number is not ours."),
    "paid_not_credited": Kind(
        "A payment is on record as paid and was never credited", "Nothing was booked: ask Paystack, then decide."
    ),
    "free_verifications": Kind(
        "Free verifications were left", "There is no such thing here; a gift can stand for them (Admin, Gifts)."
    ),
    "active_plan": Kind("A plan was still running", "It never changed a price, and there are none here."),
    "open_ticket": Kind("A question to support was still open", "Kept as a record; somebody should answer it."),
    "unknown_service": Kind("A service that our directory does not know", "Kept under the predecessor's name."),
    "unknown_country": Kind("A number of no country that our directory knows", "Kept without a country."),
    "changed_since": Kind(
        "The balance is another one than when it was brought over", "Nothing was booked; it is brought over once."
    ),
    "joined": Kind("The address had an account here already", "The money was added to it; its password stays."),
    "deleted_since": Kind("Its owner has deleted the account here", "Nothing was brought over again."),
    "other_address": Kind(
        "This id was brought over before, with another address", "Nothing was done: this may be another database."
    ),
    "not_in_file": Kind("An id in --decisions is not in the file", "Nothing was done for it."),
}
KINDS = SET_ASIDE | OTHERS


def order(found: Sequence[Finding]) -> dict[str, list[Finding]]:
    """By kind, in the order of KINDS."""
    return {kind: rows for kind in KINDS if (rows := [each for each in found if each.kind == kind])}
