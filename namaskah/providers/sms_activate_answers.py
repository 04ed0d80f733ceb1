"""What the words of the SMS-Activate protocol mean: the tables, and the reading of one answer."""

import re
from dataclasses import dataclass, replace
from datetime import timedelta

from ..http import Response
from . import answers
from .answers import Malformed, as_list, as_object
from .base import CloseOutcome, NotSold, OrderStatus, OutcomeUnknown, ProviderError, Sms

# What each name means to a purchase. To a read every one of them is ProviderDown with the same reason, unless the call
# expects the name. Names that a purchase cannot cause leave its outcome unknown.
ERRORS: dict[str, tuple[type[ProviderError], str]] = {
    "NO_NUMBERS": (NotSold, "no_stock"),  # clones say it for a low maxPrice, too
    "NO_BALANCE": (NotSold, "no_balance"),
    "NO_BALANCE_FORWARD": (NotSold, "no_balance"),
    "NO_MONEY": (NotSold, "no_balance"),  # DaisySMS
    "NO_MEANS": (NotSold, "no_balance"),
    "WRONG_MAX_PRICE": (NotSold, "price_moved"),  # followed by the lowest price
    "MAX_PRICE_EXCEEDED": (NotSold, "price_moved"),  # DaisySMS
    "BAD_KEY": (NotSold, "bad_credentials"),
    "NO_KEY": (NotSold, "bad_credentials"),
    "API_KEY_NOT_VALID": (NotSold, "bad_credentials"),  # SMSHub
    "NO_ACCESS": (NotSold, "bad_credentials"),  # SMSBower: {"status":0,"message":"No access"}
    "BANNED": (NotSold, "account_blocked"),  # followed by the date it lasts until
    "ACCOUNT_INACTIVE": (NotSold, "account_blocked"),
    "CHANNELS_LIMIT": (NotSold, "too_many_open"),
    "TOO_MANY_ACTIVE_RENTALS": (NotSold, "too_many_open"),  # DaisySMS: 20, activations included
    "RATE_LIMIT": (NotSold, "rate_limited"),
    "BAD_SERVICE": (NotSold, "not_offered"),
    "WRONG_SERVICE": (NotSold, "not_offered"),
    "SERVICE_IS_INCORRECT": (NotSold, "not_offered"),
    "SERVICE_NOT_AVAILABLE": (NotSold, "not_offered"),
    "BAD_COUNTRY": (NotSold, "not_offered"),
    "WRONG_COUNTRY": (NotSold, "not_offered"),
    "COUNTRY_IS_INCORRECT": (NotSold, "not_offered"),
    "WRONG_OPERATOR": (NotSold, "not_offered"),
    "OPERATORS_NOT_FOUND": (NotSold, "not_offered"),
    "NOT_AVAILABLE": (NotSold, "not_offered"),
    "WHATSAPP_NOT_AVAILABLE": (NotSold, "not_offered"),
    "NOT_FOUND": (NotSold, "not_offered"),  # HeroSMS, with 404: nothing by that code
    "NO_YULA_MAIL": (NotSold, "refused"),  # Youla needs a mail address bought before
    "WRONG_EXCEPTION_PHONE": (NotSold, "refused"),
    "WRONG_ADDITIONAL_SERVICE": (NotSold, "refused"),
    "REPEAT_ADDITIONAL_SERVICE": (NotSold, "refused"),
    "UNPROCESSABLE_ENTITY": (NotSold, "refused"),  # HeroSMS, with 422: a parameter it will not read, or no key
    "BAD_ACTION": (NotSold, "refused"),  # the action does not exist there, so it did nothing
    # A backend that failed may have failed after allocating the number.
    "ERROR_SQL": (OutcomeUnknown, "server_error"),
    "SQL_ERROR": (OutcomeUnknown, "server_error"),
    "SERVER_ERROR": (OutcomeUnknown, "server_error"),
    "NO_CONNECTION": (OutcomeUnknown, "server_error"),
    "ORDER_ALREADY_EXISTS": (OutcomeUnknown, "bad_answer"),  # an orderId used twice; we send none
    # About an order that exists: no answer to a purchase.
    "BAD_STATUS": (OutcomeUnknown, "bad_answer"),
    "NO_ACTIVATION": (OutcomeUnknown, "bad_answer"),
    "NO_ACTIVATIONS": (OutcomeUnknown, "bad_answer"),
    "WRONG_ACTIVATION_ID": (OutcomeUnknown, "bad_answer"),
    "INVALID_ACTIVATION_ID": (OutcomeUnknown, "bad_answer"),
    "ACTIVATION_NOT_ACTIVE": (OutcomeUnknown, "bad_answer"),
    "EARLY_CANCEL_DENIED": (OutcomeUnknown, "bad_answer"),
    "CANNOT_BEFORE_2_MIN": (OutcomeUnknown, "bad_answer"),
    "FREE_CANCELLATION_EXPIRED": (OutcomeUnknown, "bad_answer"),
    "OTP_RECEIVED": (OutcomeUnknown, "bad_answer"),
    "NEW_OTP_RECEIVED": (OutcomeUnknown, "bad_answer"),
    "RENEW_ACTIVATION_NOT_AVAILABLE": (OutcomeUnknown, "bad_answer"),
    "NEW_ACTIVATION_IMPOSSIBLE": (OutcomeUnknown, "bad_answer"),
    "SIM_OFFLINE": (OutcomeUnknown, "bad_answer"),
    "WRONG_SECURITY": (OutcomeUnknown, "bad_answer"),
    "NO_CALL": (OutcomeUnknown, "bad_answer"),
    "NOT_INCOMING": (OutcomeUnknown, "bad_answer"),
    "PARSE_COUNT_EXCEED": (OutcomeUnknown, "bad_answer"),
}
STATUS_ERRORS: dict[int, tuple[type[ProviderError], str]] = {
    401: (NotSold, "bad_credentials"),  # Tiger and SMSBower, in bodies of their own
    429: (NotSold, "rate_limited"),  # HeroSMS after about six quick calls; the body may be its proxy's
}
STATUSES = {  # getStatus
    "STATUS_WAIT_CODE": OrderStatus.WAITING,
    "STATUS_WAIT_RETRY": OrderStatus.RECEIVED,  # we asked for another; what follows is the code we already have
    "STATUS_WAIT_RESEND": OrderStatus.WAITING,
    "STATUS_OK": OrderStatus.RECEIVED,
    "STATUS_CANCEL": OrderStatus.REFUNDED,  # cancelled, or its time was over without an SMS
    "ACCESS_CANCEL": OrderStatus.REFUNDED,  # Tiger's word for it
}
WAIT_NEXT = "3"
LISTED_STATES = {  # getActiveActivations; whether an SMS came is read from the row, not from its state
    "1": OrderStatus.WAITING,  # waits for a code
    "2": OrderStatus.WAITING,  # waits to be accepted
    WAIT_NEXT: OrderStatus.RECEIVED,  # waits for the next code; the code in the row is the one before
    "4": OrderStatus.WAITING,  # active
    "6": OrderStatus.FINISHED,
    "7": OrderStatus.REFUNDED,
    "8": OrderStatus.REFUNDED,  # Tiger: cancelled
}
UNKNOWN_ORDER = {"NO_ACTIVATION", "WRONG_ACTIVATION_ID", "INVALID_ACTIVATION_ID", "NOT_FOUND"}
CLOSINGS = {  # setStatus 8
    "ACCESS_CANCEL": CloseOutcome.CLOSED,
    "NO_CONTENT": CloseOutcome.CLOSED,
    "EARLY_CANCEL_DENIED": CloseOutcome.TOO_EARLY,
    "CANNOT_BEFORE_2_MIN": CloseOutcome.TOO_EARLY,
    "OTP_RECEIVED": CloseOutcome.HAS_SMS,
    "NEW_OTP_RECEIVED": CloseOutcome.HAS_SMS,
    "WRONG_ACTIVATION_ID": CloseOutcome.NOT_FOUND,
    "INVALID_ACTIVATION_ID": CloseOutcome.NOT_FOUND,
    "NOT_FOUND": CloseOutcome.NOT_FOUND,
}
# Said of orders that ended one way or the other (a second cancel gets one of them), and by DaisySMS (ACCESS_READY) of
# any cancel it refuses: the order itself has to tell.
LOOK_AGAIN = {"BAD_STATUS", "NO_ACTIVATION", "ACTIVATION_NOT_ACTIVE", "FREE_CANCELLATION_EXPIRED", "ACCESS_READY"}
NOT_OFFERED = {name for name, (_, reason) in ERRORS.items() if reason == "not_offered"}
# How a cancel that was neither granted nor plainly refused turns out to stand.
CLOSED_AS = {
    OrderStatus.REFUNDED: CloseOutcome.ALREADY_CLOSED,
    OrderStatus.RECEIVED: CloseOutcome.HAS_SMS,
    OrderStatus.FINISHED: CloseOutcome.HAS_SMS,
    OrderStatus.WAITING: CloseOutcome.TOO_EARLY,  # refused although nothing came: the first two minutes
}

