"""Where in a message's text a code may stand: the text made plain, what is never a code blanked, shapes collected."""

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

from namaskah.numbers import directory
from namaskah.numbers.code_words import alternatives

# Ten concatenated parts are 1,530 characters; nothing longer is a message with a code in it.
MAX_TEXT = 4000

_LATIN = "A-Za-z0-9\u00c0-\u024f\u1e00-\u1eff"
_DASHES = dict.fromkeys(map(ord, "‐‑‒–—―−﹣－"), "-")
# Senders forget the space: `code482913`, `482913is your code`.
_GLUED = re.compile(
    r"(?i)(?<![a-z0-9])(?:(?:code|otp|pin|kod|kode|password|is)(?=\d{4,10}(?![a-z0-9]))|\d{4,10}(?=is(?![a-z0-9])))"
)

# Last line of a domain-bound message: `@example.com #123456`, written by the sender for the phone to read.
AUTOFILL = re.compile(r"@[A-Za-z0-9.-]{3,100} #([A-Za-z0-9-]{4,12})(?![A-Za-z0-9-])")
_TLDS = (
    "com|net|org|info|biz|io|app|dev|link|site|online|shop|store|me|co|ly|gl|gd|to|gg|tv|cc|ai|be|is|in|ru|ua|by|kz|"
    "uk|us|ca|de|fr|es|it|pt|nl|pl|tr|cn|jp|kr|tw|hk|sg|my|id|ph|vn|th|pk|bd|lk|np|ng|ke|gh|za|eg|ma|sa|ae|ir|il|"
    "br|mx|ar|cl|pe|au|nz|se|no|dk|fi|ch|at|cz|sk|hu|ro|bg|gr|rs|hr|lt|lv|ee|page|vip|xyz|club|live|pro|su|ug|tz"
)
LINK = re.compile(
    r"(?i:https?)://[!-~]+"
    r"|(?<![A-Za-z0-9.@-])(?:[A-Za-z0-9-]{1,63}\.){1,4}"
    rf"(?:(?:{_TLDS})(?![A-Za-z0-9-])(?:[:/?][!-~]*)?|[a-z]{{2,10}}/[!-~]*)"
)
_EMAIL = re.compile(r"[A-Za-z0-9._%+-]{1,64}@[A-Za-z0-9-]{1,63}\.[A-Za-z0-9.-]{2,100}")
# The hash by which Android hands a message to its app ends a line: WhatsApp's is 4sgLq1p5sV6.
_APP_HASH = re.compile(r"(?<![!-~])[A-Za-z0-9+/]{11}(?= ?(?:\n|$))")
_PLUS_PHONE = re.compile(r"\+ ?\d[\d ().-]{5,24}")
_MONEY_WORD = alternatives("money")
_AMOUNT = r"\d{1,10}(?:[., ]\d{3}){0,4}(?:[.,]\d{1,2})?(?![A-Za-z\d])"
_SIGN = "[$€£₦₹¥₽₩₺₫฿₱₴₸৳₵₪₼₾]"
_NEVER_A_CODE = tuple(
    re.compile(pattern)
    for pattern in (
        r"(?<!\d)\d?[- ]?\(?\d{3}\)?[- .]\d{3}[- .]\d{4}(?!\d)",
        r"(?<!\d)[078][- ]?\(?\d{2,4}\)?[- ]\d{3}[- ]\d{2}[- ]\d{2}(?!\d)",
        r"(?<!\d)0\d{2,4}[- ]\d{3,4}[- ]\d{3,4}(?!\d)",
        r"(?<!\d)\d{1,2}:\d{2}(?::\d{2})?(?!\d)",
        r"(?<!\d)(?:\d{4}([./-])\d{1,2}\1\d{1,2}|\d{1,2}([./-])\d{1,2}\2\d{4}|\d{1,2}([./])\d{1,2}\3\d{2})(?!\d)",
        r"(?<![\d.])\d{2,3}(?:\.\d{1,3}){3}(?![\d.])",
        rf"(?:{_SIGN} ?|(?i:{_MONEY_WORD})[ .]?){_AMOUNT}",
        rf"(?<!\d){_AMOUNT} ?(?:{_SIGN}|(?i:{_MONEY_WORD}))(?! ?\d)",
        r"(?<!\d)\d{1,3}(?:[.,]\d{3}){1,4}[.,]\d{2}(?!\d)|(?<!\d)\d{1,3}(?:,\d{3}){1,4}(?!\d)|(?<!\d)\d{1,6}\.\d{2}(?!\d)",
        r"(?<!\d)\d{1,6}(?:[.,]\d{1,2})? ?%",
        r"(?<![A-Za-z])[*xX•]{2,16}[ -]?\d{3,4}(?!\d)",
        r"[*#]\d[\d*#]{1,20}#",
    )
)

