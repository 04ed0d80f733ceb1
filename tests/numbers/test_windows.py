"""How long a number waits, whatever a provider says about it."""

from datetime import UTC, datetime, timedelta

import pytest

from namaskah.numbers import windows
from namaskah.providers.base import Order

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
USUAL = timedelta(minutes=20)


def minutes(told: float | None = None, length: float | None = None, *, is_found: bool = False) -> float:
    """Length of the window of an order that ends at `told` minutes from now, or says that it lasts `length`."""
    order = Order(
        "1",
        "+1",
        "wa",
        "19",
        expires_at=None if told is None else NOW + timedelta(minutes=told),
        window=None if length is None else timedelta(minutes=length),
    )
    return (windows.end(order, NOW, USUAL, is_found=is_found) - NOW).total_seconds() / 60


@pytest.mark.parametrize(
    ("told", "length", "lasts"),
    [
        (15, None, 15),
        (None, 25, 25),
        (None, None, 20),
        (None, 0, 20),
        (None, -5, 20),
        (None, 3000, 20),  # days: something else is meant
        (None, 60, 40),
        (500, None, 40),  # twice the usual time, and no longer
        (-120, None, 20),  # their clock is two hours behind
        (0, None, 20),
    ],
)
def test_a_fresh_order_waits_as_long_as_can_be(told: float | None, length: float | None, lasts: float) -> None:
    assert minutes(told, length) == lasts


def test_an_order_found_late_may_be_over() -> None:
    assert minutes(-3, is_found=True) == -3
    assert minutes(4, is_found=True) == 4
