"""The SMS-Activate protocol ("handler_api"), which a dozen providers speak, each with an accent.

SMS-Activate itself closed in 2025; what is spoken is its classic form (always HTTP 200, a text code such as
`NO_NUMBERS` or `ACCESS_NUMBER:id:phone`) and HeroSMS's (real HTTP status, JSON with `title`, lists in `data`). We
decide by the leading name, wherever it stands, and never by HTTP 200.

Its times (`2026-01-31 12:00:00`) name no zone: Moscow at SMS-Activate, unknown elsewhere. We take no moment from them,
only the distance between two of them. Its ids are decimal, its phones have no `+`, its parameters stand in the query
(SMSBower refuses POST), the API key among them.
"""

from collections.abc import Callable, Collection, Iterable, Mapping
from datetime import UTC, datetime, timedelta

from ..http import Response, request
from . import answers
from .answers import Malformed, as_list, as_object, buying, reading, refuse
from .base import CloseOutcome, Closing, Listing, Order, OrderStatus, ProviderDown, Quote, Rules, Sms, no_pause
from .listing import Lister
from .price_lists import parse_prices
from .sms_activate_answers import (
    CLOSED_AS,
    CLOSINGS,
    CURRENCIES,
    LISTED_STATES,
    LOOK_AGAIN,
    NOT_OFFERED,
    STATUSES,
    UNKNOWN_ORDER,
    WAIT_NEXT,
    Answer,
    find_verdict,
    known_name,
    parse_answer,
    parse_messages,
    parse_part,
    parse_retry_after,
    parse_rows,
    parse_status,
    parse_words,
)

PAGE = 100
MAX_PAGES = 20
ONE_BY_ONE = 5  # at one call a second; the whole list is several megabytes
PRICES_MAX_BYTES = 24_000_000
OPTIONAL = {"getNumberV2", "getStatusV2", "getAllSms"}  # younger actions that some providers lack


