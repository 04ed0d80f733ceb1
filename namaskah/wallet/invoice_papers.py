"""How a receipt, credit or debit note reads: the same words on its page and on paper.

The page is in the reader's language; the paper, which may lie in somebody's files, stays in the one it was issued in.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from flask_babel import force_locale
from flask_babel import gettext as _

from namaskah.filters import day, exact_money
from namaskah.language import CODES, DEFAULT
from namaskah.papers.paper import Column, Columns, Facts, Paper, Table, Text, Totals
from namaskah.wallet.models import Invoice


@dataclass(frozen=True)
class Wording:
    """A document in somebody's language. `parties`: heading and lines; `lines`: what was paid, and how much of it;
    `totals`: the last pair is the sum."""

    name: str
    parties: Sequence[tuple[str, Sequence[str]]]
    facts: Sequence[tuple[str, str]]
    lines: Sequence[tuple[str, str]]
    totals: Sequence[tuple[str, str]]
    note: str


def worded(invoice: Invoice) -> Wording:
    """In the language that is spoken now."""
    return Wording(
        name=kind_name(invoice.kind),
        parties=[(_("Seller"), _seller_lines(invoice)), (_("Buyer"), _buyer_lines(invoice))],
        facts=[
            (_("Date"), day(invoice.issued_on)),
            (_("Paid on"), day(invoice.paid_on)),
            *_about_the_receipt(invoice),
            (_("Payment reference"), invoice.top_up.reference),
        ],
        lines=_what(invoice),
        totals=_totals(invoice),
        note=_note(invoice.kind),
    )


def paper(invoice: Invoice) -> Paper:
    """For printing, in the language the document was issued in; always the same."""
    language = invoice.language if invoice.language in CODES else DEFAULT
    with force_locale(language):
        words = worded(invoice)
        return Paper(
            title=f"{words.name} {invoice.full_number}",
            language=language,
            made_at=invoice.issued_at,
            head=words.name,
            subhead=invoice.full_number,
            foot=f"{invoice.seller['name']} · {invoice.full_number}".replace("\n", ", "),
            blocks=[
                Columns(words.parties),
                Facts(words.facts),
                Table(
                    [Column(_("What"), 3), Column(_("Amount"), 1, is_amount=True)],
                    [list(line) for line in words.lines],
                ),
                Totals(words.totals),
                Text(words.note, small=True),
            ],
        )


def kind_name(kind: str) -> str:
    """What people call a receipt, a credit note or a debit note."""
    names = {"receipt": _("Receipt"), "credit_note": _("Credit note"), "debit_note": _("Debit note")}
    return str(names[kind])


def _note(kind: str) -> str:
    if kind == "receipt":
        return str(_("This receipt is also your invoice. It is paid in full."))
    if kind == "credit_note":
        return str(_("This credit note takes back the receipt it names, by the amount above."))
    return str(
        _(
            "The money came back after all. This debit note takes back a credit note to the receipt it names, by the "
            "amount above."
        )
    )


def _seller_lines(invoice: Invoice) -> list[str]:
    seller = invoice.seller
    return _lines(seller["name"], seller["address"], seller["tax_id"], seller["email"])


def _buyer_lines(invoice: Invoice) -> list[str]:
    buyer = invoice.buyer
    tax_id = _("Tax number %(number)s", number=buyer["tax_id"]) if buyer["tax_id"] else ""
    customer = _("Customer %(number)s", number=invoice.user_id)
    return _lines(buyer["company"], buyer["name"], buyer["address"], tax_id, customer)


def _lines(*texts: str) -> list[str]:
    return [line for text in texts for line in text.split("\n") if line]


def _about_the_receipt(invoice: Invoice) -> list[tuple[str, str]]:
    return [(_("For receipt"), invoice.receipt.full_number)] if invoice.receipt else []


def _what(invoice: Invoice) -> list[tuple[str, str]]:
    """A fee that the payer bore is a line of its own; both lines are what was paid."""
    what = {
        "receipt": _("Wallet top-up, paid through Paystack"),
        "credit_note": _("Wallet top-up, given back by Paystack"),
        "debit_note": _("Wallet top-up, paid after all"),
    }[invoice.kind]
    lines = [(what, exact_money(invoice.total_minor - invoice.fee_minor, invoice.currency))]
    if invoice.fee_minor:
        lines.append((_("Paystack’s fee for the payment"), exact_money(invoice.fee_minor, invoice.currency)))
    return lines


def _totals(invoice: Invoice) -> list[tuple[str, str]]:
    def shown(amount_minor: int) -> str:
        return exact_money(amount_minor, invoice.currency)

    total = (_("Total"), shown(invoice.total_minor))
    if not invoice.tax_rate:
        return [total]
    tax = f"{invoice.tax_name} {Decimal(invoice.tax_rate).scaleb(-2).normalize():f}%"
    return [
        (_("Without tax"), shown(invoice.total_minor - invoice.tax_minor)),
        (tax, shown(invoice.tax_minor)),
        total,
    ]
