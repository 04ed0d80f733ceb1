"""Paystack's API: open a checkout, ask what came of it, tell a real webhook from a forged one.

Built from plain values; knows nothing of Flask or the database. A read or a repeated call is always safe: our own
reference is the only idempotency Paystack has, so each call may be made again with the same one.
Amounts are integers in the currency's hundredth (kobo, cent), whatever the currency.
"""

import hashlib
import hmac
import json
import logging
import re
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote, urlencode

from namaskah import http

log = logging.getLogger(__name__)

DEADLINE_SECONDS = 8.0
PAGE = 100
NO_SUCH_REFERENCE = ("transaction reference not found", "transaction id or reference is invalid")


class GatewayDown(Exception):
    """No usable answer. Whether the gateway acted is unknown; ask again with the same reference."""


class GatewayRefused(Exception):
    """The gateway said no. `reason` is its sentence."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class SubjectUnknown(Exception):
    """An event is about a payment, refund or dispute that we have no row of; not yet, perhaps."""


class DuplicateReference(GatewayRefused):
    """A checkout with this reference exists already."""


@dataclass(frozen=True)
class Payment:
    """What the gateway knows of one reference. `status` is its own word; `domain` is "live" or "test"."""

    reference: str
    status: str
    amount_minor: int
    currency: str
    fees_minor: int | None
    domain: str
    channel: str | None
    gateway_response: str | None
    paid_at: datetime | None
    # The e-mail it was paid with, and what may be used to charge the payer's card again: see paystack_cards.
    email: str = field(default="", repr=False)
    authorization: dict[str, Any] = field(default_factory=dict, repr=False, compare=False)


@dataclass(frozen=True)
class Event:
    """A webhook's content. `reference` is that of the payment it is about, if it names one."""

    name: str
    reference: str | None
    body: dict[str, Any]


