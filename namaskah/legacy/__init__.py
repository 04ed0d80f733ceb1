"""Bringing over what the predecessor left: a SQLite file of Namaskah 2.0 or 2.1 (or later) becomes accounts here, with
their money as opening entries in the ledger and their past as records to read.

reader: the file as it is. rules, history, payments: what of it can be believed, decided from the file alone.
importing: into the database, each account whole or not at all. report: everything that was odd.
records: what came over, asked about a payment.
"""
