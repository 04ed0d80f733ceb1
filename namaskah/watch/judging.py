"""What measurements mean: for each part of the service whether it is well, as a customer would say."""

from dataclasses import dataclass, field

from namaskah.watch import totals as counted
from namaskah.watch.totals import Totals

PARTS = ("pages", "buying", "codes", "top_ups", "mail")
OK, DEGRADED, DOWN, OFF, UNKNOWN = "ok", "degraded", "down", "off", "unknown"
STATES = (OK, DEGRADED, DOWN, UNKNOWN)

# Fewer than this in an hour say nothing.
ENOUGH = 5
SLOW_PAGE_SECONDS = 2.0
CREDIT_WITHIN_SECONDS = 60
# Why an activation ended without a code, though the customer would have waited for it.
MISSED = ("no_code", "provider_closed")
# Why a purchase came to nothing, though there was a number on sale.
REFUSED = ("provider_refused", "nothing_bought")


@dataclass(frozen=True)
class Facts:
    """What a minute's look found. `hour`: what was counted in the last one. Ages in seconds."""

    page_status: int
    page_seconds: float
    providers: int
    providers_selling: int
    oldest_doubt: float
    top_ups_open: bool
    checkouts: int
    checkouts_refused: int
    oldest_event: float
    oldest_letter: float
    hour: Totals = field(default_factory=dict)


def judge(facts: Facts) -> dict[str, str]:
    """The state of every part."""
    return {
        "pages": _pages(facts),
        "buying": _buying(facts),
        "codes": _codes(facts),
        "top_ups": _top_ups(facts),
        "mail": _by_age(facts.oldest_letter, 120, 900),
    }


def figures(facts: Facts) -> dict[str, int | None]:
    """What is told beside the states: hundredths of a percent of numbers that got their code in the last hour, and the
    seconds within which half of those codes came. None where too few were bought."""
    came, missed = _codes_of(facts.hour)
    rate = came * 10_000 // (came + missed) if came + missed >= ENOUGH else None
    return {"delivered": rate, "half_within": _half_within(facts.hour) if came >= ENOUGH else None}


def worst(states: dict[str, str]) -> str:
    """One word for all of it."""
    return next((state for state in (DOWN, DEGRADED, UNKNOWN) if state in states.values()), OK)


def _pages(facts: Facts) -> str:
    if facts.page_status != 200:
        return DOWN
    return OK if facts.page_seconds < SLOW_PAGE_SECONDS else DEGRADED


def _buying(facts: Facts) -> str:
    if not facts.providers:
        return OFF
    if not facts.providers_selling:
        return DOWN
    opened = facts.hour.get("opened", {}).get("", 0)
    by_rate = _by_share(_ended(facts.hour, REFUSED), opened, 0.1, 0.5)
    out_of_stock = _by_share(_ended(facts.hour, ("no_stock",)), opened, 0.5, 2)
    in_doubt = DEGRADED if facts.oldest_doubt > 600 else OK
    return _worse(by_rate, out_of_stock, in_doubt)


def _codes(facts: Facts) -> str:
    if not facts.providers:
        return OFF
    came, missed = _codes_of(facts.hour)
    return _by_share(missed, came + missed, 0.6, 0.9)


def _top_ups(facts: Facts) -> str:
    if not facts.top_ups_open:
        return OFF
    sorted_by_time = facts.hour.get("credit_seconds", {}).get("")
    late = credited = 0
    if sorted_by_time:
        bounds = counted.BOUNDS["credit_seconds"]
        in_time = sum(
            count for bound, count in zip(bounds, sorted_by_time[1:], strict=False) if bound <= CREDIT_WITHIN_SECONDS
        )
        credited = int(sum(sorted_by_time[1:]))
        late = credited - int(in_time)
    return _worse(
        _by_share(facts.checkouts_refused, facts.checkouts, 0.1, 0.5),
        _by_share(late, credited, 0.1, 2),
        _by_age(facts.oldest_event, 300, 3600),
    )


def _codes_of(hour: Totals) -> tuple[int, int]:
    came = sum(int(sum(row[1:])) for row in hour.get("code_seconds", {}).values())
    return came, _ended(hour, MISSED)


def _half_within(hour: Totals) -> int | None:
    rows = list(hour.get("code_seconds", {}).values())
    return counted.within([sum(column) for column in zip(*rows, strict=True)], counted.BOUNDS["code_seconds"], 0.5)


def _ended(hour: Totals, reasons: tuple[str, ...]) -> int:
    return sum(count for key, count in hour.get("released", {}).items() if key.rpartition(" ")[2] in reasons)


def _by_share(bad: int, of: int, degraded: float, down: float) -> str:
    """`down` above one: so bad alone it does not get."""
    if of < ENOUGH or bad < degraded * of:
        return OK
    return DOWN if bad >= down * of else DEGRADED


def _by_age(seconds: float, degraded: float, down: float) -> str:
    if seconds < degraded:
        return OK
    return DOWN if seconds >= down else DEGRADED


def _worse(*states: str) -> str:
    return next((state for state in (DOWN, DEGRADED) if state in states), OK)
