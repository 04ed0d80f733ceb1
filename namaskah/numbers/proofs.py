"""What a customer has bought and got, as a bank may be shown it: no whole numbers, no messages."""

from datetime import datetime

from sqlalchemy import select

from namaskah.db import db
from namaskah.numbers import presenting
from namaskah.numbers.models import CAPTURED, Activation
from namaskah.wallet.evidence import Purchase

SHOWN_BEGIN, SHOWN_END = 5, 2


def purchases(user_id: int, since: datetime, limit: int) -> list[Purchase]:
    """Numbers whose code was delivered, bought since then, oldest first. What was given back cost nothing and is left
    out."""
    wanted = select(Activation).where(
        Activation.user_id == user_id, Activation.created_at >= since, Activation.state.in_(CAPTURED)
    )
    found = db.session.scalars(wanted.order_by(Activation.id).limit(limit)).all()
    names = presenting.describe([str(activation.id) for activation in found])
    return [
        Purchase(
            at=activation.created_at,
            what=names[str(activation.id)],
            number=masked(activation.phone or ""),
            delivered_at=activation.received_at,
            price_minor=activation.price_minor,
        )
        for activation in found
    ]


def masked(phone: str) -> str:
    """+2348•••••42: enough to tell two numbers apart, too little to call."""
    digits = phone.lstrip("+")
    hidden = len(digits) - SHOWN_BEGIN - SHOWN_END
    return f"+{digits[:SHOWN_BEGIN]}{'•' * hidden}{digits[-SHOWN_END:]}" if hidden > 0 else ""