CURRENCIES = {"643": "RUB", "840": "USD", "978": "EUR", "156": "CNY", "566": "NGN"}  # ISO 4217 numbers on the wire
CODE = re.compile(r"(?=.*[0-9])[0-9A-Za-z]{2,8}(?:[ -][0-9A-Za-z]{2,8})?")


@dataclass(frozen=True)
class Answer:
    """A text code split at its first colon, or JSON with the name of the error it carries ('' when it carries none)."""

    response: Response
    name: str
    rest: str = ""
    data: object = None

    @property
    def is_success(self) -> bool:
        return 200 <= self.response.status < 300


def parse_answer(response: Response) -> Answer:
    """Split an answer into its leading name and the rest. Raises Malformed for what is neither text nor JSON."""
    text = answers.parse_text(response.body)
    if response.status == 204 and not text:
        return Answer(response, "NO_CONTENT")
    if text.startswith(("{", "[")):
        data = answers.parse_json(text)
        return Answer(response, _error_name(data), data=data)
    name, _, rest = text.partition(":")
    return Answer(response, name, rest)


def _error_name(data: object) -> str:
    """The error in a JSON answer: HeroSMS's `title`, or else `error`, `message` or `msg`, whose sentences become names
    ("Bad service" is BAD_SERVICE). A title is taken as it is: a proxy's own "Not Found" must not pass for the API's."""
    if not isinstance(data, dict) or data.get("status") == "success" or "activationId" in data:
        return ""
    if isinstance(data.get("title"), str):
        return str(data["title"]) or "NAMELESS"
    for key in ("error", "message", "msg"):
        if isinstance(data.get(key), str):
            return re.sub(r"[^A-Z0-9]+", "_", str(data[key]).upper()).strip("_") or "NAMELESS"
    return ""


