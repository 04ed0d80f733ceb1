"""Every answer 5sim's contract knows, and the decision it leads to."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from namaskah.providers import fivesim
from namaskah.providers.base import CloseOutcome, Listing, NotSold, Order, OrderStatus, OutcomeUnknown, ProviderDown
from namaskah.providers.fivesim import ERRORS, FiveSim

from .conftest import Canned

NOW = datetime.now(UTC).replace(microsecond=0)
ORDER: dict[str, Any] = {
    "id": 11631253,
    "phone": "+447900038145",
    "operator": "vodafone",
    "product": "telegram",
    "price": 0.21,
    "status": "PENDING",
    "expires": "2026-01-13T08:28:38.809469028Z",
    "sms": None,
    "created_at": "2026-01-13T08:13:38.809469028Z",
    "forwarding": False,
    "forwarding_number": "",
    "country": "england",
}
SMS = {
    "created_at": "2026-01-13T08:14:00Z",
    "date": "2026-01-13T08:13:59Z",
    "sender": "Telegram",
    "text": "Code 415127",
}


def order(**changes: Any) -> str:
    return json.dumps({**ORDER, **changes})


@pytest.fixture
def provider(canned: Canned) -> FiveSim:
    return FiveSim("token", canned.url)


def buy(provider: FiveSim) -> Order:
    return provider.buy("telegram", "england", "any", 250_000)


@pytest.mark.parametrize("status", [200, 400])
@pytest.mark.parametrize(("phrase", "verdict"), ERRORS.items())
def test_each_phrase_leads_to_its_decision(
    provider: FiveSim, canned: Canned, phrase: str, verdict: Any, status: int
) -> None:
    canned.answer(phrase, status)
    with pytest.raises(verdict[0]) as caught:
        buy(provider)
    assert (caught.type, caught.value.reason) == verdict
    with pytest.raises(ProviderDown) as read:
        provider.balance_micros()
    assert read.value.reason == verdict[1]


def test_the_table_sells_nothing_on_a_guess() -> None:
    assert {kind for kind, _ in ERRORS.values()} == {NotSold, OutcomeUnknown}
    assert ERRORS["no free phones"] == (NotSold, "no_stock")
    assert ERRORS["internal error"] == (OutcomeUnknown, "server_error")
    assert ERRORS["order not found"][0] is OutcomeUnknown


@pytest.mark.parametrize(
    ("status", "body", "headers", "kind", "reason"),
    [
        (401, "", {}, NotSold, "bad_credentials"),
        (429, "slow down", {}, NotSold, "rate_limited"),
        (503, "ip address limit is 100 requests per second", {}, NotSold, "rate_limited"),
        (302, "<html>", {"Location": "https://5sim.net/404.html"}, NotSold, "not_offered"),
        (302, "<html>", {"Location": "https://5sim.net/login"}, OutcomeUnknown, "bad_answer"),
        (500, "internal error", {}, OutcomeUnknown, "server_error"),
        (500, "no free phones", {}, OutcomeUnknown, "server_error"),
        (502, "<html>Bad Gateway</html>", {}, OutcomeUnknown, "server_error"),
        (403, "<html>checking your browser</html>", {}, OutcomeUnknown, "bad_answer"),
        (200, "<html>hello</html>", {}, OutcomeUnknown, "bad_answer"),
        (200, "", {}, OutcomeUnknown, "bad_answer"),
        (200, "null", {}, OutcomeUnknown, "bad_answer"),
        (200, "[]", {}, OutcomeUnknown, "bad_answer"),
        (200, '{"id": 1, "pho', {}, OutcomeUnknown, "bad_answer"),
        (200, '{"status":404,"message":"blocked"}', {}, OutcomeUnknown, "bad_answer"),
        (404, '{"status":404}', {}, OutcomeUnknown, "bad_answer"),
        (200, "[" * 100_000, {}, OutcomeUnknown, "bad_answer"),
        (200, '{"id":' * 50_000, {}, OutcomeUnknown, "bad_answer"),
        (200, b"\xff\xfe\x00", {}, OutcomeUnknown, "bad_answer"),
        (200, "no free phones, sorry", {}, OutcomeUnknown, "bad_answer"),
        (200, "{" + " " * 300_000 + "}", {}, OutcomeUnknown, "bad_answer"),
    ],
)
def test_other_answers_to_a_purchase(
    provider: FiveSim, canned: Canned, status: int, body: Any, headers: Any, kind: Any, reason: str
) -> None:
    canned.answer(body, status, **headers)
    with pytest.raises(kind) as caught:
        buy(provider)
    assert caught.value.reason == reason
    assert len(canned.asked) == 1


@pytest.mark.parametrize(
    "changes",
    [
        {"id": None},
        {"id": 0},
        {"id": ""},
        {"id": True},
        {"id": "../profile"},
        {"phone": ""},
        {"phone": "+0123456789"},
        {"phone": "++447900038145"},
        {"phone": "12345"},
        {"phone": "1" * 16},
        {"phone": "+44 7900"},
        {"phone": "٤٤٧٩٠٠٠٣٨١٤"},
        {"price": -1},
        {"price": "0.21"},
        {"price": None},
        {"price": float("nan")},
        {"price": float("inf")},
        {"price": True},
        {"price": 1e300},
        {"status": "SOLD"},
        {"status": None},
        {"product": None},
        {"country": 1},
        {"sms": "none"},
        {"sms": [1]},
        {"sms": [{"text": 1}]},
    ],
)
def test_an_order_that_breaks_its_contract_is_in_doubt(provider: FiveSim, canned: Canned, changes: Any) -> None:
    canned.answer(order(**changes))
    with pytest.raises(OutcomeUnknown) as caught:
        buy(provider)
    assert caught.value.reason == "bad_answer"
    with pytest.raises(ProviderDown) as read:
        provider.get_order("1")
    assert read.value.reason == "bad_answer"


@pytest.mark.filterwarnings("ignore")
@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(status=st.sampled_from([200, 201, 302, 400, 401, 403, 404, 429, 500, 503]), body=st.binary(max_size=200))
def test_no_bytes_break_a_purchase_or_pass_for_a_refusal(
    provider: FiveSim, canned: Canned, status: int, body: bytes
) -> None:
    canned.answer(body, status)
    try:
        bought = buy(provider)
    except NotSold as refusal:
        text = body.decode(errors="replace").strip().lower()
        assert text in ERRORS or status in fivesim.STATUS_ERRORS, refusal
    except OutcomeUnknown:
        pass
    else:
        assert json.loads(body)["id"] == int(bought.provider_ref)


def test_a_purchase_reads_the_whole_order(provider: FiveSim, canned: Canned) -> None:
    canned.answer(order())
    bought = buy(provider)
    assert bought == Order(
        provider_ref="11631253",
        phone="+447900038145",
        service="telegram",
        country="england",
        operator="vodafone",
        cost_micros=210_000,
        created_at=datetime(2026, 1, 13, 8, 13, 38, 809469, tzinfo=UTC),
        expires_at=datetime(2026, 1, 13, 8, 28, 38, 809469, tzinfo=UTC),
    )
    path, query, headers = canned.asked[0]
    assert (path, query) == ("/user/buy/activation/england/any/telegram", {"maxPrice": "0.25"})
    assert headers["authorization"] == "Bearer token"


def test_a_pinned_operator_gets_no_cap_and_answers_with_its_price(provider: FiveSim, canned: Canned) -> None:
    canned.answer(order(price=0.9, phone=447900038145))
    bought = provider.buy("tele/gram", "england", "vodafone", 250_000)
    assert (bought.cost_micros, bought.phone) == (900_000, "+447900038145")
    assert canned.asked[0][:2] == ("/user/buy/activation/england/vodafone/tele%2Fgram", {})


def test_missing_or_zero_moments_are_none(provider: FiveSim, canned: Canned) -> None:
    canned.answer(order(expires="0001-01-01T00:00:00Z", created_at="yesterday"))
    bought = buy(provider)
    assert (bought.created_at, bought.expires_at) == (None, None)


@pytest.mark.parametrize(
    ("told", "sms", "status"),
    [
        ("PENDING", None, OrderStatus.WAITING),
        ("RECEIVED", [], OrderStatus.WAITING),
        ("RECEIVED", [{**SMS, "code": "415127"}], OrderStatus.RECEIVED),
        ("FINISHED", [{**SMS, "code": "415127"}], OrderStatus.FINISHED),
        ("CANCELED", [], OrderStatus.REFUNDED),
        ("BANNED", [], OrderStatus.REFUNDED),
        ("TIMEOUT", [], OrderStatus.REFUNDED),
    ],
)
def test_each_status_has_its_meaning(
    provider: FiveSim, canned: Canned, told: str, sms: Any, status: OrderStatus
) -> None:
    canned.answer(order(status=told, sms=sms))
    found = provider.get_order("11631253")
    assert found is not None
    assert found.status is status
    assert provider.ask_again("11631253") is (status in (OrderStatus.WAITING, OrderStatus.RECEIVED))


def test_messages_keep_their_order_and_only_storable_text(provider: FiveSim, canned: Canned) -> None:
    second = {**SMS, "text": "a\x00b\ud800c", "code": "", "sender": None}
    canned.answer(order(status="RECEIVED", sms=[{**SMS, "code": "415127", "id": 7}, second]))
    found = provider.get_order("1")
    assert found is not None
    first, other = found.messages
    assert (first.text, first.code, first.sender, first.provider_id) == ("Code 415127", "415127", "Telegram", "7")
    assert first.received_at == datetime(2026, 1, 13, 8, 13, 59, tzinfo=UTC)
    assert (other.text, other.code, other.sender, other.provider_id) == ("ab?c", None, None, None)


@pytest.mark.parametrize("blank", [{"text": "", "code": ""}, {"text": None, "code": None}, {"text": " \x00"}, {}])
def test_a_message_that_says_nothing_is_none(provider: FiveSim, canned: Canned, blank: dict[str, Any]) -> None:
    empty = {"created_at": NOW.isoformat(), "sender": "Telegram", "id": 7, **blank}
    canned.answer(order(status="RECEIVED", sms=[empty]))
    found = provider.get_order("1")
    assert found is not None
    assert (found.status, found.messages) == (OrderStatus.WAITING, ())
    canned.answer(order(status="RECEIVED", sms=[empty, SMS]))
    found = provider.get_order("1")
    assert found is not None
    assert [sms.text for sms in found.messages] == ["Code 415127"]


@pytest.mark.parametrize("phrase", ["order not found", "record not found"])
def test_an_unknown_order_is_none(provider: FiveSim, canned: Canned, phrase: str) -> None:
    canned.answer(phrase, 404)
    assert provider.get_order("1") is None
    assert provider.cancel("1").outcome is CloseOutcome.NOT_FOUND
    assert provider.ask_again("1") is False


@pytest.mark.parametrize(
    ("phrase", "outcome"),
    [
        ("order has sms", CloseOutcome.HAS_SMS),
        ("you need to wait time", CloseOutcome.TOO_EARLY),
        ("CANCEL_NEEDS_TIME", CloseOutcome.TOO_EARLY),
    ],
)
def test_each_refusal_to_close_has_its_outcome(
    provider: FiveSim, canned: Canned, phrase: str, outcome: CloseOutcome
) -> None:
    canned.answer(phrase, 400)
    assert provider.cancel("1").outcome is outcome
    assert provider.ban("1").outcome is outcome


@pytest.mark.parametrize("phrase", ["order expired", "order not found"])
@pytest.mark.parametrize(
    ("status", "outcome"), [("TIMEOUT", CloseOutcome.ALREADY_CLOSED), ("FINISHED", CloseOutcome.HAS_SMS)]
)
def test_a_closed_order_tells_itself_how_it_ended(
    provider: FiveSim, canned: Canned, phrase: str, status: str, outcome: CloseOutcome
) -> None:
    canned.answer(phrase, 400, to="/user/cancel")
    canned.answer(order(status=status), to="/user/check")
    assert provider.cancel("1").outcome is outcome


def test_a_cancel_that_changes_nothing_is_no_success(provider: FiveSim, canned: Canned) -> None:
    canned.answer(order())
    with pytest.raises(ProviderDown):
        provider.cancel("1")
    canned.answer(order(status="CANCELED"))
    assert provider.cancel("1").outcome is CloseOutcome.CLOSED
    canned.answer(order(status="FINISHED", sms=[SMS]))
    assert provider.cancel("1").outcome is CloseOutcome.HAS_SMS


def test_finishing_what_is_finished_is_fine_and_without_sms_is_refused(provider: FiveSim, canned: Canned) -> None:
    canned.answer("order expired", 400)
    provider.finish("1")
    canned.answer("order no sms", 400)
    with pytest.raises(ProviderDown):
        provider.finish("1")


def test_the_list_is_read_as_far_back_as_an_hour(provider: FiveSim, canned: Canned, monkeypatch: Any) -> None:
    recent = [json.loads(order(id=n, created_at=NOW.isoformat())) for n in range(200, 170, -1)]
    old = [json.loads(order(id=n, created_at=(NOW - timedelta(hours=2)).isoformat())) for n in range(170, 150, -1)]
    pages = {"0": recent, "30": old}
    monkeypatch.setattr(
        canned, "find", lambda target: (200, json.dumps({"Data": pages[canned.asked[-1][1]["offset"]]}).encode(), {})
    )
    assert [o.provider_ref for o in provider.list_orders().orders] == [str(n) for n in range(200, 150, -1)]
    assert [query["offset"] for _, query, _ in canned.asked] == ["0", "30"]
    assert canned.asked[0][1] == {
        "category": "activation",
        "limit": "100",
        "offset": "0",
        "order": "id",
        "reverse": "true",
    }


def test_a_busy_hour_is_listed_whole_up_to_a_limit(provider: FiveSim, canned: Canned, monkeypatch: Any) -> None:
    def hour_of(count: int) -> None:
        rows = [json.loads(order(id=n, created_at=NOW.isoformat())) for n in range(count, 0, -1)]

        def find(_target: str) -> tuple[int, bytes, dict[str, str]]:
            offset = int(canned.asked[-1][1]["offset"])
            return 200, json.dumps({"Data": rows[offset : offset + 100]}).encode(), {}

        monkeypatch.setattr(canned, "find", find)

    for count, read, is_whole in ((730, 730, True), (3_100, 3_000, False)):
        hour_of(count)
        listing = provider.list_orders()
        assert (len(listing.orders), listing.is_whole) == (read, is_whole)


@pytest.mark.parametrize("body", ['{"Data": null}', '{"Data": []}'])
def test_an_empty_list_is_empty(provider: FiveSim, canned: Canned, body: str) -> None:
    canned.answer(body)
    assert provider.list_orders() == Listing()


@pytest.mark.parametrize("changes", [{"phone": ""}, {"status": "SOLD"}, {"product": None}, {"id": {}}, {"price": -1}])
def test_one_row_that_cannot_be_read_costs_that_row_alone(
    provider: FiveSim, canned: Canned, changes: Any, caplog: pytest.LogCaptureFixture
) -> None:
    rows = [ORDER, {**ORDER, "id": 7, **changes}, {**ORDER, "id": 8}]
    canned.answer(json.dumps({"Data": rows}))
    for _time in range(2):
        listing = provider.list_orders()
        assert ([o.provider_ref for o in listing.orders], listing.is_whole) == (["11631253", "8"], False)
    [record] = caplog.records
    assert record.levelname == "ERROR"
    assert ORDER["phone"] not in record.getMessage()
    canned.answer(json.dumps({"Data": [ORDER]}))
    assert provider.list_orders().is_whole


@pytest.mark.parametrize("body", ["[]", '{"Data": {"1": {}}}', '{"Data": 1}', "", "<html>"])
def test_a_list_that_cannot_be_trusted_is_no_list(provider: FiveSim, canned: Canned, body: str) -> None:
    canned.answer(body)
    with pytest.raises(ProviderDown) as caught:
        provider.list_orders()
    assert caught.value.reason == "bad_answer"


OPERATORS = {
    "vodafone": {"cost": 0.25, "count": 30, "rate": 90.5},
    "virtual21": {"cost": 0.2, "count": 10, "rate": 50},
    "tele2": {"cost": 0.1, "count": 0, "rate": 99},
    "ee": {"cost": 0.3, "count": 5},
    "bad": {"cost": "free", "count": 5},
}


@pytest.mark.parametrize("whole", [True, False], ids=["whole list", "per service"])
def test_quotes_sum_up_each_country_and_leave_empty_shelves_out(
    provider: FiveSim, canned: Canned, whole: bool, monkeypatch: Any
) -> None:
    shelf = {"england": OPERATORS, "egypt": {"any": {"cost": 1, "count": 0}}, "usa": OPERATORS}
    if whole:
        monkeypatch.setattr(fivesim, "ONE_BY_ONE", 0)
        canned.answer(json.dumps({country: {"telegram": o, "viber": o} for country, o in shelf.items()}))
    else:
        canned.answer(json.dumps({"telegram": shelf}))
    quotes = provider.quotes(["telegram"], ["england", "egypt"])
    found = {q.operator: (q.cost_micros, q.stock, q.rate) for q in quotes}
    assert {(q.service, q.country) for q in quotes} == {("telegram", "england")}
    assert found == {
        "any": (200_000, 45, (9050 * 30 + 5000 * 10) // 40),
        "vodafone": (250_000, 30, 9050),
        "virtual21": (200_000, 10, 5000),
        "ee": (300_000, 5, None),
    }
    assert "authorization" not in canned.asked[0][2]


@pytest.mark.parametrize("body", ["null", "product is incorrect", "{}", '{"telegram": null}'])
def test_a_product_not_on_sale_has_no_quotes(provider: FiveSim, canned: Canned, body: str) -> None:
    canned.answer(body, 200 if body.startswith(("{", "n")) else 400)
    assert provider.quotes(["telegram"], ["england"]) == []


@pytest.mark.parametrize(("body", "micros"), [
    ("12.3456", 12_345_600), ("0", 0), ("100", 100_000_000), ("2500000.5", 2_500_000_500_000), ("-0.25", -250_000),
])  # fmt: skip
def test_the_balance_is_exact(provider: FiveSim, canned: Canned, body: str, micros: int) -> None:
    canned.answer('{"id": 1, "balance": ' + body + ', "frozen_balance": 5}')
    assert provider.balance_micros() == micros


@pytest.mark.parametrize("body", ["null", '"12"', "true", "[]", "1e13", "-1e13", "1e999999999"])
def test_a_balance_that_is_no_amount_is_none(provider: FiveSim, canned: Canned, body: str) -> None:
    canned.answer('{"id": 1, "balance": ' + body + "}")
    with pytest.raises(ProviderDown):
        provider.balance_micros()


def test_an_unreachable_provider_sold_nothing(closed_url: str) -> None:
    provider = FiveSim("token", closed_url)
    with pytest.raises(NotSold, match="unreachable"):
        buy(provider)
    with pytest.raises(ProviderDown, match="unreachable"):
        provider.list_orders()


def test_errors_name_no_token_and_no_body(provider: FiveSim, canned: Canned) -> None:
    canned.answer("+447900038145 is yours, token")
    with pytest.raises(OutcomeUnknown) as caught:
        buy(provider)
    assert "447900038145" not in str(caught.value)
    assert "token" not in str(caught.value)


def test_a_fault_of_ours_after_sending_leaves_the_purchase_in_doubt(
    provider: FiveSim, canned: Canned, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(value: object) -> Order:
        raise KeyError(value)

    monkeypatch.setattr(fivesim, "_parse_order", broken)
    canned.answer(order())
    with pytest.raises(OutcomeUnknown) as caught:
        buy(provider)
    assert caught.value.reason == "bad_answer"
