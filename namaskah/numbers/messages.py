"""SMS as they are stored: one row a message, with the code found in it."""

import hashlib

from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import insert as pg_insert

from namaskah.db import db
from namaskah.numbers import codes
from namaskah.numbers.models import Activation, Message
from namaskah.providers.base import Sms

LONGEST_BODY = 2_000


def store(activation: Activation, sms: Sms, is_late: bool) -> bool:
    """Keep a message; False when it is known already.

    The fingerprint is the provider's id where it gives one, else the code, else the text: one protocol's webhook
    brings the text and its poll only the code of the same message.
    """
    code = codes.find_code(sms.text, sms.code, activation.service_code)
    body = (sms.text or sms.code or "").replace("\x00", "")[:LONGEST_BODY]
    fingerprint = hashlib.sha256((sms.provider_id or code or body).encode()).hexdigest()
    stored = db.session.scalar(
        pg_insert(Message)
        .values(
            activation_id=activation.id,
            fingerprint=fingerprint,
            body=body,
            code=code[:32] if code else None,
            sender=sms.sender[:80] if sms.sender else None,
            is_late=is_late,
            received_at=func.clock_timestamp(),
        )
        .on_conflict_do_nothing(index_elements=["activation_id", "fingerprint"])
        .returning(Message.id)
    )
    return stored is not None


def of_activation(activation_id: int) -> list[Message]:
    """All messages of an activation, newest first."""
    return list(
        db.session.scalars(
            select(Message)
            .where(Message.activation_id == activation_id)
            .order_by(Message.id.desc())
            .execution_options(populate_existing=True)
        )
    )
