"""Whether a secret can be guessed. What is said of it never shows it."""

import math
from collections import Counter

MIN_LENGTH = 32
MIN_BITS = 85  # of Shannon's measure; 32 random hexadecimal digits have about 115, hardly ever below 90
# Five letters and more: a random key of 64 characters holds one by chance once in some hundred thousand.
GIVEAWAYS = (
    *("changeme", "change-me", "change_me", "replace", "secret", "example", "password", "default", "insecure"),
    *("placeholder", "sandbox", "namaskah", "development", "qwerty", "your-key", "your_key", "xxxxx"),
)
ALPHABETS = ("abcdefghijklmnopqrstuvwxyz", "0123456789", "0123456789abcdef")


def weakness(value: str, shortest: int = MIN_LENGTH) -> str | None:
    """Why a secret of our own making can be guessed, or None."""
    if len(value) < shortest:
        return f"is too short: {shortest} random characters or more"
    if named := giveaway(value):
        return f"contains {named!r}: it comes from an example"
    if is_repetition(value) or _bits(value) < MIN_BITS * shortest / MIN_LENGTH or _is_sequence(value):
        return "is not random: it repeats itself or follows an order"
    return None


def giveaway(value: str) -> str | None:
    """The word that says nobody chose this value."""
    return next((word for word in GIVEAWAYS if word in value.lower()), None)


def _bits(value: str) -> float:
    """Shannon's measure of the characters as they are, times their number."""
    size = len(value)
    return -sum(count * math.log2(count / size) for count in Counter(value).values())


def is_repetition(value: str) -> bool:
    """Whether some part of it, written again and again, makes all of it: 'abcabcab'."""
    return any(
        all(letter == value[at % size] for at, letter in enumerate(value)) for size in range(1, len(value) // 2 + 1)
    )


def _is_sequence(value: str) -> bool:
    """Whether most of it follows the alphabet or the digits, either way round."""
    low = value.lower()
    follows = sum(
        any(low[at : at + 2] in alphabet or low[at : at + 2] in alphabet[::-1] for alphabet in ALPHABETS)
        for at in range(len(low) - 1)
    )
    return follows > len(low) // 2
