"""5sim.net, API v1: names instead of ids, JSON for success, a short plain-text phrase for almost every refusal.

Facts are from 5sim's public documentation and, where the two differ, from what its API answered in 2026. Three matter
most: a refusal may come with HTTP 200, buying is a GET (so nothing may ever repeat it), and `maxPrice` works for
operator `any` alone.
"""

from collections.abc import Callable, Collection, Iterable
from datetime import datetime, timedelta
from decimal import Decimal
from urllib.parse import quote as escape

from ..http import Response, request
from . import answers
from .answers import Malformed, as_list, as_object, buying, reading, refuse
from .base import (
    CloseOutcome,
    Closing,
    Listing,
    NotSold,
    Order,
    OrderStatus,
    OutcomeUnknown,
    ProviderDown,
    ProviderError,
    Quote,
    Rules,
    Sms,
    no_pause,
)
from .listing import Lister

# What each phrase means to a purchase. To a read every one of them is ProviderDown with the same reason, unless the
# call expects the phrase. Phrases that a purchase cannot cause leave its outcome unknown.
ERRORS: dict[str, tuple[type[ProviderError], str]] = {
    "no free phones": (NotSold, "no_stock"),  # also what a maxPrice below every offer gets; with 200 as well as 400
    "not enough user balance": (NotSold, "no_balance"),
    "not enough rating": (NotSold, "account_blocked"),  # rating at zero: no buying for 24 hours
    "select country": (NotSold, "not_offered"),
    "select operator": (NotSold, "not_offered"),
    "bad country": (NotSold, "not_offered"),
    "bad operator": (NotSold, "not_offered"),
    "country is incorrect": (NotSold, "not_offered"),
    "product is incorrect": (NotSold, "not_offered"),
    "no product": (NotSold, "not_offered"),
    "bad product": (NotSold, "not_offered"),
    "server offline": (NotSold, "refused"),  # the operator's own server; documented as a refusal with 400
    "reuse not possible": (NotSold, "refused"),
    "reuse false": (NotSold, "refused"),
    "reuse expired": (NotSold, "refused"),
    "unauthorized": (NotSold, "bad_credentials"),
    "token expired": (NotSold, "bad_credentials"),
    "token invalid": (NotSold, "bad_credentials"),
    "api limit is 100 requests per second": (NotSold, "rate_limited"),
    "ip address limit is 100 requests per second": (NotSold, "rate_limited"),  # the one refusal that is a 503
    "internal error": (OutcomeUnknown, "server_error"),
    "order not found": (OutcomeUnknown, "bad_answer"),
    "record not found": (OutcomeUnknown, "bad_answer"),
    "order expired": (OutcomeUnknown, "bad_answer"),
    "order has sms": (OutcomeUnknown, "bad_answer"),
    "order no sms": (OutcomeUnknown, "bad_answer"),
    "hosting order": (OutcomeUnknown, "bad_answer"),  # activation verbs do not apply to a rented number
    "you need to wait time": (OutcomeUnknown, "bad_answer"),
    "cancel_needs_time": (OutcomeUnknown, "bad_answer"),
    "product_name is empty": (OutcomeUnknown, "bad_answer"),
}
STATUS_ERRORS: dict[int, tuple[type[ProviderError], str]] = {
    401: (NotSold, "bad_credentials"),  # its body is empty
    429: (NotSold, "rate_limited"),
}
STATUSES = {
    "PENDING": OrderStatus.WAITING,
    "RECEIVED": OrderStatus.WAITING,  # "waiting for SMS"; only the messages say whether one came
    "FINISHED": OrderStatus.FINISHED,
    "CANCELED": OrderStatus.REFUNDED,
    "BANNED": OrderStatus.REFUNDED,
    "TIMEOUT": OrderStatus.REFUNDED,
}
UNKNOWN_ORDER = {"order not found", "record not found"}
CLOSINGS = {
    "order has sms": CloseOutcome.HAS_SMS,
    "you need to wait time": CloseOutcome.TOO_EARLY,  # names no time
    "cancel_needs_time": CloseOutcome.TOO_EARLY,
}
LOOK_AGAIN = UNKNOWN_ORDER | {"order expired"}  # said of any closed order, with or without an SMS

