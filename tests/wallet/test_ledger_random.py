"""Random sequences of ledger verbs against a picture of the wallet kept in plain numbers."""

import secrets
from collections.abc import Callable

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from namaskah.auth.models import User
from namaskah.db import db, transaction
from namaskah.wallet import ledger
from namaskah.wallet.checks import CHECKS
from namaskah.wallet.ledger import InsufficientFunds, UnknownHold

VERBS = ("adjust", "hold", "capture", "release", "refund")
STEPS = st.lists(
    st.tuples(st.sampled_from(VERBS), st.integers(0, 3), st.sampled_from((1, 250, 400, 100_000))), max_size=25
)


class Picture:
    """What the wallet must hold, by the rules in words: each verb once, and each only after the one it needs."""

    def __init__(self) -> None:
        self.available = 0
        self.held: dict[str, int] = {}
        self.ended: dict[str, str] = {}
        self.done: set[tuple[str, str]] = set()

    def allows(self, verb: str, reference: str, amount: int) -> bool:
        """Whether the verb must go through (as a first or as a repeated call)."""
        if verb == "refund":
            return self.ended.get(reference) == "capture"
        if verb in ("capture", "release"):
            return self.held.get(reference) == amount and self.ended.get(reference) in (None, verb)
        return (verb, reference) in self.done or verb == "adjust" or self.available >= amount

    def move(self, verb: str, reference: str, amount: int) -> bool:
        """Apply it; whether money moved now."""
        if (verb, reference) in self.done:
            return False
        self.done.add((verb, reference))
        if verb == "hold":
            self.held[reference] = amount
        if verb in ("capture", "release"):
            self.ended[reference] = verb
        self.available += {"adjust": amount, "hold": -amount, "release": amount, "refund": amount}.get(verb, 0)
        return True


def run(verb: str, user_id: int, reference: str, amount: int) -> bool:
    with transaction():
        if verb == "adjust":
            return ledger.adjust(user_id, reference, amount, "test", "a gift")
        if verb == "refund":
            return ledger.refund(user_id, reference, amount, "test", "a complaint")
        return bool(getattr(ledger, verb)(user_id, reference, amount))


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(STEPS)
def test_no_sequence_of_verbs_breaks_the_ledger(
    new_user: Callable[[], User], steps: list[tuple[str, int, int]]
) -> None:
    user_id, prefix, picture = new_user().id, secrets.token_hex(6), Picture()
    for verb, number, amount in steps:
        reference = f"activation:{prefix}-{number}"
        if verb == "refund":  # a refund is of the whole price, which its caller reads from the activation
            amount = picture.held.get(reference, amount)
        try:
            moved = run(verb, user_id, reference, amount)
        except (InsufficientFunds, UnknownHold):
            assert not picture.allows(verb, reference, amount)
            continue
        assert picture.allows(verb, reference, amount)
        assert moved == picture.move(verb, reference, amount)
    found = ledger.balance(user_id)
    held = sum(amount for reference, amount in picture.held.items() if reference not in picture.ended)
    assert (found.available_minor, found.held_minor) == (picture.available, held)
    assert [name for name, _, sql in CHECKS if db.session.execute(text(sql)).first()] == []
