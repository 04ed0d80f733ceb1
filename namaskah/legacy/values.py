"""What stands in a SQLite file, where any column may hold anything, as values one can rely on."""

import math
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import ROUND_HALF_EVEN, Decimal, InvalidOperation
from hashlib import sha256
from typing import Any

LARGEST_CREDITS = 10**9
LONGEST_KEY = 200
# The predecessor did not exist before; a time after the import is one of a wrong clock.
FIRST_YEAR = 2024


@dataclass(frozen=True)
class Amount:
    """An amount in hundredths of a credit. `is_exact`: nothing was rounded away."""

    cents: int
    is_exact: bool

    @property
    def credits(self) -> Decimal:
        return Decimal(self.cents).scaleb(-2)


def amount(value: Any) -> Amount | None:
    """A FLOAT of the predecessor's, half-even to hundredths; None for what is none: nothing, words, infinity, more
    than a billion."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        # The shortest digits that mean this float: 0.1 is 0.1, whatever the machine adds at the seventeenth place.
        exact = Decimal(str(value).strip())
    except InvalidOperation:
        return None
    if not exact.is_finite() or abs(exact) > LARGEST_CREDITS:
        return None
    cents = exact.scaleb(2).to_integral_value(ROUND_HALF_EVEN)
    return Amount(int(cents), cents == exact.scaleb(2))


def moment(value: Any) -> datetime | None:
    """A time as the predecessor wrote it, in UTC though it did not say so; None when it cannot be one."""
    if not isinstance(value, str):
        return None
    try:
        found = datetime.fromisoformat(value.strip())
        at = found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
    except (ValueError, OverflowError):
        return None
    return at if at.year >= FIRST_YEAR and at < datetime.now(UTC) + timedelta(days=1) else None


def flag(value: Any) -> bool:
    """A yes or no; whatever is not clearly a yes is a no."""
    return (
        value is True or value == 1 or (isinstance(value, str) and value.strip().lower() in {"1", "true", "t", "yes"})
    )


def key(value: Any) -> str:
    """An id as text that PostgreSQL can hold; empty for none. One too long is known by its digest."""
    found = "" if value is None else plain(value)
    return found if len(found) <= LONGEST_KEY else f"sha256:{sha256(found.encode()).hexdigest()}"


def plain(value: Any) -> str:
    """Any value as text without the two things PostgreSQL has no place for: U+0000 and halves of characters."""
    found = value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
    return re.sub("[\0\ud800-\udfff]", "\N{REPLACEMENT CHARACTER}", found)


def kept(value: Any) -> Any:
    """A value as a record keeps it: something JSON has a word for, numbers as they were written."""
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, float):
        return repr(value) if math.isfinite(value) else str(value)
    return plain(value)
