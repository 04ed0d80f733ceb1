"""How often a provider is asked for one thing at a time, by all workers together.

A provider counts our calls by key or address, not by process: two workers that each kept to what it allows would be
twice too many. The moment of the next call is therefore kept in Redis, which tells the time as well. Redis away, each
process keeps to the pace by itself; too many workers may then be told 429, which is a read to be repeated.
"""

import time
from threading import Lock
from typing import Any

from redis.exceptions import RedisError

from namaskah.extensions import redis

# Takes the next free moment and moves it on by the gap; gives the milliseconds until then. Numbers are told as whole
# ones: Lua would write a large one as 1.7643e+12.
_TAKE = """
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local at = math.max(now, tonumber(redis.call('GET', KEYS[1]) or '0'))
redis.call('SET', KEYS[1], string.format('%d', at + ARGV[1]), 'PX', string.format('%d', at - now + ARGV[1]))
return at - now
"""
_free_at: dict[str, float] = {}
_free_at_lock = Lock()


def seconds_to_wait(name: str, gap: float) -> float:
    """Reserve the next call to the provider, `gap` seconds after the one before; returns how long to wait for it."""
    if not gap:
        return 0.0
    try:
        milliseconds: Any = redis.client.eval(_TAKE, 1, f"pace:{name}", str(round(1000 * gap)))
    except (RedisError, OSError):
        return _alone(name, gap)
    return int(milliseconds) / 1000


def _alone(name: str, gap: float) -> float:
    now = time.monotonic()
    with _free_at_lock:
        at = max(now, _free_at.get(name, 0.0))
        _free_at[name] = at + gap
    return at - now