class SmsActivate:
    """One provider of this protocol as a Provider. `base_url` is the whole address up to the `?`, `currency` what the
    account is kept in: the protocol's prices are in it, whatever they are for."""

    protocol = "sms_activate"
    # SMS-Activate's rules, which the clones took over: 20 minutes, no cancel in the first two. HeroSMS answers 429
    # above about one call a second. How late the list of open activations may be is not documented: 30 s is our guess.
    rules = Rules(
        window_seconds=1200,
        cancel_lock_seconds=120,
        listing_lag_seconds=30,
        min_seconds_between_calls=1.0,
        can_ban=False,
        hides_old_messages=True,
        lists_last_message_alone=True,
    )

    def __init__(self, name: str, base_url: str, api_key: str, currency: str = "USD") -> None:
        self.name, self.currency = name, currency
        self._base_url, self._api_key = base_url, api_key
        self._lister = Lister(name, "activationId", MAX_PAGES, shrinks=True)
        self._missing: set[str] = set()  # actions this provider answered BAD_ACTION to

    def quotes(self, services: Iterable[str], countries: Iterable[str]) -> list[Quote]:
        """What is on sale, all of it for operator `any`: the protocol's price list knows no operators and no rates.
        One call per service, or one for the whole list when many are asked for. Raises ProviderDown."""
        wanted, places = sorted(set(services)), set(countries)
        single = len(wanted) <= ONE_BY_ONE
        with reading():
            lists = [self._prices({"service": code}) for code in wanted] if single else [self._prices({})]
            found = {(q.service, q.country): q for listing in lists for q in parse_prices(listing, places)}
        return [quote for (service, country), quote in found.items() if service in wanted and country in places]

    def buy(self, service: str, country: str, operator: str, max_cost_micros: int) -> Order:
        """Buy one number with getNumberV2, which tells the cost; with getNumber where the provider says it has no such
        action (a second call, but only then: a BAD_ACTION did nothing). Raises NotSold or OutcomeUnknown."""
        params = {"service": service, "country": country, "maxPrice": answers.decimal_text(max_cost_micros)}
        if operator != "any":
            params["operator"] = operator
        with buying():
            answer = self._send_known("getNumberV2", "getNumber", params)
            order = self._sold(answer, service, country, operator)
            if order is None:
                raise refuse(answer.response, find_verdict(answer), known_name(answer.name))
            return order

    def get_order(self, provider_ref: str) -> Order | None:
        """Status and messages alone: the status calls repeat neither phone nor service nor country (they are '').
        getStatusV2 has the text; getStatus, asked where that is missing or will not answer about a closed order, only
        the code. While another SMS is awaited no message is given, for it would be the old one, and where getStatusV2
        hides it the status reads WAITING. Raises ProviderDown."""
        names = STATUSES.keys() | UNKNOWN_ORDER
        with reading():
            answer = self._ask("getStatusV2", {"id": provider_ref}, names | {"BAD_ACTION", "ACTIVATION_NOT_ACTIVE"})
            if answer.name in {"BAD_ACTION", "ACTIVATION_NOT_ACTIVE"}:
                answer = self._ask("getStatus", {"id": provider_ref}, names)
            if answer.name in UNKNOWN_ORDER:
                return None
            status, messages = parse_status(answer)
        return Order(provider_ref, "", "", "", status=status, messages=messages)

    def all_messages(self, provider_ref: str) -> tuple[Sms, ...]:
        """getAllSms, a young action of HeroSMS; whoever lacks it tells the newest alone. The ids it gives are left out:
        no other call has them, and a message is known by its code or text."""
        with reading():
            params = {"id": provider_ref, "size": str(PAGE), "page": "1"}
            answer = self._ask("getAllSms", params, UNKNOWN_ORDER | {"BAD_ACTION", "ACTIVATION_NOT_ACTIVE"})
            if answer.name:
                return ()
            rows = as_list(as_object(answer.data, "messages").get("data"), "messages")
            parts = (as_object(row, "message") for row in rows)
            return tuple(sms for part in parts for sms in parse_part(part))

    def list_orders(self, between_pages: Callable[[], None] = no_pause) -> Listing:
        """Open activations, messages included (none while another SMS is awaited: the listed code is the old one).
        Being open they are no older than their window; created_at is None, for the reason at the top of this file.
        Read until a page does not have the hundred asked for. Raises ProviderDown."""
        with reading():
            return self._lister.read(self._page, self._parse_row, lambda rows, _: len(rows) != PAGE, between_pages)

    def ask_again(self, provider_ref: str) -> bool:
        """setStatus 3: one more SMS on the same number, free. False when refused, as before the first code. Safe to
        repeat: while the next one is awaited already, a second 3 is a BAD_STATUS, and the order tells which it is."""
        # HeroSMS's NEW_OTP_RECEIVED means that the next one is there already: as good as a yes.
        granted = {"ACCESS_RETRY_GET", "NO_CONTENT", "NEW_OTP_RECEIVED"}
        answer = self._set_status(provider_ref, "3", granted | LOOK_AGAIN | UNKNOWN_ORDER)
        if answer.name != "BAD_STATUS":
            return answer.name in granted
        with reading():
            status = self._ask("getStatus", {"id": provider_ref}, STATUSES.keys() | LOOK_AGAIN | UNKNOWN_ORDER)
        return status.name == "STATUS_WAIT_RETRY"

    def finish(self, provider_ref: str) -> None:
        """setStatus 6. An order that cannot be finished any more is closed already. Raises ProviderDown."""
        self._set_status(provider_ref, "6", {"ACCESS_ACTIVATION", "NO_CONTENT"} | LOOK_AGAIN | UNKNOWN_ORDER)

    def cancel(self, provider_ref: str) -> Closing:
        """setStatus 8. Looks the order up when the answer leaves open how it ended. Raises ProviderDown."""
        answer = self._set_status(provider_ref, "8", CLOSINGS.keys() | LOOK_AGAIN)
        if answer.name in CLOSINGS:
            return Closing(CLOSINGS[answer.name], parse_retry_after(answer))
        order = self.get_order(provider_ref)
        if order is None:
            return Closing(CloseOutcome.NOT_FOUND)
        return Closing(CLOSED_AS[order.status])

    def ban(self, provider_ref: str) -> Closing:
        """The protocol has one word for giving a number back, whatever the reason: as cancel()."""
        return self.cancel(provider_ref)

    def balance_micros(self) -> int:
        """ACCESS_BALANCE, in millionths of `currency`. Raises ProviderDown."""
        with reading():
            return answers.parse_balance(self._ask("getBalance", {}, {"ACCESS_BALANCE"}).rest)

    def _sold(self, answer: Answer, service: str, country: str, operator: str) -> Order | None:
        """The order in a purchase's answer, None when it has none. The window is the contract's unless the answer names
        both ends of it. The text form has no cost, except in DaisySMS's header."""
        if not answer.is_success or answer.name not in {"", "ACCESS_NUMBER"}:
            return None
        item: Mapping[str, object]
        if answer.name:
            reference, _, phone = answer.rest.partition(":")
            item = {
                "activationId": reference,
                "phoneNumber": phone,
                "activationCost": answer.response.headers.get("x-price"),
            }
        else:
            item = as_object(answer.data, "order")
            item = item if "activationId" in item else as_object(item.get("data"), "order")
        expires_at, window = _parse_end(item)
        return Order(
            provider_ref=answers.parse_reference(item.get("activationId")),
            phone=answers.parse_phone(item.get("phoneNumber")),
            service=service,
            country=country,
            operator=answers.parse_words(item.get("activationOperator")) or operator,
            cost_micros=self._parse_cost(item),
            expires_at=expires_at,
            window=window,
        )

    def _page(self, offset: int) -> list[object]:
        params = {"start": str(offset), "limit": str(PAGE)}
        return parse_rows(self._ask("getActiveActivations", params, {"NO_ACTIVATIONS"}, max_bytes=1_000_000))

    def _parse_row(self, value: object) -> Order:
        row = as_object(value, "activation")
        state = str(row.get("activationStatus"))
        if state not in LISTED_STATES:
            raise Malformed("activationStatus")
        status = LISTED_STATES[state]
        messages = () if state == WAIT_NEXT else parse_messages(row.get("smsText"), row.get("smsCode"))
        return Order(
            provider_ref=answers.parse_reference(row.get("activationId")),
            phone=answers.parse_phone(row.get("phoneNumber")),
            service=_parse_code(row.get("serviceCode")),
            country=_parse_code(row.get("countryCode")),
            status=OrderStatus.RECEIVED if messages and status is OrderStatus.WAITING else status,
            cost_micros=self._parse_cost(row),
            created_at=answers.parse_at(row.get("activationTime")),
            expires_at=answers.parse_at(row.get("activationEndTime")),
            messages=messages,
        )

    def _parse_cost(self, item: Mapping[str, object]) -> int | None:
        """None when it is not told, or told in another currency than the account is set up with."""
        if item.get("activationCost") is None:
            return None
        cost = answers.parse_cost(item["activationCost"])
        told = str(item.get("currency") or self.currency)
        return cost if CURRENCIES.get(told, told) == self.currency else None

    def _prices(self, params: dict[str, str]) -> object:
        answer = self._ask("getPrices", params, NOT_OFFERED, deadline=45.0, max_bytes=PRICES_MAX_BYTES)
        return {} if answer.name else answer.data

    def _set_status(self, provider_ref: str, status: str, expected: Collection[str]) -> Answer:
        with reading():
            answer = self._ask("setStatus", {"id": provider_ref, "status": status}, expected)
            if not answer.name:
                raise Malformed("setStatus")
            return answer

    def _ask(
        self,
        action: str,
        params: dict[str, str],
        expected: Collection[str],
        *,
        deadline: float = 10.0,
        max_bytes: int = 262_144,
    ) -> Answer:
        """A read's answer: JSON without an error, or one of the expected names. Anything else is ProviderDown."""
        if action in self._missing and "BAD_ACTION" in expected:
            return Answer(Response(404, {}, b""), "BAD_ACTION")
        answer = self._send(action, params, deadline, max_bytes)
        if answer.name in expected and answer.response.status < 500:
            return answer
        if answer.is_success and answer.data is not None and not answer.name:
            return answer
        raise refuse(answer.response, (ProviderDown, find_verdict(answer)[1]), known_name(answer.name))

    def _send_known(self, action: str, otherwise: str, params: dict[str, str]) -> Answer:
        answer = None if action in self._missing else self._send(action, params)
        return self._send(otherwise, params) if answer is None or action in self._missing else answer

    def _send(self, action: str, params: dict[str, str], deadline: float = 10.0, max_bytes: int = 262_144) -> Answer:
        query = {"api_key": self._api_key, "action": action, **params}
        answer = parse_answer(request("GET", self._base_url, params=query, deadline=deadline, max_bytes=max_bytes))
        if answer.name == "BAD_ACTION" and action in OPTIONAL and answer.response.status < 500:
            self._missing.add(action)
        return answer


def _parse_code(value: object) -> str:
    text = parse_words(value)
    if not text:
        raise Malformed("code")
    return text


def _parse_end(item: Mapping[str, object]) -> tuple[datetime | None, timedelta | None]:
    """activationEndTime (HeroSMS): a moment if it names its zone, else its distance from activationTime."""
    try:
        start, end = (datetime.fromisoformat(str(item.get(key))) for key in ("activationTime", "activationEndTime"))
        return (end.astimezone(UTC), None) if end.tzinfo else (None, end - start)
    except (ValueError, TypeError, OverflowError):
        return None, None
