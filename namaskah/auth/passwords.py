"""Passwords: how they are kept, and which ones are refused."""

import re
import unicodedata
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from flask_babel import gettext as _
from gevent import get_hub, monkey
from zxcvbn import zxcvbn

MIN_LENGTH = 10
MAX_LENGTH = 256
# Working out how a longer one would be guessed takes up to a second of CPU, and adds nothing to the verdict.
JUDGED_LENGTH = 32
# zxcvbn's scale from 0 to 4: 2 and more is over a million guesses.
WANTED_SCORE = 2

Result = TypeVar("Result")

_hasher = PasswordHasher(time_cost=2, memory_cost=19_456, parallelism=1)


def hashed(password: str) -> str:
    """What we store for a password: argon2id with its parameters and salt."""
    return beside_the_loop(_hasher.hash, _unified(password))


def matches(stored: str, password: str) -> bool:
    """Whether this is the password that `stored` was made of."""
    return beside_the_loop(_verify, stored, _unified(password))


def is_outdated(stored: str) -> bool:
    """Whether `stored` was made with other parameters than today's."""
    return _hasher.check_needs_rehash(stored)


@cache
def nobodys() -> str:
    """A hash that no password was made into: an unknown address costs as much time as a known one."""
    return hashed("nobody has this password")


def problem(password: str, email: str) -> str | None:
    """Why a new password is refused, as a translated sentence, or None when it will do."""
    if len(password) < MIN_LENGTH:
        return str(_("Use at least %(num)s characters.", num=MIN_LENGTH))
    if len(password) > MAX_LENGTH:
        return str(_("Use at most %(num)s characters.", num=MAX_LENGTH))
    if beside_the_loop(_is_guessable, _unified(password), email):
        return str(_("This one is guessed early. Take a few words that do not belong together."))
    return None


def _is_guessable(password: str, email: str) -> bool:
    name, _at, domain = email.partition("@")
    of_address = [email, name, domain, re.sub(r"[._+-]", "", name), *re.split(r"[@._+-]", email)]
    known = [*of_address, *_common_words()]
    return int(zxcvbn(password[:JUDGED_LENGTH], user_inputs=known)["score"]) < WANTED_SCORE


@cache
def _common_words() -> tuple[str, ...]:
    """Words of our customers' world, likeliest first; no English frequency list has them."""
    lines = (Path(__file__).parent / "common_passwords.txt").read_text(encoding="utf-8").splitlines()
    return tuple(line for line in lines if not line.startswith("#"))


def _verify(stored: str, password: str) -> bool:
    try:
        return _hasher.verify(stored, password)
    except (VerificationError, InvalidHashError):
        return False


def _unified(password: str) -> str:
    """One spelling for what keyboards spell differently: é is one character on one phone and two on another."""
    return unicodedata.normalize("NFKC", password)


def beside_the_loop(work: Callable[..., Result], *arguments: Any) -> Result:
    """Under gevent, in a thread: a hash would stall every open page of the process meanwhile."""
    if monkey.is_module_patched("threading"):
        result: Result = get_hub().threadpool.apply(work, arguments)
        return result
    return work(*arguments)
