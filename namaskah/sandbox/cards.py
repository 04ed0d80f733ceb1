"""Cards that payers have let Paystack keep: authorizations to charge again, and what became of them."""

from __future__ import annotations

import secrets
import zlib
from dataclasses import asdict, dataclass
from typing import Any

from .journal import Journal


@dataclass
class Card:
    """One authorization. `code` charges the card again as long as it is active, and only under the same e-mail."""

    code: str
    email: str
    reusable: bool = True
    active: bool = True
    last4: str = "4081"
    exp_month: str = "12"
    exp_year: str = "2030"

    def as_told(self) -> dict[str, Any]:
        """The `authorization` of a transaction."""
        return {
            "authorization_code": self.code,
            "bin": "408408",
            "last4": self.last4,
            "exp_month": self.exp_month,
            "exp_year": self.exp_year,
            "channel": "card",
            "card_type": "visa ",
            "bank": "TEST BANK",
            "country_code": "NG",
            "brand": "visa",
            "reusable": self.reusable,
            # The same card gives the same signature, whichever authorization it is.
            "signature": f"SIG_{zlib.crc32(f'{self.email}{self.last4}'.encode()):020d}",
            "account_name": None,
        }


class Cards:
    """All authorizations. Verbs take the journal's lock and are on disk when they return."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._by_code = {document["code"]: Card(**document) for document in journal.all("card")}

    def reset(self) -> None:
        with self._journal.writing():
            self._journal.forget("card")
            self._by_code.clear()

    def authorize(self, email: str, **more: Any) -> Card:
        """What a payment by card leaves behind: the payer's active authorization, or a new one. `more` are fields of
        Card that shall be so."""
        with self._journal.writing():
            for card in self._by_code.values():
                if card.email == email and card.active and all(getattr(card, k) == v for k, v in more.items()):
                    return card
            card = Card(f"AUTH_{secrets.token_hex(5)}", email, **more)
            self._by_code[card.code] = card
            self._save(card)
            return card

    def find(self, code: str) -> Card | None:
        """The active authorization with this code."""
        card = self._by_code.get(code)
        return card if card and card.active else None

    def deactivate(self, code: str) -> bool:
        """From now on the code charges nothing. False when none like it is active."""
        with self._journal.writing():
            card = self.find(code)
            if card is None:
                return False
            card.active = False
            self._save(card)
            return True

    def as_json(self) -> list[dict[str, Any]]:
        with self._journal.lock:
            return [asdict(card) for card in self._by_code.values()]

    def _save(self, card: Card) -> None:
        self._journal.put("card", card.code, asdict(card))
