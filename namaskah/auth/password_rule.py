"""Which new passwords are refused: short ones, and those that are guessed early. What they consist of is free.

Refused outright are the 30,000 passwords most used in the world (zxcvbn brings them along, MIT licence), our customers'
own words (common_passwords.txt) and the account's address, however capitalised, respelled, repeated, or lengthened by
digits and signs. Everything else is judged by how many guesses it would take.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from flask_babel import gettext as _
from zxcvbn import zxcvbn
from zxcvbn.frequency_lists import FREQUENCY_LISTS

from namaskah.auth.passwords import MAX_LENGTH, beside_the_loop, unified

ALONE_LENGTH = 15
WITH_FACTOR_LENGTH = 12
# Working out how a longer one would be guessed takes up to a second of CPU, and adds nothing to the verdict.
JUDGED_LENGTH = 32
# zxcvbn's scale from 0 to 4: 2 and more is over a million guesses.
WANTED_SCORE = 2

_RESPELLED = str.maketrans("013457@$!", "oleastasi")


@dataclass(frozen=True)
class Verdict:
    """`problem` is why it is refused, as a translated sentence, or empty; `score` how hard it is to guess, 0 to 4."""

    problem: str
    score: int


def min_length(has_second_factor: bool) -> int:
    """How long a password must be: it may be shorter where it does not stand alone."""
    return WITH_FACTOR_LENGTH if has_second_factor else ALONE_LENGTH


def problem(password: str, email: str, *, has_second_factor: bool = False) -> str | None:
    """Why a new password is refused, as a translated sentence, or None when it will do."""
    return judge(password, email, has_second_factor=has_second_factor).problem or None


def judge(password: str, email: str, *, has_second_factor: bool = False) -> Verdict:
    """What we think of this as the password of the account with this address."""
    wanted = min_length(has_second_factor)
    # One sign can stand for a whole word (ﷺ), and two for one letter: neither way makes a password longer.
    length = min(len(password), len(unified(password)))
    if length < wanted:
        return Verdict(_("Use at least %(num)s characters.", num=wanted), 0)
    if len(password) > MAX_LENGTH:
        return Verdict(_("Use at most %(num)s characters.", num=MAX_LENGTH), 0)
    score = beside_the_loop(_score, unified(password), email)
    if score < WANTED_SCORE:
        return Verdict(_("This one is guessed early. Take a few words that do not belong together."), score)
    return Verdict("", score)


def _score(password: str, email: str) -> int:
    own = _of_address(email)
    if any(core in own or core in _most_used() for core in _cores(password)):
        return 0
    return int(zxcvbn(password[:JUDGED_LENGTH], user_inputs=[*own, *_common_words()])["score"])


def _cores(password: str) -> Iterator[str]:
    """What is left of a password when everything is taken off that people add to make it look like another one."""
    folded = password.casefold()
    for spelled in (folded, folded.translate(_RESPELLED)):
        for trimmed in (
            spelled,
            *(re.sub(r"(.)\1{2,}$", kept, spelled) for kept in ("", r"\1", r"\1\1")),  # 3322111111 was 332211
            re.sub(r"^[\W\d_]+|[\W\d_]+$", "", spelled),
            re.sub(r"[\W_]+", "", spelled),
            re.sub(r"[\W\d_]+", "", spelled),
        ):
            once = _unrepeated(trimmed)
            yield from (trimmed, once, re.sub(r"[\W\d_]+$", "", once))


def _unrepeated(text: str) -> str:
    """abcabcab → abc: the piece a text is a repetition of, its last one perhaps cut off; else the text itself."""
    for size in range(1, len(text) // 2 + 1):
        if all(text[place] == text[place - size] for place in range(size, len(text))):
            return text[:size]
    return text


def _of_address(email: str) -> set[str]:
    """The address and its parts, from the third letter on: `a` of a@example.com would be in everything."""
    folded = email.casefold()
    name, _at, domain = folded.partition("@")
    parts = {folded, name, domain, re.sub(r"[\W_]+", "", folded), re.sub(r"[._+-]", "", name)}
    return {part for part in parts | set(re.split(r"[@._+-]", folded)) if len(part) > 2}


@cache
def _most_used() -> frozenset[str]:
    return frozenset((*FREQUENCY_LISTS["passwords"], *_common_words()))


@cache
def _common_words() -> tuple[str, ...]:
    """Words of our customers' world, likeliest first; no English frequency list has them."""
    lines = (Path(__file__).parent / "common_passwords.txt").read_text(encoding="utf-8").splitlines()
    return tuple(line for line in lines if not line.startswith("#"))
