"""A customer who has done everything: bought, received, paid, starred, been logged in elsewhere."""

import json
from datetime import timedelta

from sqlalchemy import text

from namaskah.auth import audit
from namaskah.auth.models import User
from namaskah.db import db, transaction
from namaskah.numbers import activations, favourites
from namaskah.numbers.models import Activation
from namaskah.providers.base import Sms
from namaskah.wallet import events, vouchers
from namaskah.wallet.models import TopUp
from tests.numbers import shop
from tests.support import give, make_vouchers

SMS = '=HYPERLINK("http://evil") canary-sms 482913'
SENDER = "canary-sender"
NAME = "Canary Obi"
CARD = "canary-card"


def live(user: User) -> Activation:
    """Returns the number whose code came."""
    with transaction():
        user.name = NAME
    shop.only("fivesim")
    bought = shop.buy(user)
    activations.receive(bought.id, [Sms(SMS, "482913", SENDER)])
    favourites.toggle(user.id, "whatsapp")
    top_up(user, "NK-life", "abandoned")
    body = {
        "event": "charge.failed",
        "data": {"reference": "NK-life", "customer": {"email": user.email}, "card": CARD},
    }
    _batch, [code] = make_vouchers(amount_minor=100)
    vouchers.redeem(user, code)
    give(user, 100)
    stored = events.receive_event(json.dumps(body).encode())
    events.handle_event(stored.id)
    with transaction():
        audit.record("login", user.id)
    return shop.fresh(bought)


def top_up(user: User, reference: str, state: str) -> None:
    with transaction():
        db.session.add(
            TopUp(reference=reference, user_id=user.id, key=reference, amount_minor=70_000, currency="NGN", state=state)
        )


def columns_later(table: str, names: str, by: timedelta) -> None:
    """So much time passes for these columns of a table."""
    with transaction():
        changes = ", ".join(f"{name} = {name} - :by" for name in names.split())
        db.session.execute(text(f"UPDATE {table} SET {changes}"), {"by": by})
