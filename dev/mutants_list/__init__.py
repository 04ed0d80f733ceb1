"""The guards of the money, each with what takes it away and the tests that must notice.

A mutant of the code is a text of one file (it must stand there exactly once) and what takes its place; one of the
database is a statement run after the migrations. Keep the texts short: they break when the code changes, and a test
says so. After a change here run `make mutants`, which runs what is new or changed.
"""

from dev.mutants_list import buying, cards, database, disputes, ending, gifts, ledger, refunds, top_ups, transactions
from dev.mutants_list.database import RULES, TRIGGERS
from dev.mutants_list.making import Mutant

MUTANTS: tuple[Mutant, ...] = (
    *transactions.MUTANTS,
    *ledger.MUTANTS,
    *top_ups.MUTANTS,
    *refunds.MUTANTS,
    *disputes.MUTANTS,
    *gifts.MUTANTS,
    *cards.MUTANTS,
    *buying.MUTANTS,
    *ending.MUTANTS,
    *database.MUTANTS,
)

__all__ = ["MUTANTS", "RULES", "TRIGGERS", "Mutant"]