@dataclass(frozen=True)
class Paystack:
    """One integration. The key decides whether real money moves."""

    secret_key: str = field(repr=False)
    base_url: str

    @property
    def domain(self) -> str:
        """The mode the key belongs to, as answers name it."""
        return "live" if self.secret_key.startswith("sk_live_") else "test"

    def initialize(
        self,
        reference: str,
        email: str,
        amount_minor: int,
        currency: str,
        callback_url: str,
        cancel_url: str,
        deadline: float = DEADLINE_SECONDS,
    ) -> str:
        """Open a checkout under our reference and give its address.

        Raises DuplicateReference when an earlier call got through (its address is not told twice), GatewayRefused on
        any other no, GatewayDown when the outcome is unknown.
        Source: POST /transaction/initialize; `metadata.cancel_action` is where the cancel button leads.
        """
        wanted = {
            "reference": reference,
            "email": email,
            "amount": amount_minor,
            "currency": currency,
            "callback_url": callback_url,
            "metadata": {"cancel_action": cancel_url},
        }
        status, answer = self._call("POST", "/transaction/initialize", deadline, wanted)
        if not is_yes(status, answer):
            reason = text(answer.get("message"), 200) or f"HTTP {status}"
            raise (DuplicateReference if "duplicate" in reason.lower() else GatewayRefused)(reason)
        data = answer.get("data")
        url = data.get("authorization_url") if isinstance(data, dict) else None
        if not isinstance(data, dict) or data.get("reference") != reference or not self._is_web_address(url):
            raise GatewayDown("initialize: not the answer to what was asked")
        return str(url)

    def verify(self, reference: str) -> Payment | None:
        """What came of a reference; None when the gateway has never heard of it. The only word on which we credit.

        Raises GatewayDown, or GatewayRefused (a wrong key). Source: GET /transaction/verify/:reference.
        """
        status, answer = self._call("GET", f"/transaction/verify/{quote(reference, safe='')}", DEADLINE_SECONDS)
        if is_yes(status, answer):
            payment = parse_payment(answer.get("data"))
            if payment.reference != reference:
                raise GatewayDown("verify: an answer about another reference")
            return payment
        reason = text(answer.get("message"), 200) or f"HTTP {status}"
        # Which status goes with it is not documented, samples show 400 and 404; so the sentence decides.
        if status in (400, 404) and reason.lower().rstrip(".") in NO_SUCH_REFERENCE:
            return None
        raise GatewayRefused(reason)

    def list_paid(self, since: datetime, page: str | None = None) -> tuple[list[Payment], str | None]:
        """Payments that succeeded, of checkouts opened `since` then, newest first, a page at a time: the second value
        asks for the next one, None at the end.

        Raises GatewayDown or GatewayRefused. Source: GET /transaction with `use_cursor`.
        """
        return self._list("success", since, page)

    def list_reversed(self, since: datetime, page: str | None = None) -> tuple[list[Payment], str | None]:
        """The same of payments that were sent back to the payer. Raises GatewayDown or GatewayRefused.

        `reversed` is among the documented statuses, but not among the examples of this filter: should the gateway take
        no notice of it, what is not reversed is left out here, and the list ends.
        """
        rows, following = self._list("reversed", since, page)
        found = [row for row in rows if row.status == "reversed"]
        return found, following if len(found) == len(rows) else None

    def _list(self, status: str, since: datetime, page: str | None) -> tuple[list[Payment], str | None]:
        query = {
            "status": status,
            "from": since.astimezone(UTC).isoformat(),
            "use_cursor": "true",
            "perPage": str(PAGE),
        }
        if page:
            query["next"] = page
        answered, answer = self._call("GET", f"/transaction?{urlencode(query)}", DEADLINE_SECONDS)
        rows, meta = answer.get("data"), answer.get("meta")
        if not is_yes(answered, answer):
            raise GatewayRefused(text(answer.get("message"), 200) or f"HTTP {answered}")
        if not isinstance(rows, list):
            raise GatewayDown("list: no data")
        following = meta.get("next") if isinstance(meta, dict) else None
        payments = [payment for row in rows if (payment := _parse_row(row)) is not None]
        if rows and not payments:
            raise GatewayDown("list: no row of it can be read")
        # At the end it may be the word "null".
        return payments, str(following) if following not in (None, "", "null") else None

    def signature_matches(self, raw_body: bytes, header: str | None) -> bool:
        """Whether `x-paystack-signature` is the lower-case hex HMAC-SHA512 of these very bytes under the secret key."""
        if not self.secret_key or not header:
            return False  # an empty key would make a signature that anybody can compute
        expected = hmac.new(self.secret_key.encode(), raw_body, hashlib.sha512).hexdigest()
        return hmac.compare_digest(expected.encode(), header.encode("utf-8", "replace"))

    def _is_web_address(self, url: object) -> bool:
        """The customer's browser or a file goes there: web addresses only, plain http only beside a plain http API."""
        schemes = ("https://",) if self.base_url.startswith("https:") else ("https://", "http://")
        return isinstance(url, str) and url.startswith(schemes) and re.fullmatch(r"[!-~]{10,4000}", url) is not None

    def _call(
        self, method: str, path: str, deadline: float, wanted: dict[str, Any] | None = None
    ) -> tuple[int, dict[str, Any]]:
        """Status and JSON object of an answer. Raises GatewayDown for anything else than a clear yes or no."""
        try:
            answer = http.request(
                method,
                self.base_url + path,
                headers={"Authorization": f"Bearer {self.secret_key}"},
                json=wanted,
                deadline=deadline,
            )
        except (http.NeverSent, http.NoAnswer, http.BadAnswer) as error:
            raise GatewayDown(f"{type(error).__name__}: {error}") from None
        if answer.status >= 500 or answer.status in (408, 425, 429):
            raise GatewayDown(f"HTTP {answer.status}")
        try:
            return answer.status, parse_object(answer.body)
        except ValueError as error:
            raise GatewayDown(f"HTTP {answer.status}: {error}") from None


def parse_object(raw: bytes) -> dict[str, Any]:
    """A JSON object in UTF-8. Raises ValueError for anything else, NaN and bottomless nesting included.

    Numbers with a fraction stay text: no amount has one, and no float comes near money.
    """
    try:
        found = json.loads(raw.decode(), parse_float=str, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"no JSON ({type(error).__name__})") from None
    if not isinstance(found, dict):
        raise ValueError("no JSON object")
    return found


