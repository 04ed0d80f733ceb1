"""The words around a code, in some forty languages: data/code_words.tsv, read once.

Its kinds: `code` (code, password…), `act` (confirm, log in…), `not` (promo code, postcode: hides the word inside
it), `label` (order, call…: the number after it is something else), `unit` (minutes, points…: the number
before it is a measure), `offer` (the message sells something), `money`. A word is whole unless a star at an
end says that more letters may follow or precede; from Hebrew on, scripts glue words together, so there a word
is found anywhere.
"""

import csv
import re
import unicodedata
from functools import cache
from pathlib import Path

Spans = list[tuple[int, int]]

_TABLE = Path(__file__).parent / "data" / "code_words.tsv"
_LETTER = r"[^\W\d_]"
_FIRST_GLUED = "\u0590"


@cache
def _words() -> dict[str, list[str]]:
    words: dict[str, list[str]] = {}
    text = unicodedata.normalize("NFKC", _TABLE.read_text(encoding="utf-8"))
    for row in csv.DictReader(text.splitlines(), delimiter="\t", quoting=csv.QUOTE_NONE):
        words.setdefault(row["kind"], []).extend(word.strip().lower() for word in row["words"].split(";"))
    return words


def _pattern(word: str) -> str:
    bare = word.strip("*")
    glued = bare[0] >= _FIRST_GLUED and not "\u10a0" <= bare[0] <= "\u10ff"
    left = "" if glued or word[0] == "*" or not bare[0].isalnum() else f"(?<!{_LETTER})"
    right = "" if glued or word[-1] == "*" or not bare[-1].isalnum() else f"(?!{_LETTER})"
    return left + re.escape(bare) + right


def alternatives(kind: str) -> str:
    """The words of a kind as one pattern for lower-case text, longest first."""
    return "|".join(_pattern(word) for word in sorted(set(_words()[kind]), key=lambda word: (-len(word), word)))


@cache
def _spans_pattern() -> re.Pattern[str]:
    return re.compile("|".join(f"(?P<{kind}>{alternatives(kind)})" for kind in ("not", "code", "act")))


@cache
def _offer_pattern() -> re.Pattern[str]:
    return re.compile(alternatives("offer"))


def find_words(lowered: str) -> dict[str, Spans]:
    """Where the words of kinds `not`, `code`, `act` and `offer` stand in a lower-case text, in order."""
    spans: dict[str, Spans] = {"not": [], "code": [], "act": []}
    for match in _spans_pattern().finditer(lowered):
        spans[match.lastgroup or "not"].append(match.span())
    spans["offer"] = [match.span() for match in _offer_pattern().finditer(lowered)]
    return spans
