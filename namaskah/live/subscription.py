"""One Redis subscription per process, for ever.

It takes the changes of all users (`live:*`) and forgets those it has no page of. Reading and forgetting one costs
a few dozen microseconds; a SUBSCRIBE and UNSUBSCRIBE for each page that comes and goes would cost more, and a window in
which a new page hears nothing.
"""

import json
import logging
import threading
import time
from contextlib import closing
from typing import Any

from redis import Redis
from redis.backoff import NoBackoff
from redis.client import PubSub
from redis.exceptions import RedisError
from redis.retry import Retry

from namaskah.live import pages
from namaskah.live.publishing import CHANNEL

HEARTBEAT_SECONDS = 5.0
FIRST_PAUSE_SECONDS = 0.1
# Also how often every page is drawn anew while Redis is away.
LONGEST_PAUSE_SECONDS = 3.0

_log = logging.getLogger(__name__)


class _Process:
    lock = threading.Lock()
    thread: threading.Thread | None = None


def ensure_running(url: str) -> None:
    """Start this process's subscription with its first page: after the fork, and never where no page is served."""
    with _Process.lock:
        if _Process.thread is None:
            _Process.thread = threading.Thread(target=_run, args=(url,), name="live-subscription", daemon=True)
            _Process.thread.start()


def _run(url: str) -> None:
    pause = FIRST_PAUSE_SECONDS
    while True:
        try:
            with closing(_client(url)) as client, closing(PubSub(client.connection_pool)) as subscription:
                subscription.psubscribe(f"{CHANNEL}*")  # type: ignore[no-untyped-call]  # theirs has no types
                subscription.get_message(timeout=HEARTBEAT_SECONDS)
                pause = FIRST_PAUSE_SECONDS
                # What happened while nobody listened.
                pages.tell_all(pages.EVERYTHING)
                _follow(subscription)
        except (RedisError, OSError) as error:
            _log.warning("live subscription lost, trying again in %.1f s: %s", pause, error)
        except Exception:
            _log.exception("live subscription failed")
        # Nobody tells what changes now, and the pages' sockets are open, so they do not poll: look for them.
        pages.tell_all(pages.EVERYTHING)
        time.sleep(pause)
        pause = min(2 * pause, LONGEST_PAUSE_SECONDS)


def _client(url: str) -> Redis:
    # No retries inside the library: a connection it mends by itself would hide the gap from the pages.
    return Redis.from_url(
        url, socket_connect_timeout=2, socket_timeout=5, retry=Retry(NoBackoff(), 0), decode_responses=True
    )


def _follow(subscription: PubSub) -> None:
    """Hand on messages until the connection breaks. A peer that vanished without a word fails two heartbeats."""
    asked = False
    while True:
        message = subscription.get_message(timeout=HEARTBEAT_SECONDS)
        if message is not None:
            asked = False
            _hand_on(message)
        elif asked:
            raise ConnectionError("Redis does not answer")
        else:
            subscription.ping()
            asked = True


def _hand_on(message: dict[str, Any]) -> None:
    if message["type"] != "pmessage":
        return
    try:
        user_id = int(message["channel"].removeprefix(CHANNEL))
        topic, item = json.loads(message["data"])
    except (ValueError, TypeError):
        _log.warning("live message not understood on %s", message["channel"])
        return
    pages.tell(user_id, pages.Change(topic, item))