PAGE = 100
SMALL_PAGE = 15  # the documented default; a page this long may have been cut by the server
MAX_PAGES = 30
RECENT = timedelta(hours=1)
ONE_BY_ONE = 12  # up to so many services are asked for singly; the whole list is about 9 MB
PRICES_MAX_BYTES = 24_000_000


class FiveSim:
    """5sim as a Provider. `token` is the "5sim protocol" key; `currency` is what the account is kept in."""

    protocol = "fivesim"
    # An order waits 15 minutes unless it says otherwise (it always does). No cancel lock is documented; when 5sim wants
    # one it answers so. 100 calls a second are allowed. How late the list may be is not documented: 30 s is our guess.
    rules = Rules(
        window_seconds=900,
        cancel_lock_seconds=0,
        listing_lag_seconds=30,
        min_seconds_between_calls=0.05,
        lists_closed_orders=True,
    )

    def __init__(
        self, token: str, base_url: str = "https://5sim.net/v1", currency: str = "USD", name: str = "fivesim"
    ) -> None:
        self.name, self.currency = name, currency
        self._base_url = base_url.rstrip("/")
        self._lister = Lister(name, "id", MAX_PAGES)
        self._headers = {"accept": "application/json", "authorization": f"Bearer {token}"}

    def quotes(self, services: Iterable[str], countries: Iterable[str]) -> list[Quote]:
        """What is on sale, one call per service or one for the whole list when many are asked for. Each service and
        country gives an `any` quote (cheapest cost, all stock, rate weighted by stock) and one per operator with stock.
        A single unusable offer is left out; an unusable list raises ProviderDown."""
        wanted, places = set(services), set(countries)
        with reading():
            if len(wanted) > ONE_BY_ONE:
                listing = as_object(self._prices(), "prices")
                cells = [(s, c, operators) for c, table in listing.items() for s, operators in _items(table)]
            else:
                cells = [(s, c, ops) for s in sorted(wanted) for c, ops in _items(self._prices_of(s))]
        return [q for s, c, operators in cells if s in wanted and c in places for q in _quotes(s, c, operators)]

    def buy(self, service: str, country: str, operator: str, max_cost_micros: int) -> Order:
        """Buy one number. 5sim honours a price cap for operator `any` alone: for a pinned operator the order comes back
        with its real `cost_micros`, perhaps above the cap, and the caller decides whether to keep or to cancel it.
        Raises NotSold or OutcomeUnknown."""
        path = "/".join(escape(part, safe="") for part in (country, operator, service))
        params = {"maxPrice": answers.decimal_text(max_cost_micros)} if operator == "any" else {}
        with buying():
            answer = self._get(f"/user/buy/activation/{path}", params)
            text = answers.parse_text(answer.body)
            if not 200 <= answer.status < 300 or not text.startswith("{"):
                raise refuse(answer, _verdict(answer, text))
            return _parse_order(answers.parse_json(text))

    def get_order(self, provider_ref: str) -> Order | None:
        """One order with its messages, None when 5sim knows none. Raises ProviderDown."""
        with reading():
            found = self._read(f"/user/check/{escape(provider_ref, safe='')}", expected=UNKNOWN_ORDER)
            return None if isinstance(found, str) else _parse_order(found)

    def all_messages(self, provider_ref: str) -> tuple[Sms, ...]:
        """Its list tells all of them already."""
        order = self.get_order(provider_ref)
        return order.messages if order else ()

    def list_orders(self, between_pages: Callable[[], None] = no_pause) -> Listing:
        """Open and closed orders of about the last hour, newest first, messages included. Read until a page is short
        or older than that, for the list's `Total` is not to be trusted. Raises ProviderDown."""
        with reading():
            return self._lister.read(self._page, _parse_order, _LastPage(), between_pages)

    def ask_again(self, provider_ref: str) -> bool:
        """5sim has no such call: an open order goes on taking messages. True while it is open. Raises ProviderDown."""
        order = self.get_order(provider_ref)
        return order is not None and order.status in (OrderStatus.WAITING, OrderStatus.RECEIVED)

    def finish(self, provider_ref: str) -> None:
        """Close an order that got its SMS. An order 5sim no longer knows as open is closed. Raises ProviderDown."""
        with reading():
            self._read(f"/user/finish/{escape(provider_ref, safe='')}", expected=LOOK_AGAIN)

    def cancel(self, provider_ref: str) -> Closing:
        """Give the number back. Looks the order up when the answer leaves open how it ended. Raises ProviderDown."""
        return self._close("cancel", provider_ref)

    def ban(self, provider_ref: str) -> Closing:
        """Give the number back as already used; 5sim will not sell it to us again. As cancel() otherwise."""
        return self._close("ban", provider_ref)

    def balance_micros(self) -> int:
        """What can be spent, in millionths; money of open orders is kept apart by 5sim. Raises ProviderDown."""
        with reading():
            balance = as_object(self._read("/user/profile"), "profile").get("balance")
            if not isinstance(balance, int | Decimal):
                raise Malformed("balance")
            return answers.parse_balance(balance)

    def _close(self, verb: str, provider_ref: str) -> Closing:
        with reading():
            answer = self._read(f"/user/{verb}/{escape(provider_ref, safe='')}", expected=LOOK_AGAIN | CLOSINGS.keys())
            if not isinstance(answer, str):
                return _closing(_parse_order(answer), CloseOutcome.CLOSED)
        if answer in CLOSINGS:
            return Closing(CLOSINGS[answer])
        order = self.get_order(provider_ref)
        return Closing(CloseOutcome.NOT_FOUND) if order is None else _closing(order, CloseOutcome.ALREADY_CLOSED)

    def _page(self, offset: int) -> list[object]:
        params = {"category": "activation", "limit": str(PAGE), "offset": str(offset), "order": "id", "reverse": "true"}
        listing = as_object(self._read("/user/orders", params, max_bytes=2_000_000), "orders")
        return as_list(listing.get("Data") or [], "Data")

    def _prices(self, **params: str) -> object:
        found = self._read(
            "/guest/prices",
            params,
            expected={"null", "country is incorrect", "product is incorrect"},
            deadline=45.0,
            max_bytes=PRICES_MAX_BYTES,
        )
        return {} if isinstance(found, str) else found

    def _prices_of(self, service: str) -> object:
        return as_object(self._prices(product=service), "prices").get(service)  # product → country → operator

    def _read(
        self,
        path: str,
        params: dict[str, str] | None = None,
        *,
        expected: Collection[str] = (),
        deadline: float = 10.0,
        max_bytes: int = 262_144,
    ) -> object:
        """The JSON of a read, or the refusal's phrase if `expected` has it. Any other refusal is ProviderDown."""
        answer = self._get(path, params or {}, deadline, max_bytes)
        text = answers.parse_text(answer.body)
        if 200 <= answer.status < 300 and text.startswith(("{", "[")):
            return answers.parse_json(text)
        phrase = text.lower()
        if phrase in expected and answer.status < 500:
            return phrase
        raise refuse(answer, (ProviderDown, _verdict(answer, text)[1]))

    def _get(self, path: str, params: dict[str, str], deadline: float = 10.0, max_bytes: int = 262_144) -> Response:
        headers = self._headers if path.startswith("/user/") else {"accept": "application/json"}
        url = self._base_url + path
        return request("GET", url, headers=headers, params=params, deadline=deadline, max_bytes=max_bytes)


