"""Passwords as they are kept: how they are hashed, and what that may cost. Which are refused: password_rule.

A hash takes some 200 ms of a core and PASSWORD_MEMORY_MIB of memory, so each process makes a few at once, lets the
others wait, and gives way to everything else it does.
"""

import os
import sys
import threading
import unicodedata
from collections.abc import Callable
from functools import cache
from typing import Any, TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from flask import current_app
from flask_babel import gettext as _
from gevent import get_hub, monkey
from gevent.threadpool import ThreadPool

from namaskah.errors import UserError

# Longer than anybody types; a hash of any length costs the same.
MAX_LENGTH = 256
PASSES = 3
MEMORY_MIB = 64
AT_ONCE = 1
# Whoever has waited so long for a turn is better told to come back.
WAIT_SECONDS = 10
LOWEST_PRIORITY = 19

Result = TypeVar("Result")


class TooManyLogIns(UserError):
    """More passwords are waiting to be checked than the machine can take."""

    status = 503


def hashed(password: str) -> str:
    """What we store for a password: argon2id with its parameters and salt. Raises TooManyLogIns."""
    return _in_turn(_hasher().hash, unified(password))


def matches(stored: str, password: str) -> bool:
    """Whether this is the password that `stored` was made of. Raises TooManyLogIns."""
    return _in_turn(_verify, stored, unified(password))


def is_outdated(stored: str) -> bool:
    """Whether `stored` was made with other parameters than today's."""
    return _hasher().check_needs_rehash(stored)


def nobodys() -> str:
    """A hash that no password was made into: an unknown address costs as much time as a known one."""
    return _nobodys(_setting("PASSWORD_MEMORY_MIB", MEMORY_MIB))


def unified(password: str) -> str:
    """One spelling for what keyboards spell differently: é is one character on one phone and two on another."""
    return unicodedata.normalize("NFKC", password)


def beside_the_loop(work: Callable[..., Result], *arguments: Any) -> Result:
    """Under gevent, in a thread: it would stall every open page of the process meanwhile."""
    if monkey.is_module_patched("threading"):
        result: Result = get_hub().threadpool.apply(work, arguments)
        return result
    return work(*arguments)


def _in_turn(work: Callable[..., Result], *arguments: Any) -> Result:
    turns = _turns(_setting("PASSWORD_HASHES_AT_ONCE", AT_ONCE))
    if not turns.acquire(timeout=WAIT_SECONDS):
        raise TooManyLogIns(_("Very many people are logging in just now. Nothing was done; try again in a minute."))
    try:
        return _giving_way(work, *arguments)
    finally:
        turns.release()


def _giving_way(work: Callable[..., Result], *arguments: Any) -> Result:
    """Under gevent, in a thread that the system runs when no page wants the core. It cannot be raised again without
    special rights, so these threads do nothing else."""
    if not monkey.is_module_patched("threading"):
        return work(*arguments)
    result: Result = _hash_threads(get_hub()).apply(_with_lowest_priority, (work, *arguments))
    return result


def _with_lowest_priority(work: Callable[..., Result], *arguments: Any) -> Result:
    if sys.platform == "linux":  # elsewhere it is the whole process that has a priority
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), LOWEST_PRIORITY)
    return work(*arguments)


def _verify(stored: str, password: str) -> bool:
    try:
        return _hasher_of(MEMORY_MIB).verify(stored, password)  # by the parameters in `stored`
    except (VerificationError, InvalidHashError):
        return False


def _hasher() -> PasswordHasher:
    return _hasher_of(_setting("PASSWORD_MEMORY_MIB", MEMORY_MIB))


def _setting(name: str, default: int) -> int:
    return int(current_app.config[name]) if current_app else default


@cache
def _hasher_of(memory_mib: int) -> PasswordHasher:
    return PasswordHasher(time_cost=PASSES, memory_cost=memory_mib * 1024, parallelism=1)


@cache
def _turns(count: int) -> threading.BoundedSemaphore:
    return threading.BoundedSemaphore(count)


@cache
def _hash_threads(hub: Any) -> ThreadPool:
    return ThreadPool(_setting("PASSWORD_HASHES_AT_ONCE", AT_ONCE), hub=hub)


@cache
def _nobodys(memory_mib: int) -> str:
    return _in_turn(_hasher_of(memory_mib).hash, "nobody has this password")
