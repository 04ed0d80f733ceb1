"""What a paper consists of, and the letters it can show."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

# What the fonts have: Latin, Greek, Cyrillic, Arabic, Devanagari, punctuation, marks of direction, signs of currencies.
LETTERS = (
    *((0x20, 0x7E), (0xA0, 0x24F), (0x300, 0x36F), (0x370, 0x3E1), (0x3F0, 0x3FF), (0x400, 0x4FF), (0x600, 0x6FF)),
    *((0x750, 0x77F), (0x900, 0x97F), (0x1E00, 0x1EFF), (0x200B, 0x200F), (0x2010, 0x2027), (0x202A, 0x202E)),
    *((0x2030, 0x203E), (0x2060, 0x2060), (0x2066, 0x2069), (0x20A0, 0x20C0), (0x2116, 0x2116), (0x2122, 0x2122)),
    *((0x2212, 0x2212), (0xFFFD, 0xFFFD)),
)
UNKNOWN = "\ufffd"


@dataclass(frozen=True)
class Text:
    """A paragraph; line breaks in it are kept. `small` is the second voice, for notes."""

    text: str
    small: bool = False


@dataclass(frozen=True)
class Columns:
    """Blocks beside each other, each a heading and its lines: seller and buyer, for instance."""

    columns: Sequence[tuple[str, Sequence[str]]]


@dataclass(frozen=True)
class Facts:
    """Names and their values, one pair a line."""

    pairs: Sequence[tuple[str, str]]


@dataclass(frozen=True)
class Column:
    """Of a table. `share` of the width, against the other columns'. Amounts stand at their right edge in either
    direction, so that units stand under each other."""

    label: str
    share: float
    is_amount: bool = False


@dataclass(frozen=True)
class Table:
    """Rows under a head that each further page repeats. Each row has one text for each column."""

    columns: Sequence[Column]
    rows: Iterable[Sequence[str]]


@dataclass(frozen=True)
class Totals:
    """Names and amounts that end a table; the last pair is the sum. They stay together on one page."""

    pairs: Sequence[tuple[str, str]]


Block = Text | Columns | Facts | Table | Totals


@dataclass(frozen=True)
class Paper:
    """One document. `head` stands large on the first page, `subhead` below it, `foot` small on every page.

    `title` is what programs call the file, `language` a code such as "ar", `made_at` the instant written into it.
    """

    title: str
    language: str
    made_at: datetime
    head: str
    blocks: Sequence[Block]
    subhead: str = ""
    foot: str = ""
    brand: str = "namaskah"


def unprintable(text: str) -> str:
    """The letters of a text that a paper cannot show, each once; line breaks are no letters."""
    return "".join(sorted({letter for letter in text if letter != "\n" and not _has(letter)}))


def shown(text: str) -> str:
    """The text with � for what cannot be shown."""
    return "".join(letter if _has(letter) else UNKNOWN for letter in text)


def _has(letter: str) -> bool:
    return any(first <= ord(letter) <= last for first, last in LETTERS)
