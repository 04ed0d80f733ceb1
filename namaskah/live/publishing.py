"""Saying that something of a user's has changed."""

import json
import logging
import time
from typing import Any

from redis.exceptions import RedisError
from sqlalchemy import event

from namaskah.db import db, require_transaction
from namaskah.extensions import redis

CHANNEL = "live:"
LOG_EVERY_SECONDS = 60.0
# While Redis is away a batch of a hundred pushes must not cost a hundred timeouts.
PAUSE_SECONDS = 1.0
# What could not be told is told with the next change: Redis may have been slow for a moment and have lost none of its
# listeners, and then nobody else makes the pages look. Of a long outage these many; the pages draw themselves then.
MAX_UNTOLD = 500

_log = logging.getLogger(__name__)
_WAITING = "live_waiting"
_untold: dict[tuple[int, str, int | None], None] = {}


class _Outage:
    """When Redis was last seen away, in seconds of the monotonic clock."""

    pause_until = 0.0
    silent_until = 0.0


def publish(user_id: int, topic: str, item: int | None = None) -> None:
    """Tell every open page of the user that `topic` (of that `item`) changed. Call it after the commit.

    Never raises. Redis away: at most about 200 ms once a second and one warning a minute; every web process draws its
    pages anew every few seconds meanwhile (subscription).
    """
    change = (user_id, topic, item)
    _untold[change] = None
    now = time.monotonic()
    if now < _Outage.pause_until:
        for oldest in list(_untold)[:-MAX_UNTOLD]:
            _untold.pop(oldest, None)
        return
    try:
        for change in list(_untold):
            if _untold.pop(change, "told by another thread") is None:
                redis.client.publish(f"{CHANNEL}{change[0]}", json.dumps(change[1:]))
    except (RedisError, OSError) as error:
        _untold[change] = None
        _Outage.pause_until = time.monotonic() + PAUSE_SECONDS
        if now >= _Outage.silent_until:
            _Outage.silent_until = now + LOG_EVERY_SECONDS
            _log.warning("changes are not told, pages are drawn every few seconds until Redis is back: %s", error)


def publish_on_commit(user_id: int, topic: str, item: int | None = None) -> None:
    """`publish()` as soon as the open transaction has committed; nothing if it rolls back.

    Raises RuntimeError outside `transaction()`.
    """
    require_transaction()
    db.session.info.setdefault(_WAITING, {})[user_id, topic, item] = None


@event.listens_for(db.session, "after_commit")
def _send_waiting(session: Any) -> None:
    if session.in_nested_transaction():
        return
    for user_id, topic, item in session.info.pop(_WAITING, {}):
        publish(user_id, topic, item)


@event.listens_for(db.session, "after_rollback")
def _drop_waiting(session: Any) -> None:
    # A savepoint that failed leaves the rest of the transaction standing; a push too many only redraws what is.
    if not session.in_nested_transaction():
        session.info.pop(_WAITING, None)