_SPOKEN = re.compile(r"(?<![\dA-Za-z])\d(?:[ .,;-]{1,3}\d){3,9}(?![\dA-Za-z])")
MARKED = re.compile(rf"(?<![{_LATIN}-])[A-Z]{{1,3}}-(\d{{4,8}}|\d{{3}}[ -]\d{{3}})(?![{_LATIN}-])")
_NUMBER = re.compile(rf"(?<![{_LATIN}])\d{{1,12}}(?:[ -]\d{{1,12}}){{0,5}}(?![{_LATIN}])")
_DOTTED = re.compile(rf"(?<![{_LATIN}.])\d{{3}}\.\d{{3}}(?![{_LATIN}.])")
_MIXED = re.compile(rf"(?<![{_LATIN}-])[A-Za-z0-9]{{2,10}}(?:-[A-Za-z0-9]{{2,10}}){{0,2}}(?![{_LATIN}-])")
_MIXED_HALVES = re.compile(rf"(?<![{_LATIN}-])[A-Z0-9]{{3,4}} [A-Z0-9]{{3,4}}(?![{_LATIN}-])")
_MEASURE = re.compile(r"(?i)\d+(?:st|nd|rd|th|m|h|s|d|g|x|k|mo|min|mins|hr|hrs|sec|mb|gb|kb|km|kg|am|pm|days?|hours?)")
_WORD_AND_NUMBER = re.compile(r"[A-Za-z]{3,}-?\d{1,4}")
# What stands right before a code of letters alone; without it a shouted word would pass for one.
_SAID = re.compile(r"(?i)(?:[:=]|\b(?:is|es|est|ist|jest|è|é|ni|adalah|là)) ?[\"'«*\[(]?$")
_SHORT_DATE = re.compile(r"(?:0[1-9]|[12]\d|3[01])-(?:0[1-9]|1[0-2])-[23]\d")
_YEAR = re.compile(r"(?:19|20[0-4])\d{1,2}")


# Points for how many digits codes have: six is the rule, four and five are common, ten may be a phone.
_POINTS_FOR_LENGTH = {4: 2, 5: 2, 6: 3, 7: 1, 8: 2, 9: 0, 10: 0}


@dataclass(frozen=True, slots=True)
class Candidate:
    """What may be a code: its place in the text, what a person would type, and points for its shape alone."""

    start: int
    end: int
    value: str
    points: int


def normalise(text: str) -> str:
    """The text with every script's digits as 0-9, one kind of dash and space, and nothing invisible.

    At most MAX_TEXT characters of it are read.
    """
    folded = unicodedata.normalize("NFKC", text[:MAX_TEXT]).translate(_DASHES)[:MAX_TEXT]
    seen = "".join(_plain(char) for char in folded)
    return re.sub(r"[^\S\n]+", " ", seen)


def _plain(char: str) -> str:
    if char.isdecimal():
        return str(unicodedata.decimal(char))
    if char in "\n\r\u2028\u2029":
        return "\n"
    # Format characters: zero-width, direction marks, soft hyphens; and variation selectors after digits.
    if unicodedata.category(char) in {"Cf", "Cc", "Me"} or "\ufe00" <= char <= "\ufe0f":
        return " " if char == "\t" else ""
    # Only U+0130 grows when lowered; positions in the text and in its lower case must agree.
    return "I" if char == "İ" else char


def digits(text: str) -> str:
    """The ASCII digits of a text, nothing else."""
    return re.sub(r"[^0-9]", "", text)


def is_mixed(token: str) -> bool:
    """Whether it has both letters and digits."""
    return any(c.isdigit() for c in token) and any(c.isalpha() for c in token)


def join(token: str) -> str:
    """`X7K-9QP` as X7K9QP: equal parts are cut for reading; unequal ones (`AB-12CDE`) stay as they are."""
    parts = token.split("-")
    return "".join(parts) if len({len(part) for part in parts}) == 1 else token


def mask(plain: str) -> str:
    """The text with underscores over links, phones, amounts, dates, hashes, card numbers; glued codes parted."""
    masked = LINK.sub(_blank, _EMAIL.sub(_blank, plain))
    masked = _PLUS_PHONE.sub(_blank_phone, _APP_HASH.sub(_blank_hash, masked))
    for pattern in _NEVER_A_CODE:
        masked = pattern.sub(_blank, masked)
    return _GLUED.sub(r"\g<0> ", masked)


