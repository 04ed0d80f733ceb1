"""The services and countries we know by name: our code, each provider's code, what people call them.

Two tab-separated files in data/ are the source; they are read once. What a provider really stocks is its own
live list: this directory only says what the provider's codes mean and which services we never sell.
"""

import csv
import unicodedata
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from babel import Locale, UnknownLocaleError

_DATA = Path(__file__).parent / "data"

BLOCKED_REASONS = frozenset({"banking", "payment", "government", "telecom", "health", "insurance", "crypto"})

# The languages most people search in, by number of speakers; a country is found by its name in any of them.
SEARCH_LOCALES = (
    *("en", "zh", "zh_Hant", "hi", "es", "ar", "fr", "bn", "pt", "ru", "ur", "id", "de", "ja", "mr"),
    *("te", "tr", "ta", "vi", "ko", "fa", "it", "th", "pl", "uk", "nl", "fil", "sw", "ha", "he"),
)

# Letters people type for one another, which Unicode's decomposition does not unify; tatweel and the
# letter apostrophes are not letters anyone types.
_SAME_LETTER = str.maketrans(
    {"ٱ": "ا", "ة": "ه", "ى": "ي", "ی": "ي", "ک": "ك", "ı": "i", "ł": "l", "ø": "o", "đ": "d"}
    | dict.fromkeys("ـʼʻ", "")
)


@dataclass(frozen=True, slots=True)
class ServiceEntry:
    """A service by our code. `blocked` says why we never sell it; `popularity` counts from 1, None is unranked."""

    code: str
    name: str
    category: str
    popularity: int | None
    blocked: str | None
    aliases: tuple[str, ...]
    fivesim: str | None
    sms_activate: str | None


@dataclass(frozen=True, slots=True)
class CountryEntry:
    """A country by its ISO 3166 alpha-2 code (and XK, Kosovo). `dial_code` is digits without the plus.

    5sim uses names (`england` is GB), SMS-Activate numbers (187 is US; the old virtual US, 12, is left out: its numbers
    are internet ones and would be sold as something they are not).
    """

    code: str
    name: str
    dial_code: str
    fivesim: str | None
    sms_activate: str | None
    aliases: tuple[str, ...]
    popularity: int | None


def _rows(filename: str) -> list[dict[str, str]]:
    text = (_DATA / filename).read_text(encoding="utf-8")
    return list(csv.DictReader(text.splitlines(), delimiter="\t", quoting=csv.QUOTE_NONE))


def _aliases(cell: str) -> tuple[str, ...]:
    return tuple(alias.strip() for alias in cell.split(";") if alias.strip())


@cache
def services() -> tuple[ServiceEntry, ...]:
    """Every known service, blocked ones included, ordered by code."""
    return tuple(
        ServiceEntry(
            code=row["code"],
            name=row["name"],
            category=row["category"],
            popularity=int(row["popularity"]) if row["popularity"] else None,
            blocked=row["blocked"] or None,
            aliases=_aliases(row["aliases"]),
            fivesim=row["fivesim"] or None,
            sms_activate=row["sms_activate"] or None,
        )
        for row in _rows("services.tsv")
    )


@cache
def countries() -> tuple[CountryEntry, ...]:
    """Every known country, ordered by code."""
    return tuple(
        CountryEntry(
            code=row["code"],
            name=row["name"],
            dial_code=row["dial_code"],
            fivesim=row["fivesim"] or None,
            sms_activate=row["sms_activate"] or None,
            aliases=_aliases(row["aliases"]),
            popularity=int(row["popularity"]) if row["popularity"] else None,
        )
        for row in _rows("countries.tsv")
    )


def fold(text: str) -> str:
    """`text` as search compares it: no case, accents, spaces or punctuation, in any script.

    Two spellings a person means as the same word fold to the same string; the result is never shown.
    """
    same = unicodedata.normalize("NFKD", unicodedata.normalize("NFKC", text).casefold())
    return unicodedata.normalize("NFC", "".join(c for c in same if _matters(c))).translate(_SAME_LETTER)


def _matters(char: str) -> bool:
    # Accents, Arabic harakat and Hebrew points have a combining class; the vowel signs of Indic and Thai
    # words have none (class 0), and without those different words would become one.
    if unicodedata.category(char).startswith("M"):
        return unicodedata.combining(char) == 0
    return char.isalnum()


@cache
def _territories(locale: str) -> dict[str, str]:
    try:
        return dict(Locale.parse(locale.replace("-", "_")).territories)
    except (UnknownLocaleError, ValueError):
        return {}


@cache
def _countries_by_code() -> dict[str, CountryEntry]:
    return {entry.code: entry for entry in countries()}


def country_name(code: str, locale: str) -> str:
    """The country's name in a language (`fr`, `pt_BR`, `zh-Hant`), from CLDR.

    English is our own file: CLDR's "Hong Kong SAR China" is longer than a button. A language CLDR does not
    know gets the English name; a country nobody knows gets its code.
    """
    entry = _countries_by_code().get(code)
    english = entry.name if entry else _territories("en").get(code, code)
    if locale.replace("-", "_").split("_")[0] == "en":
        return english
    return _territories(locale).get(code, english)


@cache
def country_search_terms(code: str) -> str:
    """Everything a person may type to find the country, each term folded, separated by spaces.

    Its names in the languages of SEARCH_LOCALES, its aliases, its dial code and its ISO code. A query
    matches when `fold(query)` is a substring of it.
    """
    entry = _countries_by_code().get(code)
    names = [country_name(code, locale) for locale in SEARCH_LOCALES]
    own = [entry.name, *entry.aliases, entry.dial_code] if entry else []
    return " ".join(dict.fromkeys(filter(None, map(fold, [code, *own, *names]))))
