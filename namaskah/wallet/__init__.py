"""Ledger, top-ups, receipts and the gateway that brings money in. A customer's balance is the sum of the ledger's
entries.

ledger moves money · topups lets it in, sweeping finds it late, endings tells its owner, mismatches and reversals wait
for a person, unknown_payments takes in what only the gateway knew ·
events is what the gateway says by itself, inbox and event_words show it · paystack speaks to it ·
refunds gives money back to where it came from (refund_asking asks for it, refund_events is told, refund_accounts names
bank accounts, refund_reading and refund_words show it) · disputes follows what banks want back (dispute_booking books
it, debts is what customers owe, dispute_answers sends our answer, evidence words the paper) ·
invoices issues receipts, invoice_papers words them · statement explains, periods cuts it, statement_files writes it ·
promo gives credit that runs out and takes it back, promo_spending is what purchases take of it · vouchers are codes one
gets it by, voucher_batches makes them · cards keeps cards, card_charges charges them, auto_topups by itself ·
low_balance writes · house knows our own accounts · currencies is the table of them, fees and quotes reckon what paying
costs, currency_settings and currency_guard keep the one we have · checks proves. What money is spent on is unknown
here: an opaque reference, "activation:7".
"""

from flask import Blueprint

blueprint = Blueprint("wallet", __name__)
