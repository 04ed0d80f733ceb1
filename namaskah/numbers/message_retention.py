"""Messages lose their words (text, code, sender) some time after their number was closed. What stays is that one came,
when, and a print by which the provider's repetition of it is known.

That print is made with our key: a code has few digits, and from a plain hash of one anybody would find it again. Only
as long as the text stands beside it the print is a plain one.
"""

import hmac
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any

from flask import current_app
from sqlalchemy import ColumnElement, Interval, Select, bindparam, func, literal, select, text
from sqlalchemy.dialects.postgresql import insert as pg_insert

from namaskah import live
from namaskah.auth import signing
from namaskah.db import database_time, db, transaction
from namaskah.numbers.models import Activation, Message

AT_ONCE = 500
# A page that is still open shows at once that the words are gone; nobody looks at one that was closed long before.
LOOKED_AT_FOR = timedelta(hours=1)


def kept_for() -> timedelta:
    """How long a message has its words after its number was closed."""
    return timedelta(hours=current_app.config["MESSAGE_RETENTION_HOURS"])


def is_over(activation: Activation) -> bool:
    """Whether a message that comes now for this activation, whose row is locked, keeps no words. Once it was so it
    stays so, whatever the setting says later."""
    if activation.ended_at is None:
        return False
    erased = select(Message.id).where(Message.activation_id == activation.id, Message.erased_at.is_not(None))
    return activation.ended_at + kept_for() <= database_time() or db.session.scalar(erased.limit(1)) is not None


def store_without_words(activation_id: int, fingerprint: str, is_late: bool, provider_at: datetime | None) -> bool:
    """Keep that a message came; False when it is known already. Needs the activation's row locked."""
    prints = seals(activation_id, fingerprint)
    # Its words may be due and not erased yet.
    same = select(Message.id).where(
        Message.activation_id == activation_id, Message.fingerprint.in_([*prints, fingerprint])
    )
    if db.session.scalar(same.limit(1)) is not None:
        return False
    values = {"activation_id": activation_id, "fingerprint": prints[0], "body": "", "is_late": is_late}
    times = {"received_at": func.clock_timestamp(), "erased_at": func.clock_timestamp(), "provider_at": provider_at}
    db.session.execute(pg_insert(Message).values(**values, **times))
    return True


def seals(activation_id: int, fingerprint: str) -> list[str]:
    """What a plain print becomes when the words go: by our key, then by the keys before it."""
    said = f"{activation_id}:{fingerprint}".encode()
    return [hmac.new(_derived(key), said, sha256).hexdigest() for key in reversed(signing.keys())]


def erase_due(limit: int = AT_ONCE) -> int:
    """Take the words out of messages whose time has come, of so many activations at most; returns how many messages.

    The activations are locked first, as for a message that comes: it is stored before, or finds the words gone.
    """
    with transaction():
        closed = _closed_long_enough(limit)
        if not closed:
            return 0
        erased = _erase(list(closed))
        for activation_id, user_id in closed.items():
            if user_id is not None:
                live.publish_on_commit(user_id, "activation", activation_id)
    return erased


def overdue_seconds() -> float:
    """For how long words are here that should be gone; 0 when there are none. The oldest activation is looked at."""
    late = func.extract("epoch", func.now() - Activation.ended_at - _interval(kept_for()))
    wanted = _with_words().where(Activation.ended_at.is_not(None)).with_only_columns(late)
    return max(0.0, float(db.session.scalar(wanted.limit(1)) or 0))


def _closed_long_enough(limit: int) -> dict[int, int | None]:
    """Activations whose messages lose their words now, locked; with the customer where a page may be open."""
    lately = Activation.ended_at > func.now() - _interval(kept_for() + LOOKED_AT_FOR)
    due = (
        _with_words()
        .where(Activation.ended_at <= func.now() - _interval(kept_for()))
        .with_only_columns(Activation.id, Activation.user_id, lately.label("lately"))
        .limit(limit)
        .with_for_update(of=Activation, skip_locked=True, key_share=True)
    )
    return {row.id: row.user_id if row.lately else None for row in db.session.execute(due)}


def _with_words() -> Select[Any]:
    """Activations with messages that have their words, the oldest first."""
    return (
        select(Activation)
        .join(Message, Message.activation_id == Activation.id)
        .where(Message.erased_at.is_(None))
        .order_by(Message.activation_id)
    )


def _erase(activation_ids: list[int]) -> int:
    wanted = select(Message.id, Message.activation_id, Message.fingerprint).where(
        Message.activation_id.in_(activation_ids), Message.erased_at.is_(None)
    )
    rows = db.session.execute(wanted).all()
    statement = text("""
        UPDATE messages SET body = '', code = NULL, sender = NULL, erased_at = now(), fingerprint = sealed.fingerprint
          FROM unnest(CAST(:ids AS bigint[]), CAST(:prints AS text[])) AS sealed (id, fingerprint)
         WHERE messages.id = sealed.id
    """).bindparams(bindparam("ids"), bindparam("prints"))
    prints = [seals(row.activation_id, row.fingerprint)[0] for row in rows]
    db.session.execute(statement, {"ids": [row.id for row in rows], "prints": prints})
    return len(rows)


def _derived(key: str) -> bytes:
    """Good for nothing else than these prints."""
    return hmac.new(key.encode(), b"namaskah.numbers.message_retention", sha256).digest()


def _interval(length: timedelta) -> ColumnElement[timedelta]:
    return literal(length, Interval())
