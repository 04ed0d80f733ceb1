"""What tests of housekeeping share: a number whose code came and that was closed, and all the money there is."""

from typing import Any

from sqlalchemy import text

from namaskah.auth.models import User
from namaskah.db import db
from namaskah.numbers import activations, closing, messages
from namaskah.numbers.models import Activation, Message
from namaskah.providers.base import Sms
from tests.numbers import shop

SMS = Sms("Your code is 482913", "482913", "Canary")
HOUR = 3600.0


def closed(user: User, sms: Sms = SMS) -> Activation:
    """A number of this user's whose code came and that is done with, just now."""
    bought = shop.buy(user)
    assert activations.receive(bought.id, [sms]) == 1
    closing.finish(shop.fresh(bought))
    return shop.fresh(bought)


def only_message(activation: Activation) -> Message:
    [message] = messages.of_activation(activation.id)
    return message


def books() -> list[Any]:
    """Every row that money depends on, as it is now."""
    db.session.rollback()
    queries = (
        "SELECT * FROM ledger_entries ORDER BY id",
        "SELECT * FROM ledger_transactions ORDER BY id",
        "SELECT * FROM ledger_accounts ORDER BY id",
        "SELECT id, state, price_minor, received_at, ended_at, phone FROM activations ORDER BY id",
        "SELECT * FROM top_ups ORDER BY id",
        "SELECT * FROM invoices ORDER BY id",
    )
    found = [tuple(row) for query in queries for row in db.session.execute(text(query))]
    db.session.rollback()
    return found


def rows(query: str, **values: Any) -> list[Any]:
    db.session.rollback()
    found = [tuple(row) for row in db.session.execute(text(query), values)]
    db.session.rollback()
    return found