def find_verdict(answer: Answer) -> tuple[type[ProviderError], str]:
    """What an answer without an order means to a purchase."""
    if answer.response.status >= 500:
        return OutcomeUnknown, "server_error"
    return ERRORS.get(answer.name) or STATUS_ERRORS.get(answer.response.status) or (OutcomeUnknown, "bad_answer")


def known_name(name: str) -> str:
    """The name if it is one of the protocol's; else nothing, for an unknown body may hold anything."""
    return name if name in ERRORS else ""


def parse_retry_after(answer: Answer) -> timedelta | None:
    """HeroSMS tells how many seconds old an activation must be; from now on that is enough in any case."""
    info = answer.data.get("info") if isinstance(answer.data, dict) else None
    seconds = info.get("minActivationTime") if isinstance(info, dict) else None
    if not isinstance(seconds, int) or isinstance(seconds, bool) or not 0 < seconds <= 3600:
        return None
    return timedelta(seconds=seconds)


def parse_status(answer: Answer) -> tuple[OrderStatus, tuple[Sms, ...]]:
    """What getStatus (text) or getStatusV2 (JSON, perhaps nested in `data`) tells. Raises Malformed."""
    if answer.name:
        text = answer.rest if answer.name == "STATUS_OK" else ""
        return STATUSES[answer.name], parse_messages(text, text)
    item = as_object(answer.data, "status")
    if not item.keys() & {"sms", "call", "data"}:
        raise Malformed("status")
    nested = as_object(item.get("data") or {}, "data")  # HeroSMS: the message itself, or once more `sms` and `call`
    parts = [item.get("sms"), item.get("call"), nested.get("sms"), nested.get("call")]
    if not nested.keys() & {"sms", "call"}:
        parts.append(nested)
    found = tuple(sms for part in parts if part for sms in parse_part(as_object(part, "sms")))
    return (OrderStatus.RECEIVED if found else OrderStatus.WAITING), found


def parse_part(part: dict[str, object]) -> tuple[Sms, ...]:
    received_at = answers.parse_at(part.get("date") or part.get("dateTime"))
    messages = parse_messages(part.get("text"), part.get("code"), part.get("phoneFrom") or part.get("from"))
    return tuple(replace(sms, received_at=received_at) for sms in messages)


def parse_messages(text: object, code: object, sender: object = None) -> tuple[Sms, ...]:
    """The one message a status or a row tells of, if any. `code` may be the whole text when no code was found in it."""
    words, figure = parse_words(text), parse_words(code)
    if not words and not figure:
        return ()
    exact = figure if CODE.fullmatch(figure) else None
    return (Sms(text=words or figure, code=exact, sender=parse_words(sender) or None),)


def parse_words(value: object) -> str:
    """Text that some providers write as a bare number; '' for null. Raises Malformed."""
    plain = isinstance(value, int) and not isinstance(value, bool)
    return answers.parse_words(str(value) if plain else value)


def parse_rows(answer: Answer) -> list[object]:
    """getActiveActivations: `activeActivations`, or HeroSMS's `data`, whose `activeActivations` is an object."""
    if answer.name:
        return []  # NO_ACTIVATIONS, the one name that is expected here
    if isinstance(answer.data, list):
        return answer.data
    listing = as_object(answer.data, "activations")
    for rows in (listing.get("data"), listing.get("activeActivations")):
        if isinstance(rows, list):
            return rows
    found = as_object(listing.get("activeActivations"), "activations")
    if not found and listing.get("status") == "success":
        return []  # PHP may write an empty array as an empty object; null is documented nowhere, and proves nothing
    return as_list(found.get("rows"), "rows")
