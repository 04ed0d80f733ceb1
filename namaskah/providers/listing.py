"""Reading a provider's list of orders page by page, and saying honestly whether all of it was read."""

import logging
from collections.abc import Callable

from .answers import Malformed, parse_reference
from .base import Listing, Order

log = logging.getLogger(__name__)

REMEMBERED = 1_000  # unreadable rows that are not told of again


class Lister:
    """Reads one provider's list, `max_pages` at most; `id_key` is what its rows call the order's id.

    From a list of open orders alone (`shrinks`) each one that ends moves those behind it forward, between two pages
    past our place in it. There a page begins with the last row of the one before; where that has moved, another may
    have been passed by, and the listing is not whole."""

    def __init__(self, provider: str, id_key: str, max_pages: int, *, shrinks: bool = False) -> None:
        self._provider, self._id_key, self._max_pages = provider, id_key, max_pages
        self._overlap = int(shrinks)
        self._was_cut = False
        self._told: set[tuple[str, str]] = set()

    def read(
        self,
        fetch: Callable[[int], list[object]],
        parse: Callable[[object], Order],
        is_last: Callable[[list[object], list[Order]], bool],
        between_pages: Callable[[], None],
    ) -> Listing:
        """`fetch` gives the rows from an offset on, `is_last` sees from a page that none follows. A page that repeats
        the one before comes from a provider that does not page: what lies behind it, nobody can see. A row that `parse`
        finds Malformed is left out, one bad order being no reason to leave all others alone; it might be the one looked
        for, so the listing is not whole."""
        found: dict[str, Order] = {}
        offset = unread = 0
        has_moved = False
        for page in range(self._max_pages):
            if page:
                between_pages()
            overlap = self._overlap if page else 0
            rows = fetch(offset - overlap)
            orders = [order for row in rows if (order := self._parse(row, parse))]
            if overlap and not (rows and self._ref(rows[0]) in found):
                has_moved = True
            offset += len(rows) - overlap
            unread += len(rows) - len(orders)
            is_end = is_last(rows, orders)
            new = {order.provider_ref: order for order in orders if order.provider_ref not in found}
            found |= new
            if is_end or (orders and not new):
                break
        self._tell_cut(is_end, offset)
        return Listing(tuple(found.values()), is_whole=is_end and not unread and not has_moved)

    def _parse(self, row: object, parse: Callable[[object], Order]) -> Order | None:
        try:
            return parse(row)
        except Malformed as error:
            self._tell_unreadable(row, str(error))
            return None

    def _tell_unreadable(self, row: object, fault: str) -> None:
        """Once for each row, and by its id: what stands in it may be a customer's number."""
        ref = self._ref(row)
        if (ref, fault) not in self._told:
            log.error("order %s in the list of %s cannot be read: %s", ref, self._provider, fault)
            self._told = {*self._told, (ref, fault)} if len(self._told) < REMEMBERED else {(ref, fault)}

    def _ref(self, row: object) -> str:
        try:
            return parse_reference(row.get(self._id_key) if isinstance(row, dict) else None)
        except Malformed:
            return "without an id"

    def _tell_cut(self, is_end: bool, count: int) -> None:
        """Once, not at every tick, for as long as it lasts."""
        if not is_end and not self._was_cut:
            log.warning("the list of %s goes on behind the %s orders we read", self._provider, count)
        self._was_cut = not is_end
