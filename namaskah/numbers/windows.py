"""How long a number waits for its code."""

from datetime import datetime, timedelta

from namaskah.providers.base import Order


def end(order: Order, now: datetime, usual: timedelta, *, is_found: bool) -> datetime:
    """When the window of an order ends that an activation takes at `now`: as the provider says, but not after twice
    the `usual` time, nor, for a fresh order (not one `is_found` in a list), before it began: its clock may be wrong."""
    length = order.window if order.window and timedelta() < order.window < timedelta(days=1) else usual
    told = order.expires_at or now + length
    return now + usual if told <= now and not is_found else min(told, now + 2 * usual)