def parse_payment(data: object) -> Payment:
    """The `data` of verify. Raises GatewayDown when a field that decides about money is missing or odd."""
    if not isinstance(data, dict):
        raise GatewayDown("verify: no data")
    words = {name: text(data.get(name), 100) for name in ("reference", "status", "currency", "domain")}
    odd = [name for name, word in words.items() if not word]
    if odd:
        raise GatewayDown(f"verify: no {', '.join(odd)}")
    return Payment(
        reference=words["reference"],
        status=words["status"].lower()[:32],
        amount_minor=parse_amount(data.get("amount")),
        currency=words["currency"],
        fees_minor=_fees(data.get("fees")),
        domain=words["domain"],
        channel=text(data.get("channel"), 32) or None,
        gateway_response=text(data.get("gateway_response"), 500) or None,
        paid_at=moment(data.get("paid_at")),
        email=text(_object(data.get("customer")).get("email"), 254),
        authorization=_object(data.get("authorization")),
    )


def _parse_row(row: object) -> Payment | None:
    """A row of a list; None for one that cannot be read, which must not hide all that is listed beside it."""
    try:
        return parse_payment(row)
    except GatewayDown as error:
        reference = text(_object(row).get("reference"), 100)
        log.error("payment %s cannot be read in the gateway's list: %s", reference, error)
        return None


def _object(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _fees(value: object) -> int | None:
    """The payer's credit does not hang on what the gateway keeps for itself: an odd figure counts as none told."""
    try:
        return None if value is None else parse_amount(value)
    except GatewayDown:
        return None


def parse_amount(value: object) -> int:
    """An amount in hundredths: an integer or digits in a string (both occur). Raises GatewayDown for the rest."""
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 10**15:
        return value
    if isinstance(value, str) and re.fullmatch(r"[0-9]{1,15}", value):
        return int(value)
    raise GatewayDown(f"no amount: {value!r}"[:80])


def parse_event(raw: bytes) -> Event:
    """A webhook's body. Raises ValueError when it is none."""
    try:
        body: dict[str, Any] = _storable(parse_object(raw))
    except RecursionError:
        raise ValueError("nested too deeply") from None
    name = body.get("event")
    if not isinstance(name, str) or not name:
        raise ValueError("no event name")
    return Event(name[:64], _reference_of(body.get("data")), body)


def _reference_of(data: object) -> str | None:
    """A charge names its reference, a refund its `transaction_reference`, a dispute has it in `transaction`."""
    if not isinstance(data, dict):
        return None
    nested = data.get("transaction")
    places = (data, nested if isinstance(nested, dict) else {})
    found = [place.get(name) for place in places for name in ("reference", "transaction_reference")]
    return next((word for word in found if isinstance(word, str) and 0 < len(word) <= 100), None)


def is_yes(status: int, answer: dict[str, Any]) -> bool:
    """Whether an answer says that the call was done."""
    # Some samples carry the status as a word; a "false" must not pass for true.
    return status < 300 and str(answer.get("status")).lower() == "true"


def _storable(value: Any) -> Any:
    """The same without what PostgreSQL cannot hold in text: NUL and halves of surrogate pairs."""
    if isinstance(value, str):
        return value.replace("\0", "").encode("utf-8", "replace").decode()
    if isinstance(value, list):
        return [_storable(item) for item in value]
    if isinstance(value, dict):
        return {_storable(name): _storable(item) for name, item in value.items()}
    return value


def text(value: object, limit: int) -> str:
    """A text as PostgreSQL can hold it, cut at `limit`; empty for what is none."""
    return str(_storable(value))[:limit] if isinstance(value, str) else ""


def moment(value: object) -> datetime | None:
    """An instant with its zone, or None for anything else."""
    try:
        found = datetime.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        return None
    return found if found and found.tzinfo else None


def _refuse_constant(name: str) -> Any:
    raise ValueError(name)
