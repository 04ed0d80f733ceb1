"""Reading what a provider sends. Everything is hostile until proven well-formed; nothing here knows any one protocol.

`buying()` and `reading()` turn what can go wrong around a call into the decisions of base.py. They differ because the
same silence means different things: after a purchase it may have cost money, after a read it cost nothing.
"""

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from decimal import Decimal

from ..http import BadAnswer, NeverSent, NoAnswer, Response
from ..money import MICROS, parse_balance_micros, parse_micros
from .base import NotSold, OutcomeUnknown, ProviderDown, ProviderError

REFERENCE = re.compile(r"[A-Za-z0-9_-]{1,64}")
PHONE = re.compile(r"\+?([1-9][0-9]{6,14})")
OLDEST = datetime(2010, 1, 1, tzinfo=UTC)  # anything before is a zero date in disguise


class Malformed(ValueError):
    """The answer does not have the shape its contract promises. The text names the field, never its content."""


@contextmanager
def buying() -> Iterator[None]:
    """Around a purchase: only NotSold and OutcomeUnknown come out. Anything unforeseen after sending is unknown."""
    try:
        yield
    except (NotSold, OutcomeUnknown):
        raise
    except NeverSent as error:
        raise NotSold("unreachable", str(error)) from None
    except NoAnswer as error:
        raise OutcomeUnknown("no_answer", str(error)) from None
    except (BadAnswer, Malformed) as error:
        raise OutcomeUnknown("bad_answer", str(error)) from None
    except Exception as error:  # a fault of ours while reading does not undo a purchase
        raise OutcomeUnknown("bad_answer", type(error).__name__) from error


@contextmanager
def reading() -> Iterator[None]:
    """Around a read or a repeatable command: only ProviderDown comes out of anything the wire can do."""
    try:
        yield
    except NeverSent as error:
        raise ProviderDown("unreachable", str(error)) from None
    except NoAnswer as error:
        raise ProviderDown("no_answer", str(error)) from None
    except (BadAnswer, Malformed) as error:
        raise ProviderDown("bad_answer", str(error)) from None


def refuse(answer: Response, verdict: tuple[type[ProviderError], str], name: str = "") -> ProviderError:
    """The exception for a table's verdict. Its detail is our words about the answer: a body may hold a phone number."""
    kind, reason = verdict
    return kind(reason, f"HTTP {answer.status} {name}".rstrip())


def parse_text(body: bytes) -> str:
    """The body as stripped UTF-8 text. Raises Malformed."""
    try:
        return body.decode("utf-8-sig").strip()
    except UnicodeDecodeError:
        raise Malformed("not UTF-8") from None


def parse_json(text: str) -> object:
    """JSON with exact decimals; NaN and Infinity are no JSON. Raises Malformed."""
    try:
        return json.loads(text, parse_float=Decimal, parse_constant=_no_number)
    except (ValueError, RecursionError, ArithmeticError):
        raise Malformed("not JSON") from None


def _no_number(word: str) -> object:
    raise ValueError(word)


def as_object(value: object, what: str) -> dict[str, object]:
    """A JSON object, or Malformed naming `what`."""
    if not isinstance(value, dict):
        raise Malformed(f"{what} is no object")
    return value


def as_list(value: object, what: str) -> list[object]:
    """A JSON array, or Malformed naming `what`."""
    if not isinstance(value, list):
        raise Malformed(f"{what} is no array")
    return value


def parse_reference(value: object) -> str:
    """An order id, given as a number or a short plain word. Raises Malformed."""
    text = str(value) if isinstance(value, int | str) and not isinstance(value, bool) else ""
    if not REFERENCE.fullmatch(text) or text in {"0", "null", "None"}:
        raise Malformed("id")
    return text


def parse_phone(value: object) -> str:
    """A number as E.164 with one leading `+`, given with or without it, 7 to 15 digits. Raises Malformed."""
    text = str(value) if isinstance(value, int | str) and not isinstance(value, bool) else ""
    match = PHONE.fullmatch(text)
    if not match:
        raise Malformed("phone")
    return f"+{match[1]}"


def parse_cost(value: object) -> int:
    """A price in millionths of its currency. Raises Malformed."""
    try:
        return parse_micros(value)
    except (ValueError, ArithmeticError):
        raise Malformed("price") from None


def parse_balance(value: object) -> int:
    """A balance, perhaps below zero, in millionths of its currency. Raises Malformed."""
    try:
        return parse_balance_micros(value)
    except (ValueError, ArithmeticError):
        raise Malformed("balance") from None


def parse_at(value: object) -> datetime | None:
    """A moment that names its own offset (RFC 3339, up to nanoseconds), as UTC; None for anything else."""
    try:
        moment = datetime.fromisoformat(value) if isinstance(value, str) else None
        if moment is None or moment.tzinfo is None:
            return None
        moment = moment.astimezone(UTC)
    except (ValueError, OverflowError):
        return None
    return moment if moment > OLDEST else None


def parse_count(value: object) -> int:
    """A stock count, given as a number or as digits. Raises Malformed."""
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    if isinstance(value, str) and re.fullmatch(r"[0-9]{1,12}", value):
        return int(value)
    raise Malformed("count")


def parse_words(value: object) -> str:
    """Text from an SMS, or '' for null, storable anywhere: without NUL and lone surrogates. Raises Malformed."""
    if value is None:
        return ""
    if not isinstance(value, str):
        raise Malformed("text")
    return value.replace("\x00", "").encode("utf-8", "replace").decode().strip()


def decimal_text(micros: int) -> str:
    """Millionths as the shortest exact decimal: 210000 → '0.21'."""
    whole, part = divmod(micros, MICROS)
    return f"{whole}.{part:06d}".rstrip("0").rstrip(".")
