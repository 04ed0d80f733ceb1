"""The gateway's side of a payment, as the payer and the gateway's own faults make it go."""

from typing import Any

from namaskah.sandbox import Sandbox
from namaskah.sandbox.till import Transaction


class Counter:
    """One simulated gateway, reached past its HTTP."""

    def __init__(self, sandbox: Sandbox) -> None:
        self.world = sandbox.world

    def transaction(self, reference: str) -> Transaction:
        found = self.world.till.find(reference)
        assert found is not None, "the gateway never heard of it"
        return found

    def pay(self, reference: str, amount_minor: int | None = None) -> None:
        found = self.transaction(reference)
        assert self.world.till.pay(found, found.amount if amount_minor is None else amount_minor)

    def pay_by_card(self, reference: str, **card: Any) -> str:
        """Pays as a checkout does; the code the card may be charged by again. `card`: fields of the sandbox's Card."""
        found = self.transaction(reference)
        kept = self.world.cards.authorize(found.email, **card)
        assert self.world.till.pay(found, found.amount, kept.as_told())
        return kept.code

    def becomes(self, reference: str, status: str) -> None:
        self.transaction(reference).status = status

    def breaks(self, operation: str, kind: str, times: int = 1, **more: Any) -> None:
        self.world.faults.add({"provider": "paystack", "operation": operation, "kind": kind, "times": times, **more})

    def calls(self, operation: str) -> int:
        return int(self.world.calls.as_json(0)["counts"].get(f"paystack/{operation}", 0))

    def references(self) -> list[str]:
        return [found.reference for found in self.world.till.transactions()]
