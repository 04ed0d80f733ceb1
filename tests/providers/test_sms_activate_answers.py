"""Every name of the SMS-Activate protocol, in all the ways providers write it, and the decision it leads to."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from namaskah.providers import sms_activate
from namaskah.providers.base import CloseOutcome, Listing, NotSold, Order, OrderStatus, OutcomeUnknown, ProviderDown
from namaskah.providers.sms_activate import SmsActivate
from namaskah.providers.sms_activate_answers import ERRORS, STATUS_ERRORS

from .conftest import Canned

NUMBER: dict[str, Any] = {
    "activationId": 635468024,
    "phoneNumber": "79584123456",
    "activationCost": 12.5,
    "currency": 840,
    "countryCode": "2",
    "canGetAnotherSms": "1",
    "activationTime": "2022-06-01 17:30:57",
    "activationOperator": "mtt",
}
ROW: dict[str, Any] = {
    "activationId": "635468021",
    "serviceCode": "vk",
    "phoneNumber": "79000381454",
    "activationCost": "12.50",
    "activationStatus": "4",
    "smsCode": "12345",
    "smsText": "Your code is 12345",
    "activationTime": "2022-06-01 16:59:16",
    "countryCode": "2",
    "currency": 840,
}


def number(**changes: Any) -> str:
    return json.dumps({**NUMBER, **changes})


@pytest.fixture
def provider(canned: Canned) -> SmsActivate:
    return SmsActivate("clone", f"{canned.url}/stubs/handler_api.php", "key")


def buy(provider: SmsActivate) -> Order:
    return provider.buy("vk", "2", "any", 20_000_000)


FORMS: dict[str, Callable[[str], tuple[int, str]]] = {
    "text": lambda name: (200, name),
    "text with a value": lambda name: (200, f"{name}:'2026-01-31 12-00-00'"),
    "text and status": lambda name: (400, name),
    "title": lambda name: (409, json.dumps({"title": name, "details": "…", "info": {"min": 0.3}})),
    "error": lambda name: (200, json.dumps({"status": "error", "error": name})),
    "message": lambda name: (200, json.dumps({"status": "error", "message": name})),
    "msg": lambda name: (200, json.dumps({"status": "false", "msg": name})),
    "sentence": lambda name: (200, json.dumps({"error": name.replace("_", " ").capitalize()})),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(("name", "verdict"), ERRORS.items())
def test_each_name_leads_to_its_decision(
    provider: SmsActivate, canned: Canned, name: str, verdict: Any, form: str
) -> None:
    status, body = FORMS[form](name)
    canned.answer(body, status)
    with pytest.raises(verdict[0]) as caught:
        buy(provider)
    assert (caught.type, caught.value.reason) == verdict
    with pytest.raises(ProviderDown) as read:
        provider.balance_micros()
    assert read.value.reason == verdict[1]


def test_the_table_sells_nothing_on_a_guess() -> None:
    assert {kind for kind, _ in ERRORS.values()} == {NotSold, OutcomeUnknown}
    for name in ("ERROR_SQL", "SQL_ERROR", "SERVER_ERROR", "NO_CONNECTION"):
        assert ERRORS[name] == (OutcomeUnknown, "server_error")
    for name in ("NO_ACTIVATION", "BAD_STATUS", "EARLY_CANCEL_DENIED", "ORDER_ALREADY_EXISTS"):
        assert ERRORS[name][0] is OutcomeUnknown
    assert ERRORS["NO_NUMBERS"] == (NotSold, "no_stock")


@pytest.mark.parametrize(
    ("status", "body", "kind", "reason"),
    [
        (401, '{"status":0,"message":"No access","data":[]}', NotSold, "bad_credentials"),
        (401, "<html>", NotSold, "bad_credentials"),
        (429, "<html>slow down</html>", NotSold, "rate_limited"),
        (402, '{"title":"NO_BALANCE","details":"Payment Required"}', NotSold, "no_balance"),
        (422, '{"title":"UNPROCESSABLE_ENTITY","details":"…","info":{"field":"api_key"}}', NotSold, "refused"),
        (200, "WRONG_MAX_PRICE:0.35", NotSold, "price_moved"),
        (200, "BANNED:'2026-01-31 12-00-00'", NotSold, "account_blocked"),
        (500, "NO_NUMBERS", OutcomeUnknown, "server_error"),
        (500, '{"title":"SERVER_ERROR","details":"…"}', OutcomeUnknown, "server_error"),
        (502, "<html>Bad Gateway</html>", OutcomeUnknown, "server_error"),
        (500, "ACCESS_NUMBER:1:79584123456", OutcomeUnknown, "server_error"),
        (400, "ACCESS_NUMBER:1:79584123456", OutcomeUnknown, "bad_answer"),
        (403, "<html>checking your browser</html>", OutcomeUnknown, "bad_answer"),
        (404, '{"title":"Not Found","status":404}', OutcomeUnknown, "bad_answer"),
        (302, "", OutcomeUnknown, "bad_answer"),
        (204, "", OutcomeUnknown, "bad_answer"),
        (200, "", OutcomeUnknown, "bad_answer"),
        (200, "NO_NUMBERS today", OutcomeUnknown, "bad_answer"),
        (200, "no_numbers", OutcomeUnknown, "bad_answer"),
        (200, "A_NEW_WORD", OutcomeUnknown, "bad_answer"),
        (200, "ACCESS_NUMBER", OutcomeUnknown, "bad_answer"),
        (200, "ACCESS_NUMBER:12:", OutcomeUnknown, "bad_answer"),
        (200, "ACCESS_NUMBER::79584123456", OutcomeUnknown, "bad_answer"),
        (200, "ACCESS_NUMBER:12:7958", OutcomeUnknown, "bad_answer"),
        (200, "ACCESS_NUMBER:12:79584123456:9", OutcomeUnknown, "bad_answer"),
        (200, "ACCESS_NUMBER:1 2:79584123456", OutcomeUnknown, "bad_answer"),
        (200, "[]", OutcomeUnknown, "bad_answer"),
        (200, "{}", OutcomeUnknown, "bad_answer"),
        (200, '{"activationId": 1, "phon', OutcomeUnknown, "bad_answer"),
        (200, b"\xff\xfe", OutcomeUnknown, "bad_answer"),
        (200, '{"data":' * 50_000, OutcomeUnknown, "bad_answer"),
        (200, "x" * 300_000, OutcomeUnknown, "bad_answer"),
    ],
)
def test_other_answers_to_a_purchase(
    provider: SmsActivate, canned: Canned, status: int, body: Any, kind: Any, reason: str
) -> None:
    canned.answer(body, status)
    with pytest.raises(kind) as caught:
        buy(provider)
    assert caught.value.reason == reason
    assert len(canned.asked) == 1


@pytest.mark.parametrize(
    "changes",
    [
        {"activationId": None},
        {"activationId": ""},
        {"activationId": 0},
        {"activationId": [1]},
        {"activationId": "1&action=x"},
        {"phoneNumber": None},
        {"phoneNumber": "0123456789"},
        {"phoneNumber": "1234"},
        {"phoneNumber": 1.5},
        {"activationCost": -0.1},
        {"activationCost": "much"},
        {"activationCost": float("nan")},
        {"activationCost": "Infinity"},
        {"activationCost": {}},
        {"activationCost": True},
        {"activationOperator": 1},
    ],
)
def test_a_number_that_breaks_its_contract_is_in_doubt(provider: SmsActivate, canned: Canned, changes: Any) -> None:
    canned.answer(number(**changes))
    with pytest.raises(OutcomeUnknown) as caught:
        buy(provider)
    assert caught.value.reason == "bad_answer"


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    status=st.sampled_from([200, 201, 302, 400, 401, 403, 404, 409, 429, 500, 503]),
    body=st.binary(max_size=200)
    | st.builds(lambda name, tail: f"{name}{tail}".encode(), st.sampled_from(sorted(ERRORS)), st.text(max_size=5)),
)
def test_no_bytes_break_a_purchase_or_pass_for_a_refusal(
    provider: SmsActivate, canned: Canned, status: int, body: bytes
) -> None:
    canned.answer(body, status)
    try:
        bought = buy(provider)
    except NotSold as refusal:
        name = body.decode().strip("\ufeff").strip().partition(":")[0] if status not in STATUS_ERRORS else ""
        assert status in STATUS_ERRORS or ERRORS[name] == (NotSold, refusal.reason)
    except OutcomeUnknown:
        pass
    else:
        assert bought.provider_ref.encode() in body


def test_a_purchase_reads_number_cost_and_window(provider: SmsActivate, canned: Canned) -> None:
    canned.answer(number())
    bought = buy(provider)
    assert (bought.provider_ref, bought.phone, bought.service, bought.country) == (
        "635468024",
        "+79584123456",
        "vk",
        "2",
    )
    assert (bought.operator, bought.cost_micros, bought.status) == ("mtt", 12_500_000, OrderStatus.WAITING)
    assert (bought.created_at, bought.expires_at) == (None, None), "there is no clock here that both of us go by"
    assert bought.window is None, "the contract's"
    path, query, _ = canned.asked[0]
    assert path == "/stubs/handler_api.php"
    assert query == {"api_key": "key", "action": "getNumberV2", "service": "vk", "country": "2", "maxPrice": "20"}


def test_a_pinned_operator_is_passed_on(provider: SmsActivate, canned: Canned) -> None:
    canned.answer(number())
    provider.buy("vk", "2", "mts,tele2", 150_000)
    assert canned.asked[0][1]["operator"] == "mts,tele2"
    assert canned.asked[0][1]["maxPrice"] == "0.15"


@pytest.mark.parametrize(
    ("start", "end", "minutes"),
    [
        ("2022-06-01 17:30:57", "2022-06-01 17:55:57", 25),  # some zone or other: only the distance counts
        ("2022-06-01 17:30:57", "2022-06-01 17:30:57", 0),
        ("2022-06-01 17:30:57", "soon", None),
    ],
)
def test_the_window_never_depends_on_an_unnamed_zone(
    provider: SmsActivate, canned: Canned, start: str, end: str, minutes: int | None
) -> None:
    canned.answer(number(activationTime=start, activationEndTime=end))
    bought = buy(provider)
    assert bought.expires_at is None
    assert bought.window == (None if minutes is None else timedelta(minutes=minutes))


def test_an_end_that_names_its_zone_is_taken_as_it_is(provider: SmsActivate, canned: Canned) -> None:
    end = datetime.now(UTC).replace(microsecond=0) + timedelta(minutes=33)
    canned.answer(number(activationTime="2022-06-01T00:00:00+00:00", activationEndTime=end.isoformat()))
    assert buy(provider).expires_at == end


def test_a_provider_without_v2_is_asked_the_old_way_from_then_on(provider: SmsActivate, canned: Canned) -> None:
    canned.answer("BAD_ACTION", to="getNumberV2")
    canned.answer("ACCESS_NUMBER:635468024:79584123456", to="getNumber", X_Price="0.20")
    assert (buy(provider).provider_ref, buy(provider).cost_micros) == ("635468024", 200_000)
    assert [query["action"] for _, query, _ in canned.asked] == ["getNumberV2", "getNumber", "getNumber"]


def test_the_old_way_tells_no_cost(provider: SmsActivate, canned: Canned) -> None:
    canned.answer("ACCESS_NUMBER:635468024:79584123456")
    bought = buy(provider)
    assert (bought.phone, bought.cost_micros, bought.operator) == ("+79584123456", None, "any")


@pytest.mark.parametrize("body", ["NO_NUMBERS", "ERROR_SQL", "", "<html>"])
def test_the_old_way_is_not_tried_after_any_other_answer(provider: SmsActivate, canned: Canned, body: str) -> None:
    canned.answer(body)
    with pytest.raises((NotSold, OutcomeUnknown)):
        buy(provider)
    assert len(canned.asked) == 1


def test_a_cost_in_another_currency_is_no_cost(provider: SmsActivate, canned: Canned) -> None:
    canned.answer(number(currency=643))
    assert buy(provider).cost_micros is None
    canned.answer(number(currency="USD", activationCost="0.20"))
    assert buy(provider).cost_micros == 200_000


STATES = [
    ("STATUS_WAIT_CODE", OrderStatus.WAITING, None, None),
    ("STATUS_WAIT_RETRY:11111", OrderStatus.RECEIVED, None, None),
    ("STATUS_WAIT_RETRY", OrderStatus.RECEIVED, None, None),
    ("STATUS_WAIT_RESEND", OrderStatus.WAITING, None, None),
    ("STATUS_OK:12345", OrderStatus.RECEIVED, "12345", "12345"),
    ("STATUS_OK:012-345", OrderStatus.RECEIVED, "012-345", "012-345"),
    ("STATUS_OK:Your code: 12345, keep it", OrderStatus.RECEIVED, "Your code: 12345, keep it", None),
    ("STATUS_CANCEL", OrderStatus.REFUNDED, None, None),
    ("ACCESS_CANCEL", OrderStatus.REFUNDED, None, None),
    ('{"verificationType":0,"sms":null,"call":null}', OrderStatus.WAITING, None, None),
    ('{"verificationType":0,"sms":[],"call":[]}', OrderStatus.WAITING, None, None),
    ('{"verificationType":0,"data":null}', OrderStatus.WAITING, None, None),
    ('{"verificationType":0,"sms":{"code":"12345","text":"Code 12345"}}', OrderStatus.RECEIVED, "Code 12345", "12345"),
    ('{"verificationType":0,"sms":{"code":12345,"text":""}}', OrderStatus.RECEIVED, "12345", "12345"),
    ('{"verificationType":0,"data":{"code":"12345","text":"Hi"}}', OrderStatus.RECEIVED, "Hi", "12345"),
    ('{"verificationType":0,"data":{"sms":{"code":"1234","text":"Hi"}}}', OrderStatus.RECEIVED, "Hi", "1234"),
    (
        '{"verificationType":1,"sms":null,"call":{"from":"7495","code":"9876","text":null}}',
        OrderStatus.RECEIVED,
        "9876",
        "9876",
    ),
]


@pytest.mark.parametrize(("body", "status", "text", "code"), STATES)
def test_each_status_has_its_meaning(
    provider: SmsActivate, canned: Canned, body: str, status: OrderStatus, text: str | None, code: str | None
) -> None:
    canned.answer(body)
    found = provider.get_order("7")
    assert found is not None
    assert (found.provider_ref, found.status) == ("7", status)
    assert [(sms.text, sms.code) for sms in found.messages] == ([(text, code)] if text else [])


def test_status_v2_that_is_missing_or_silent_on_closed_orders_falls_back(provider: SmsActivate, canned: Canned) -> None:
    canned.answer('{"title":"ACTIVATION_NOT_ACTIVE","details":"…"}', 409, to="getStatusV2")
    canned.answer("STATUS_CANCEL", to="getStatus")
    for _ in range(2):
        found = provider.get_order("7")
        assert found is not None
        assert found.status is OrderStatus.REFUNDED
    canned.answer("BAD_ACTION", to="getStatusV2")
    provider.get_order("7")
    canned.asked.clear()
    provider.get_order("7")
    assert [query["action"] for _, query, _ in canned.asked] == ["getStatus"]


@pytest.mark.parametrize("body", ["NO_ACTIVATION", "WRONG_ACTIVATION_ID", "INVALID_ACTIVATION_ID", "NOT_FOUND"])
def test_an_unknown_order_is_none(provider: SmsActivate, canned: Canned, body: str) -> None:
    canned.answer(body)
    assert provider.get_order("7") is None
    assert provider.cancel("7").outcome is CloseOutcome.NOT_FOUND
    assert provider.ask_again("7") is False


@pytest.mark.parametrize("body", ["", "WHAT", "<html>", "{}", "[]", '{"sms": 1}', '{"sms":{"text":[]}}', "BAD_STATUS"])
def test_a_status_that_makes_no_sense_is_no_status(provider: SmsActivate, canned: Canned, body: str) -> None:
    canned.answer(body)
    with pytest.raises(ProviderDown):
        provider.get_order("7")


CLOSINGS = [
    (200, "ACCESS_CANCEL", CloseOutcome.CLOSED),
    (204, "", CloseOutcome.CLOSED),
    (200, "EARLY_CANCEL_DENIED", CloseOutcome.TOO_EARLY),
    (200, "CANNOT_BEFORE_2_MIN", CloseOutcome.TOO_EARLY),
    (409, '{"title":"OTP_RECEIVED","details":"…"}', CloseOutcome.HAS_SMS),
    (409, '{"title":"NEW_OTP_RECEIVED","details":"…"}', CloseOutcome.HAS_SMS),
    (404, '{"title":"NOT_FOUND","details":"…"}', CloseOutcome.NOT_FOUND),
]


@pytest.mark.parametrize(("status", "body", "outcome"), CLOSINGS)
def test_each_answer_to_a_cancel_has_its_outcome(
    provider: SmsActivate, canned: Canned, status: int, body: str, outcome: CloseOutcome
) -> None:
    canned.answer(body, status)
    assert provider.cancel("7").outcome is outcome
    assert provider.ban("7").outcome is outcome
    assert {query["status"] for _, query, _ in canned.asked} == {"8"}


@pytest.mark.parametrize(
    "body", ["BAD_STATUS", "NO_ACTIVATION", "ACTIVATION_NOT_ACTIVE", "FREE_CANCELLATION_EXPIRED", "ACCESS_READY"]
)
@pytest.mark.parametrize(
    ("state", "outcome"),
    [
        ("STATUS_CANCEL", CloseOutcome.ALREADY_CLOSED),
        ("STATUS_OK:123", CloseOutcome.HAS_SMS),
        ("STATUS_WAIT_CODE", CloseOutcome.TOO_EARLY),
        ("NO_ACTIVATION", CloseOutcome.NOT_FOUND),
    ],
)
def test_an_unclear_cancel_is_settled_by_the_order_itself(
    provider: SmsActivate, canned: Canned, body: str, state: str, outcome: CloseOutcome
) -> None:
    canned.answer(state)
    canned.answer(body, to="setStatus")
    assert provider.cancel("7").outcome is outcome


@pytest.mark.parametrize(
    ("seconds", "known"), [(120, True), (0, False), ("120", False), (99_999, False), (True, False)]
)
def test_a_named_cancel_lock_gives_the_time_to_come_back(
    provider: SmsActivate, canned: Canned, seconds: Any, known: bool
) -> None:
    canned.answer(json.dumps({"title": "EARLY_CANCEL_DENIED", "info": {"minActivationTime": seconds}}), 409)
    assert provider.cancel("7").retry_after == (timedelta(seconds=seconds) if known else None)


@pytest.mark.parametrize(
    ("body", "granted"),
    [
        ("ACCESS_RETRY_GET", True),
        ('{"title":"NEW_OTP_RECEIVED"}', True),
        ("BAD_STATUS", False),
        ("NO_ACTIVATION", False),
        ("ACTIVATION_NOT_ACTIVE", False),
    ],
)
def test_asking_again_is_granted_or_not(provider: SmsActivate, canned: Canned, body: str, granted: bool) -> None:
    canned.answer(body)
    assert provider.ask_again("7") is granted
    assert canned.asked[0][1]["status"] == "3"


@pytest.mark.parametrize(
    ("status", "granted"),
    [
        ("STATUS_WAIT_RETRY:482913", True),
        ("STATUS_WAIT_CODE", False),
        ("STATUS_OK:482913", False),
        ("STATUS_CANCEL", False),
        ("NO_ACTIVATION", False),
    ],
)
def test_asking_again_a_second_time_is_granted_as_the_first_was(
    provider: SmsActivate, canned: Canned, status: str, granted: bool
) -> None:
    canned.answer("BAD_STATUS", to="setStatus")
    canned.answer(status, to="getStatus")
    assert provider.ask_again("7") is granted
    assert [call[1]["action"] for call in canned.asked] == ["setStatus", "getStatus"]


@pytest.mark.parametrize("body", ["ACCESS_ACTIVATION", "BAD_STATUS", "NO_ACTIVATION", "ACTIVATION_NOT_ACTIVE"])
def test_finishing_twice_is_fine(provider: SmsActivate, canned: Canned, body: str) -> None:
    canned.answer(body)
    provider.finish("7")
    assert canned.asked[0][1]["status"] == "6"


@pytest.mark.parametrize("body", ["{}", "[]", "", "WHAT", "BAD_ACTION", "ERROR_SQL", "BAD_KEY"])
def test_no_verb_takes_nonsense_for_a_yes(provider: SmsActivate, canned: Canned, body: str) -> None:
    canned.answer(body)
    for verb in (provider.cancel, provider.ask_again, provider.finish):
        for _ in range(2):
            with pytest.raises(ProviderDown):
                verb("7")


RELIC = {"affected_rows": 0, "num_rows": 0, "row": [], "rows": []}
LISTS: dict[str, Callable[[list[Any]], Any]] = {
    "classic": lambda rows: {"status": "success", "activeActivations": rows},
    "hero": lambda rows: {"status": "success", "data": rows, "activeActivations": RELIC},
    "rows": lambda rows: {"status": "success", "activeActivations": {**RELIC, "rows": rows}},
    "bare": lambda rows: rows,
}


@pytest.mark.parametrize("shape", LISTS)
def test_open_orders_are_listed_in_every_shape(provider: SmsActivate, canned: Canned, shape: str) -> None:
    rows = [ROW, {**ROW, "activationId": 2, "activationStatus": 3, "countryCode": 2, "activationCost": 0.1}]
    canned.answer(json.dumps(LISTS[shape](rows)))
    first, second = provider.list_orders().orders
    assert first.provider_ref == "635468021"
    assert (first.phone, first.service, first.country, first.cost_micros) == ("+79000381454", "vk", "2", 12_500_000)
    assert (first.status, first.created_at, first.expires_at) == (OrderStatus.RECEIVED, None, None)
    assert [(sms.text, sms.code) for sms in first.messages] == [("Your code is 12345", "12345")]
    assert (second.provider_ref, second.status, second.messages, second.cost_micros) == (
        "2",
        OrderStatus.RECEIVED,
        (),  # waits for the next code: the one in the row is the one before
        100_000,
    )


@pytest.mark.parametrize(
    "body",
    [
        "NO_ACTIVATIONS",
        '{"status":"error","error":"NO_ACTIVATIONS"}',
        "[]",
        '{"status":"success","activeActivations":[]}',
        '{"status":"success","activeActivations":{}}',  # PHP's empty array, as the price lists have it, too
    ],
)
def test_no_open_orders_is_an_empty_list(provider: SmsActivate, canned: Canned, body: str) -> None:
    canned.answer(body)
    assert provider.list_orders() == Listing()


@pytest.mark.parametrize(
    ("state", "status"),
    [("1", OrderStatus.WAITING), ("2", OrderStatus.WAITING), ("4", OrderStatus.WAITING), ("6", OrderStatus.FINISHED),
     ("7", OrderStatus.REFUNDED), ("8", OrderStatus.REFUNDED)],
)  # fmt: skip
def test_each_listed_state_has_its_meaning(
    provider: SmsActivate, canned: Canned, state: str, status: OrderStatus
) -> None:
    canned.answer(json.dumps([{**ROW, "activationStatus": state, "smsCode": None, "smsText": None}]))
    assert provider.list_orders().orders[0].status is status


@pytest.mark.parametrize(
    "changes", [{"activationStatus": "99"}, {"phoneNumber": ""}, {"serviceCode": None}, {"activationId": {}}]
)
def test_one_row_that_cannot_be_read_costs_that_row_alone(
    provider: SmsActivate, canned: Canned, changes: Any, caplog: pytest.LogCaptureFixture
) -> None:
    canned.answer(json.dumps([ROW, {**ROW, "activationId": 7, **changes}, 5, {**ROW, "activationId": 8}]))
    for _time in range(2):
        listing = provider.list_orders()
        assert ([o.provider_ref for o in listing.orders], listing.is_whole) == (["635468021", "8"], False)
    assert [record.levelname for record in caplog.records] == ["ERROR", "ERROR"], "each of the two once"
    assert ROW["phoneNumber"] not in caplog.text


@pytest.mark.parametrize(
    "body",
    [
        '{"status":"success"}',
        '{"data":1}',
        "5",
        "{}",
        '{"activeActivations":{}}',
        '{"status":"success","activeActivations":null}',
        '{"status":"success","activeActivations":{"row":[]}}',
        "",
        "<html>",
        '"x"',
    ],
)
def test_a_list_that_is_none_is_no_list(provider: SmsActivate, canned: Canned, body: str) -> None:
    canned.answer(body)
    with pytest.raises(ProviderDown, match="bad_answer"):
        provider.list_orders()


def pages_of(canned: Canned, monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    """So many open activations, told page by page as `start` and `limit` say."""
    rows = [{**ROW, "activationId": n} for n in range(1, count + 1)]

    def find(_target: str) -> tuple[int, bytes, dict[str, str]]:
        start, limit = (int(canned.asked[-1][1][name]) for name in ("start", "limit"))
        return 200, json.dumps(rows[start : start + limit]).encode(), {}

    monkeypatch.setattr(canned, "find", find)


@pytest.mark.parametrize(
    ("count", "starts"), [(99, ["0"]), (100, ["0", "99"]), (430, ["0", "99", "198", "297", "396"])]
)
def test_the_list_is_read_until_a_page_is_not_full(
    provider: SmsActivate, canned: Canned, monkeypatch: pytest.MonkeyPatch, count: int, starts: list[str]
) -> None:
    pages_of(canned, monkeypatch, count)
    pauses: list[int] = []
    listing = provider.list_orders(lambda: pauses.append(len(canned.asked)))
    assert (len(listing.orders), listing.is_whole) == (count, True)
    assert [query["start"] for _, query, _ in canned.asked] == starts
    assert pauses == list(range(1, len(starts))), "a pause before each page but the first"


@pytest.mark.parametrize(
    ("ended", "bought", "is_whole"),
    [
        ([5], [], False),
        ([5, 6], [], False),
        (list(range(1, 60)), [], False),
        ([110], [], True),  # behind our place: nothing moves past it
        ([], [900], True),
        ([5], [900], True),
    ],
)
def test_orders_that_end_between_two_pages_make_the_list_prove_nothing(
    provider: SmsActivate,
    canned: Canned,
    monkeypatch: pytest.MonkeyPatch,
    ended: list[int],
    bought: list[int],
    is_whole: bool,
) -> None:
    """What stood behind our place moves forward, and may be in neither page."""
    open_now = list(range(1, 131))

    def find(_target: str) -> tuple[int, bytes, dict[str, str]]:
        start, limit = (int(canned.asked[-1][1][name]) for name in ("start", "limit"))
        rows = [{**ROW, "activationId": n} for n in open_now[start : start + limit]]
        return 200, json.dumps(rows).encode(), {}

    def meanwhile() -> None:
        open_now[:] = bought + [n for n in open_now if n not in ended]

    monkeypatch.setattr(canned, "find", find)
    listing = provider.list_orders(meanwhile)
    listed = {int(order.provider_ref) for order in listing.orders}
    assert listing.is_whole is is_whole
    assert not is_whole or listed >= set(open_now) - set(bought)


def test_a_list_without_an_end_is_cut_and_says_so_once(
    provider: SmsActivate, canned: Canned, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    pages_of(canned, monkeypatch, 2_500)
    for _time in range(2):
        listing = provider.list_orders()
        assert (len(listing.orders), listing.is_whole) == (1_981, False)
    assert [record.getMessage() for record in caplog.records] == [
        "the list of clone goes on behind the 1981 orders we read"
    ]


@pytest.mark.parametrize(("count", "is_whole"), [(100, False), (150, True)])
def test_a_provider_that_gives_the_same_page_again_is_not_asked_for_ever(
    provider: SmsActivate, canned: Canned, count: int, is_whole: bool
) -> None:
    """More than were asked for are all there are; exactly as many may be the first of more."""
    canned.answer(json.dumps([{**ROW, "activationId": n} for n in range(1, count + 1)]))
    listing = provider.list_orders()
    assert (len(listing.orders), listing.is_whole) == (count, is_whole)
    assert len(canned.asked) <= 2


OFFER = {"cost": 0.25, "count": 12, "physicalCount": 9}
PRICES = {
    "country first": {"187": {"tg": OFFER, "wa": OFFER}, "2": {"tg": OFFER}, "": {"tg": OFFER}},
    "service first": {"tg": {"187": OFFER, "2": OFFER}, "wa": {"187": OFFER}},
    "strings": {"187": {"tg": {"cost": "0.25", "count": "12"}}},
    "in data": {"status": "success", "data": {"187": {"tg": OFFER}}},
    "wrapped": [{"187": {"tg": OFFER}}, []],
    "by place": [{}] * 187 + [{"tg": OFFER}],
    "price map": {"187": {"tg": {"0.25": 5, "0.30": "7", "0.1": 0}}},
    "with a bad one": {"187": {"tg": OFFER, "vk": {"cost": "NaN", "count": 1}, "ig": 5}, "16": []},
}


@pytest.mark.parametrize("shape", PRICES)
@pytest.mark.parametrize("whole", [True, False], ids=["whole list", "per service"])
def test_prices_are_read_in_every_shape(
    provider: SmsActivate, canned: Canned, shape: str, whole: bool, monkeypatch: Any
) -> None:
    if whole:
        monkeypatch.setattr(sms_activate, "ONE_BY_ONE", 0)
    canned.answer(json.dumps(PRICES[shape]))
    (quote,) = provider.quotes(["tg"], ["187"])
    assert (quote.service, quote.country, quote.operator) == ("tg", "187", "any")
    assert (quote.cost_micros, quote.stock, quote.rate) == (250_000, 12, None)
    assert canned.asked[0][1].get("service") == (None if whole else "tg")


@pytest.mark.parametrize(
    "body",
    ["[]", "{}", '{"status":"false","msg":"service is incorrect"}', '{"error":"Bad service"}', "BAD_SERVICE",
     '{"187":{"tg":{"cost":1,"count":0}}}', '{"187":[]}'],
)  # fmt: skip
def test_nothing_on_sale_is_no_quote(provider: SmsActivate, canned: Canned, body: str) -> None:
    canned.answer(body)
    assert provider.quotes(["tg"], ["187"]) == []


@pytest.mark.parametrize("body", ["", "WHAT", "<html>", '{"187":5}', "[[1]]", "ERROR_SQL"])
def test_a_price_list_that_is_none_is_no_list(provider: SmsActivate, canned: Canned, body: str) -> None:
    canned.answer(body)
    with pytest.raises(ProviderDown):
        provider.quotes(["tg"], ["187"])


@pytest.mark.parametrize(("body", "micros"), [
    ("ACCESS_BALANCE:12.34", 12_340_000),
    ("ACCESS_BALANCE:0", 0),
    ("ACCESS_BALANCE:25000000.01", 25_000_000_010_000),  # an account in roubles
    ("ACCESS_BALANCE:-0.5", -500_000),
])  # fmt: skip
def test_the_balance_is_exact(provider: SmsActivate, canned: Canned, body: str, micros: int) -> None:
    canned.answer(body)
    assert provider.balance_micros() == micros


@pytest.mark.parametrize(
    "body", ["ACCESS_BALANCE", "ACCESS_BALANCE:", "ACCESS_BALANCE:NaN", "ACCESS_BALANCE:1e13", "12", "{}"]
)
def test_a_balance_that_is_no_amount_is_none(provider: SmsActivate, canned: Canned, body: str) -> None:
    canned.answer(body)
    with pytest.raises(ProviderDown):
        provider.balance_micros()


def test_an_unreachable_provider_sold_nothing_and_its_key_stays_ours(closed_url: str) -> None:
    provider = SmsActivate("clone", closed_url, "hush")
    with pytest.raises(NotSold, match="unreachable") as caught:
        buy(provider)
    assert "hush" not in repr(caught.value)
    with pytest.raises(ProviderDown, match="unreachable"):
        provider.list_orders()