def _verdict(answer: Response, text: str) -> tuple[type[ProviderError], str]:
    """What an answer without an order means to a purchase."""
    verdict = ERRORS.get(text.lower())
    if answer.status >= 500 and (verdict is None or verdict[1] != "rate_limited"):
        return OutcomeUnknown, "server_error"
    if verdict is None and 300 <= answer.status < 400 and answer.headers.get("location", "").endswith("/404.html"):
        # 5sim's router sends unknown paths there: no such country or product, and no buying code ever ran.
        return NotSold, "not_offered"
    return verdict or STATUS_ERRORS.get(answer.status) or (OutcomeUnknown, "bad_answer")


def _closing(order: Order, refunded: CloseOutcome) -> Closing:
    if order.status is OrderStatus.REFUNDED:
        return Closing(refunded)
    if order.status is OrderStatus.WAITING:
        raise ProviderDown("bad_answer", "still open after closing")
    return Closing(CloseOutcome.HAS_SMS)


class _LastPage:
    """Whether a page is short, or reaches back far enough from the newest order there is: by 5sim's clock alone."""

    def __init__(self) -> None:
        self._newest: datetime | None = None

    def __call__(self, rows: list[object], orders: list[Order]) -> bool:
        times = [order.created_at for order in orders if order.created_at]
        if self._newest is None:
            self._newest = max(times, default=None)
        is_far_back = self._newest is not None and bool(times) and times[-1] < self._newest - RECENT
        return len(rows) < SMALL_PAGE or is_far_back


