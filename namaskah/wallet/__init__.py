"""Ledger, top-ups, receipts and the gateway that brings money in. A customer's balance is the sum of the ledger's
entries.

ledger moves money · topups lets it in · events is what the gateway says by itself · paystack speaks to it ·
invoices issues receipts, invoice_papers words them · statement explains, periods cuts it, statement_files writes it ·
cards keeps cards, card_charges charges them, auto_topups by itself · low_balance writes ·
house knows our own accounts · checks proves. What money is spent on is
unknown here: an opaque reference, "activation:7".
"""

from flask import Blueprint

blueprint = Blueprint("wallet", __name__)
