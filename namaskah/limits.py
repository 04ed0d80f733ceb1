"""How often what may be done, all of it: FIGURES, and what is counted together. Routes take `@limits.limit(name, key)`.

An attempt counts from its beginning, so that many at once are no way around; what turns out not to count, and what was
refused, is given back with the answer.

Without Redis every process counts for itself: what logs in or moves money then by the second, stricter figures; what
only reads has none and stays open.
"""

import hmac
import time
from collections.abc import Callable
from hashlib import sha256
from ipaddress import IPv6Address, ip_address, ip_network
from math import ceil
from typing import Any, NamedTuple, cast

from flask import Flask, Response, current_app, request
from flask_limiter import RequestLimit
from flask_login import current_user
from limits.storage import MemoryStorage, RedisStorage
from redis import Redis
from redis.exceptions import RedisError

from namaskah.extensions import limiter


class Figures(NamedTuple):
    """`alone`: without Redis, for each process; None leaves it open."""

    usual: str
    alone: str | None


FIGURES = {
    # Logging in, see auth/attempts.py. Failures alone count, but for the last.
    "login from a network to an account": Figures("5 per 15 minutes", "3 per 15 minutes"),
    "login from a network": Figures("30 per 15 minutes", "10 per 15 minutes"),
    "login to an account": Figures("20 per 15 minutes", "6 per 15 minutes"),
    "login by a known browser": Figures("10 per 15 minutes", "5 per 15 minutes"),
    "login, whatever comes of it": Figures("20 per minute", "10 per minute"),
    # The second factor. Wrong codes have a count of their own in PostgreSQL, see auth/second_factor/tries.py.
    "codes, whatever comes of it": Figures("60 per minute", "20 per minute"),
    "setting an app up": Figures("10 per 5 minutes", "5 per 5 minutes"),
    "passkeys": Figures("60 per minute", "20 per minute"),
    "confirm": Figures("10 per 15 minutes", "5 per 15 minutes"),
    "present password": Figures("10 per 15 minutes", "5 per 15 minutes"),
    "password strength": Figures("60 per minute", "20 per minute"),
    # Accounts. Many customers share one address of their mobile network: only accounts opened count in the hour.
    "register, whatever comes of it": Figures("20 per minute", "10 per minute"),
    "register from a network": Figures("10 per hour", "3 per hour"),
    "register an address": Figures("5 per hour", "2 per hour"),
    # Letters somebody has us send.
    "reset from a network": Figures("10 per hour", "3 per hour"),
    "reset an account": Figures("3 per hour", "1 per hour"),
    "new password by link": Figures("10 per 15 minutes", "5 per 15 minutes"),
    "letters to oneself": Figures("3 per hour", "1 per hour"),
    "letters to an address": Figures("3 per hour", "1 per hour"),
    "letters from a network": Figures("20 per hour", "5 per hour"),
    "another address": Figures("10 per hour", "3 per hour"),
    "links": Figures("60 per minute", "20 per minute"),
    # Money
    "buy": Figures("60 per minute", "10 per minute"),
    "change an activation": Figures("60 per minute", "20 per minute"),
    "top up": Figures("10 per 10 minutes; 50 per day", "3 per 10 minutes; 10 per day"),
    # Gift codes: what was wrong counts alone. Many customers share one address of their mobile network.
    "wrong gift codes": Figures("5 per 10 minutes", "3 per 10 minutes"),
    "wrong gift codes from a network": Figures("50 per 10 minutes", "15 per 10 minutes"),
    "settle": Figures("30 per minute", "10 per minute"),
    # Reading, by programs rather than by people
    "search": Figures("120 per minute", None),
    "prices": Figures("240 per minute", None),
    "statements": Figures("20 per 10 minutes", "5 per 10 minutes"),
    "papers": Figures("60 per 10 minutes", "20 per 10 minutes"),
    # Small things one changes for oneself
    "preferences": Figures("60 per minute", None),
}

Key = Callable[[], str]
Counts = Callable[[Response], bool]
View = Callable[..., Any]

_counts: dict[str, Counts] = {}


def limit(name: str, key: Key, *, methods: tuple[str, ...] = ("POST",), **more: Any) -> Callable[[View], View]:
    """A decorator, below the rule of who may come in. `counts=`: which answers count, all of them if not given;
    `unless=`: for whom it does not hold; `scope=`: to count together what has the same."""
    figures = FIGURES[name]
    if "counts" in more:
        _counts[name] = more["counts"]

    def is_off() -> bool:
        return (is_alone() and figures.alone is None) or ("unless" in more and more["unless"]())

    return limiter.limit(
        lambda: (figures.alone if is_alone() else None) or figures.usual,
        key_func=key,
        methods=list(methods),
        scope=name,
        exempt_when=is_off,
    )


def network() -> str:
    """The address the request came from; of IPv6 its first half, because whoever has one address there has all."""
    try:
        address = ip_address((request.remote_addr or "").partition("%")[0])
    except ValueError:
        return "network:unknown"
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped:
            return f"network:{address.ipv4_mapped}"
        return f"network:{ip_network((address, 64), strict=False)}"
    return f"network:{address}"


def account() -> str:
    """Whoever is logged in, wherever; a visitor by the network."""
    return f"account:{current_user.id}" if current_user.is_authenticated else network()


def session() -> str:
    """This log-in alone; a visitor by the network."""
    return f"session:{current_user.session.id}" if current_user.is_authenticated else network()


def email() -> str:
    """The address that was typed."""
    return email_of(request.form.get("email", ""))


def email_of(address: str) -> str:
    """One count an address, however it was written; hashed with our key, so that Redis holds no addresses."""
    key = str(current_app.config["SECRET_KEY"]).encode()
    typed = address.strip().lower().encode("utf-8", "replace")
    return f"email:{hmac.new(key, typed, sha256).hexdigest()[:32]}"


def network_and_email() -> str:
    return f"{network()} {email()}"


def went_through(response: Response) -> bool:
    """It was done."""
    return response.status_code < 400


def was_refused(response: Response) -> bool:
    """What was typed was wrong."""
    return response.status_code in (410, 422)


def is_alone() -> bool:
    """Whether Redis is away and every process counts for itself."""
    return bool(limiter._storage_dead)


def seconds_to_wait() -> int | None:
    """When this request would be let in again: of all the limits it ran into the longest. None if it ran into none."""
    waits = [_reset_at(one) - time.time() for one in limiter.current_limits if one.breached]
    return max(1, ceil(max(waits))) if waits else None


def register_limits(app: Flask) -> None:
    """Count with Redis, and give back what does not count."""
    limiter.init_app(app)
    app.after_request(_give_back_what_does_not_count)


def _give_back_what_does_not_count(response: Response) -> Response:
    is_refused = any(one.breached for one in limiter.current_limits)
    for one in limiter.current_limits:
        counts = _counts.get(one.request_args[-1].rpartition(":")[2])
        if not one.breached and (is_refused or (counts and not counts(response))):
            _give_back(one)
    return response


def _give_back(one: RequestLimit) -> None:
    """Take the newest entry off the window. It may be another request's: all of one window are worth the same."""
    storage = limiter.limiter.storage
    if isinstance(storage, RedisStorage):
        try:
            cast(Redis, storage.get_connection()).lpop(storage.prefixed_key(one.key))
        except RedisError:
            return  # one more counted than there were
    elif isinstance(storage, MemoryStorage):
        with storage.locks[one.key]:
            del storage.events.get(one.key, [])[:1]


def _reset_at(one: RequestLimit) -> float:
    try:
        return float(one.window.reset_time)
    except RedisError:
        return time.time() + one.limit.get_expiry()