def _parse_order(value: object) -> Order:
    item = as_object(value, "order")
    messages = tuple(sms for told in as_list(item.get("sms") or [], "sms") if (sms := _parse_sms(told)))
    status = STATUSES.get(str(item.get("status")))
    if status is None:
        raise Malformed("status")
    return Order(
        provider_ref=answers.parse_reference(item.get("id")),
        phone=answers.parse_phone(item.get("phone")),
        service=_parse_name(item.get("product")),
        country=_parse_name(item.get("country")),
        status=OrderStatus.RECEIVED if messages and status is OrderStatus.WAITING else status,
        operator=answers.parse_words(item.get("operator")) or None,
        cost_micros=_parse_price(item.get("price")),
        created_at=answers.parse_at(item.get("created_at")),
        expires_at=answers.parse_at(item.get("expires")),
        messages=messages,
    )


def _parse_sms(value: object) -> Sms | None:
    """None for a message of neither text nor code: nobody pays for that."""
    item = as_object(value, "sms")
    text, code = answers.parse_words(item.get("text")), answers.parse_words(item.get("code"))
    if not text and not code:
        return None
    return Sms(
        text=text or code,
        code=code or None,  # "" when 5sim found none
        sender=answers.parse_words(item.get("sender")) or None,
        received_at=answers.parse_at(item.get("date")) or answers.parse_at(item.get("created_at")),
        provider_id=answers.parse_reference(item["id"]) if item.get("id") else None,
    )


def _parse_name(value: object) -> str:
    if not isinstance(value, str) or not value:
        raise Malformed("name")
    return value


def _parse_price(value: object) -> int:
    if not isinstance(value, int | Decimal):
        raise Malformed("price")  # 5sim's prices are JSON numbers, never strings
    return answers.parse_cost(value)


def _items(table: object) -> list[tuple[str, object]]:
    return [] if table is None else list(as_object(table, "prices").items())


def _quotes(service: str, country: str, operators: object) -> list[Quote]:
    offers = [quote for name, offer in _items(operators) if (quote := _parse_offer(service, country, name, offer))]
    if not offers:
        return []
    stock = sum(offer.stock for offer in offers)
    rated = [(offer.rate, offer.stock) for offer in offers if offer.rate is not None]
    weight = sum(count for _, count in rated)
    rate = sum(rate * count for rate, count in rated) // weight if weight else None
    return [Quote(service, country, "any", min(offer.cost_micros for offer in offers), stock, rate), *offers]


def _parse_offer(service: str, country: str, operator: str, value: object) -> Quote | None:
    """One operator's offer; None when it has no stock or makes no sense."""
    try:
        offer = as_object(value, "offer")
        stock, cost = answers.parse_count(offer.get("count")), _parse_price(offer.get("cost"))
    except Malformed:
        return None
    return Quote(service, country, operator, cost, stock, _parse_rate(offer.get("rate"))) if stock else None


def _parse_rate(value: object) -> int | None:
    """Hundredths of a percent; 5sim leaves it out below 20 % or after too few orders."""
    if not isinstance(value, int | Decimal) or not 0 <= value <= 100:
        return None
    return int(value * 100)
