"""What a mutant is, how one of the code is written down, and the tests that the lists beside this one name."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Mutant:
    """One guard taken away. `tests` are arguments of pytest, the narrowest that should notice."""

    name: str
    guard: str  # what it protects, in words
    where: str  # a file, or the table of a rule
    old: str  # its text there, or the statement that takes it away
    new: str | None  # the text that takes its place; None for a statement
    tests: tuple[str, ...]


def code(name: str, guard: str, where: str, old: str, new: str, *tests: str) -> Mutant:
    return Mutant(name, guard, f"namaskah/{where}", old, new, tuple(f"tests/{test}" for test in tests))


LEDGER, INVOICES = "wallet/test_ledger.py", "wallet/test_invoices.py"
BELOW, LOCKS = "money/test_transactions.py", "money/test_locks.py"
TOPUPS, RACES, WEBHOOK = "wallet/test_topups.py", "wallet/test_settle_races.py", "wallet/test_webhook.py"
REFUNDS, ASKING, DISPUTES = "wallet/test_refunds.py", "wallet/test_refund_asking.py", "wallet/test_disputes.py"
DEBTS, INBOX, BOTH = "wallet/test_debts.py", "wallet/test_inbox.py", "wallet/test_dispute_and_refund.py"
PROMO, VOUCHERS, MISMATCHES = "wallet/test_promo.py", "wallet/test_vouchers.py", "wallet/test_mismatches.py"
UNKNOWN = "admin/test_unknown_payments.py"
CARDS, AUTO = "wallet/test_cards.py", "wallet/test_auto_topups.py"
BUYING, DOUBT, ENDINGS = "numbers/test_activations.py", "numbers/test_doubt.py", "numbers/test_endings.py"
RUSH, SCENARIOS, LOST = "numbers/test_races.py", "money/test_scenarios.py", "money/test_lost_commits.py"