def _blank(match: re.Match[str]) -> str:
    return "_" * len(match[0])


def _blank_hash(match: re.Match[str]) -> str:
    token = match[0]
    by_app = "<#>" in match.string or "[#]" in match.string
    is_hash = token != token.lower() and token != token.upper()
    return _blank(match) if is_hash or (by_app and not token.isdigit()) else token


def _blank_phone(match: re.Match[str]) -> str:
    """Blank a phone number but not the code that follows it: no country has more than 13 digits, +1 has 11."""
    limit = 11 if match[0].lstrip("+ ").startswith("1") else 13
    taken = 0
    for piece in re.finditer(r"\d+", match[0]):
        if taken and taken + len(piece[0]) > limit:
            return "_" * piece.start() + match[0][piece.start() :]
        taken += len(piece[0])
    return _blank(match)


def candidates(masked: str) -> Iterator[Candidate]:
    """Everything in a masked text that has the shape of a code; one place may give more than one."""
    all_capitals = masked.isupper()
    for match in _SPOKEN.finditer(masked):
        yield Candidate(match.start(), match.end(), digits(match[0]), 3)
    for match in MARKED.finditer(masked):
        yield Candidate(match.start(), match.end(), digits(match[1]), 5)
    for match in _DOTTED.finditer(masked):
        yield Candidate(match.start(), match.end(), digits(match[0]), 0)
    for match in _NUMBER.finditer(masked):
        yield from _numbers(match)
    for match in (*_MIXED.finditer(masked), *_MIXED_HALVES.finditer(masked)):
        yield from _mixed(match, all_capitals)


def _numbers(match: re.Match[str]) -> Iterator[Candidate]:
    """One candidate of groups that belong together, or one of each group."""
    groups = re.split(r"[ -]", match[0])
    value = "".join(groups)
    points = _points_for_groups(groups, "-" in match[0], " " in match[0])
    if points is not None:
        yield Candidate(match.start(), match.end(), value, points)
    elif not (len(groups) > 2 and " " not in match[0]):  # 1-800-555-0199 is a phone, whole and in parts
        for group in re.finditer(r"\d+", match[0]):
            if 4 <= len(group[0]) <= 10:
                start = match.start() + group.start()
                yield Candidate(start, start + len(group[0]), group[0], _POINTS_FOR_LENGTH[len(group[0])])


def _points_for_groups(groups: list[str], dashed: bool, spaced: bool) -> int | None:
    """Points when the groups are one code written in parts, None when each stands for itself."""
    sizes = [len(group) for group in groups]
    if len(groups) == 1 or (dashed and spaced):
        return None
    if spaced and sizes == [4, 4] and _YEAR.fullmatch(groups[1]):
        return None
    if _SHORT_DATE.fullmatch("-".join(groups)):
        return -2
    if sizes in ([3, 3], [4, 4], [2, 2, 2], [3, 3, 3]):
        return 3
    if dashed and sizes in ([2, 2], [2, 3], [3, 2], [3, 4], [4, 3]):
        return 2
    return 0 if sizes == [2, 2] else None


def _mixed(match: re.Match[str], all_capitals: bool) -> Iterator[Candidate]:
    token = match[0].replace(" ", "-")
    value = join(match[0].replace(" ", ""))  # a space is there for reading only
    if not 4 <= len(token.replace("-", "")) <= 10 or token.replace("-", "").isdigit() or MARKED.fullmatch(token):
        return
    if " " in match[0] and not all(is_mixed(part) for part in token.split("-")):
        return
    if not is_mixed(token):
        said = _SAID.search(match.string[max(0, match.start() - 12) : match.start()])
        if said and token.isupper() and "-" not in token and (said[0][0] in ":=" or not all_capitals):
            yield Candidate(match.start(), match.end(), value, -3)
    elif not _MEASURE.fullmatch(token) and token.lower() not in _brands():
        points = -5 if _WORD_AND_NUMBER.fullmatch(token) and not token.isupper() else 1
        yield Candidate(match.start(), match.end(), value, points)


@cache
def _brands() -> frozenset[str]:
    names = (name for entry in directory.services() for name in (entry.name, *entry.aliases, entry.code))
    return frozenset(word for name in names for word in re.split(r"[^a-z0-9]+", name.lower()) if is_mixed(word))
