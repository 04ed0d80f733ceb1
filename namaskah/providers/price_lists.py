"""The shapes in which SMS-Activate's descendants write down one price list."""

from collections.abc import Collection, Iterator

from . import answers
from .answers import Malformed, as_object
from .base import Quote


def parse_prices(listing: object, countries: Collection[str]) -> Iterator[Quote]:
    """Quotes with stock from getPrices (country → service → offer), getPricesVerification (service → country → offer),
    either of them inside `data` or as an array. An offer is `{"cost", "count"}`, numbers or strings, or getPricesV2's
    map from price to count. A single unusable offer is left out. Raises Malformed when the list is no list at all."""
    for outer, table in _tables(listing):
        for inner, offer in table.items():
            # Country ids are digits, service codes are not (some start with one); a row without a key is nobody's.
            country, service = (outer, inner) if outer.isdigit() else (inner, outer)
            if country in countries and service:
                quote = _parse_offer(service, country, offer)
                if quote:
                    yield quote


def _tables(listing: object) -> Iterator[tuple[str, dict[str, object]]]:
    if isinstance(listing, dict) and isinstance(listing.get("data"), dict | list):
        listing = listing["data"]
    if isinstance(listing, list):
        yield from _array_tables(listing)
        return
    for key, table in as_object(listing, "prices").items():
        if table:  # PHP writes an empty table as an empty array
            yield key, as_object(table, "prices")


def _array_tables(rows: list[object]) -> Iterator[tuple[str, dict[str, object]]]:
    """PHP writes countries 0, 1, 2… as an array, so a row's place is its country; others wrap each country's table in
    an object of its own, and then its one key is."""
    for place, row in enumerate(rows):
        table = as_object(row or {}, "prices")
        if table and all(key.isdigit() for key in table):
            yield from ((key, as_object(inner or {}, "prices")) for key, inner in table.items())
        else:
            yield str(place), table


def _parse_offer(service: str, country: str, value: object) -> Quote | None:
    try:
        offer = as_object(value, "offer")
        if "cost" in offer or "price" in offer:
            tiers = [(offer.get("cost", offer.get("price")), offer.get("count"))]
        else:
            tiers = list(offer.items())
        priced = [(answers.parse_cost(cost), answers.parse_count(count)) for cost, count in tiers]
    except Malformed:
        return None
    stocked = [(cost, count) for cost, count in priced if count]
    if not stocked:
        return None
    return Quote(service, country, "any", min(cost for cost, _ in stocked), sum(count for _, count in stocked))
