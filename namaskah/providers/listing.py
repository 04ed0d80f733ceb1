"""Reading a provider's list of orders page by page, and saying honestly whether all of it was read."""

import logging
from collections.abc import Callable

from .base import Listing, Order

log = logging.getLogger(__name__)


class Lister:
    """Reads one provider's list, `max_pages` at most."""

    def __init__(self, provider: str, max_pages: int) -> None:
        self._provider, self._max_pages = provider, max_pages
        self._was_cut = False

    def read(
        self,
        fetch: Callable[[int], list[object]],
        parse: Callable[[object], Order],
        is_last: Callable[[list[object], list[Order]], bool],
        between_pages: Callable[[], None],
    ) -> Listing:
        """`fetch` gives the rows from an offset on, `is_last` sees from a page that none follows. A page that repeats
        the one before comes from a provider that does not page: what lies behind it, nobody can see."""
        found: dict[str, Order] = {}
        offset = 0
        for page in range(self._max_pages):
            if page:
                between_pages()
            rows = fetch(offset)
            orders = [parse(row) for row in rows]
            is_end = is_last(rows, orders)
            new = {order.provider_ref: order for order in orders if order.provider_ref not in found}
            found |= new
            offset += len(rows)
            if is_end or not new:
                break
        self._tell(is_end, len(found))
        return Listing(tuple(found.values()), is_whole=is_end)

    def _tell(self, is_end: bool, count: int) -> None:
        """Said once, not at every tick, for as long as it lasts."""
        if not is_end and not self._was_cut:
            log.warning("the list of %s goes on behind the %s orders we read", self._provider, count)
        self._was_cut = not is_end
