"""The handler_api protocol in both flavours: text with HTTP 200, and HeroSMS's HTTP codes with JSON."""

from __future__ import annotations

import json
from typing import Any

import pytest
from sandbox_help import eventually

BOTH = pytest.mark.parametrize("provider", ["smsactivate", "herosms"])


def unlock(client: Any) -> None:
    client.control("settings", early_cancel_seconds=0)


def test_balance_has_two_decimals_at_the_classic_and_four_at_hero(client: Any) -> None:
    assert client.handler("smsactivate", "getBalance") == (200, "ACCESS_BALANCE:500.00")
    assert client.handler("herosms", "getBalance") == (200, "ACCESS_BALANCE:500.0000")


@BOTH
def test_parameters_may_be_posted(client: Any, provider: str) -> None:
    assert client.handler(provider, "getBalance", method="POST")[1].startswith("ACCESS_BALANCE:500.00")


def test_a_bad_key_is_refused_in_each_flavours_way(client: Any) -> None:
    client.keys = {"smsactivate": "wrong", "herosms": "wrong"}
    assert client.handler("smsactivate", "getBalance") == (200, "BAD_KEY")
    assert client.handler("herosms", "getBalance") == (401, {"title": "BAD_KEY", "details": "Unauthorized"})
    client.keys = {"smsactivate": "", "herosms": ""}
    assert client.handler("smsactivate", "getBalance") == (200, "NO_KEY")
    status, error = client.handler("herosms", "getBalance")
    assert (status, error["title"], error["info"]["field"]) == (422, "UNPROCESSABLE_ENTITY", "api_key")
    assert client.handler("herosms", "getCountries")[0] == 200


@BOTH
def test_catalogue_lists(client: Any, provider: str) -> None:
    _, countries = client.handler(provider, "getCountries")
    assert len(countries) >= 40
    assert (countries["19"]["id"], countries["19"]["eng"]) == (19, "Nigeria")
    _, services = client.handler(provider, "getServicesList")
    assert services["status"] == "success"
    assert len(services["services"]) >= 60
    assert {"code": "wa", "name": "WhatsApp"} in services["services"]
    assert {"ts", "ij", "re", "bc"} <= {s["code"] for s in services["services"]}
    _, operators = client.handler(provider, "getOperators", country=19)
    assert operators["countryOperators"] == {"19": ["mtn", "airtel", "glo", "9mobile"]}


@BOTH
def test_prices_by_country_then_service(client: Any, provider: str) -> None:
    _, everything = client.handler(provider, "getPrices")
    _, one = client.handler(provider, "getPrices", service="wa", country=19)
    assert one == {"19": {"wa": everything["19"]["wa"]}}
    assert set(one["19"]["wa"]) == {"cost", "count", "physicalCount"}
    wrong = client.handler(provider, "getPrices", service="zzz")
    assert wrong == (200, {"status": "false", "msg": "service is incorrect"})
    _, top = client.handler(provider, "getTopCountriesByService", service="wa", freePrice="true")
    first = top["0"]
    assert list(first["freePriceMap"].values())[-1] == first["count"]
    assert first["count"] >= top["1"]["count"]


def test_stock_keys_differ_by_flavour(client: Any) -> None:
    client.control("settings", stock={"smsactivate": {"19/wa": 7}, "herosms": {"19/wa": 0}})
    assert client.handler("smsactivate", "getNumbersStatus", country=19)[1]["wa_0"] == 7
    assert client.handler("herosms", "getNumbersStatus", country=19)[1]["wa"] == 0
    assert client.handler("herosms", "getNumbersStatus")[0] == 422


def test_providers_differ_in_price_and_stock(client: Any) -> None:
    _, ours = client.fivesim("guest/prices?country=nigeria&product=whatsapp")
    _, theirs = client.handler("herosms", "getPrices", service="wa", country=19)
    operators = ours["nigeria"]["whatsapp"].values()
    assert theirs["19"]["wa"]["cost"] not in [o["cost"] for o in operators]
    assert theirs["19"]["wa"]["count"] != sum(o["count"] for o in operators)


@BOTH
def test_a_number_from_purchase_to_finish(client: Any, provider: str) -> None:
    status, answer = client.handler(provider, "getNumber", service="wa", country=19)
    word, number, phone = answer.split(":")
    assert (status, word, phone[:3]) == (200, "ACCESS_NUMBER", "234")
    assert client.handler(provider, "getStatus", id=number) == (200, "STATUS_WAIT_CODE")
    client.control("sms", provider=provider, order_id=int(number), text="Your code: 601-520")
    assert client.handler(provider, "getStatus", id=number) == (200, "STATUS_OK:601520")
    assert client.handler(provider, "setStatus", id=number, status=3) == (200, "ACCESS_RETRY_GET")
    assert client.handler(provider, "getStatus", id=number) == (200, "STATUS_WAIT_RETRY:601520")
    client.control("sms", provider=provider, order_id=int(number), text="Hello: no digits", code=None)
    assert client.handler(provider, "getStatus", id=number) == (200, "STATUS_OK:Hello: no digits")
    assert client.handler(provider, "setStatus", id=number, status=6) == (200, "ACCESS_ACTIVATION")
    booked = client.books(provider)["orders"][0]
    assert (booked["status"], booked["charged"], len(booked["sms"])) == ("finished", True, 2)


def test_number_v2_as_each_flavour_writes_it(client: Any) -> None:
    _, classic = client.handler("smsactivate", "getNumberV2", service="wa", country=19, operator="mtn")
    fields = "activationId phoneNumber activationCost currency countryCode canGetAnotherSms activationTime"
    assert set(classic) == {*fields.split(), "activationOperator"}
    assert isinstance(classic["activationId"], int)
    assert (classic["currency"], classic["countryCode"], classic["canGetAnotherSms"]) == (840, "19", "1")
    assert classic["activationOperator"] == "mtn"
    _, hero = client.handler("herosms", "getNumberV2", service="wa", country=19)
    assert isinstance(hero["activationId"], str)
    assert (hero["countryCode"], hero["countryPhoneCode"], hero["canGetAnotherSms"]) == (19, 234, True)
    assert hero["activationEndTime"] > hero["activationTime"]


def test_status_v2_is_flat_or_nested(client: Any) -> None:
    classic, hero = client.buy_handler("smsactivate"), client.buy_handler("herosms")
    assert client.handler("smsactivate", "getStatusV2", id=classic)[1] == {"verificationType": 0, "sms": None}
    assert client.handler("herosms", "getStatusV2", id=hero)[1] == {"verificationType": "sms", "data": None}
    for provider, number in (("smsactivate", classic), ("herosms", hero)):
        client.control("sms", provider=provider, order_id=number, text="WhatsApp code 123-456")
    assert client.handler("smsactivate", "getStatusV2", id=classic)[1]["sms"]["code"] == "123456"
    assert client.handler("herosms", "getStatusV2", id=hero)[1]["data"]["text"] == "WhatsApp code 123-456"
    assert client.handler("smsactivate", "getFullSms", id=classic)[1] == "FULL_SMS:WhatsApp code 123-456"
    assert client.handler("herosms", "getFullSms", id=hero)[0] == 404
    assert client.handler("herosms", "getAllSms", id=hero)[1]["meta"] == {"total": 1, "service": "wa"}


def test_early_cancel_is_denied_then_allowed(client: Any) -> None:
    classic, hero = client.buy_handler("smsactivate"), client.buy_handler("herosms")
    assert client.handler("smsactivate", "setStatus", id=classic, status=8) == (200, "EARLY_CANCEL_DENIED")
    status, error = client.handler("herosms", "setStatus", id=hero, status=8)
    assert (status, error["title"], error["info"]) == (409, "EARLY_CANCEL_DENIED", {"minActivationTime": 120})
    unlock(client)
    for provider, number, code in (("smsactivate", classic, 8), ("herosms", hero, -1)):
        assert client.handler(provider, "setStatus", id=number, status=code) == (200, "ACCESS_CANCEL")
        assert client.handler(provider, "getStatus", id=number) == (200, "STATUS_CANCEL")
        assert client.books(provider)["balance_micros"] == 500_000_000
    assert client.handler("smsactivate", "setStatus", id=classic, status=8) == (200, "BAD_STATUS")
    assert client.handler("herosms", "setStatus", id=hero, status=8)[1]["title"] == "ACTIVATION_NOT_ACTIVE"


def test_steps_out_of_order_are_refused(client: Any) -> None:
    unlock(client)
    classic, hero = client.buy_handler("smsactivate"), client.buy_handler("herosms")
    assert client.handler("smsactivate", "setStatus", id=classic, status=6) == (200, "BAD_STATUS")
    assert client.handler("herosms", "setStatus", id=hero, status=3)[0] == 400
    assert client.handler("smsactivate", "setStatus", id=classic, status=1) == (200, "ACCESS_READY")
    assert client.handler("herosms", "setStatus", id=hero, status=1)[1]["title"] == "BAD_STATUS"
    for provider, number in (("smsactivate", classic), ("herosms", hero)):
        client.control("sms", provider=provider, order_id=number)
    assert client.handler("smsactivate", "setStatus", id=classic, status=8) == (200, "BAD_STATUS")
    status, error = client.handler("herosms", "setStatus", id=hero, status=8)
    assert (status, error["title"]) == (409, "OTP_RECEIVED")
    assert client.handler("herosms", "finishActivation", id=hero) == (204, "")
    assert client.handler("smsactivate", "finishActivation", id=classic) == (200, "BAD_ACTION")


def test_unknown_ids_services_countries_and_actions(client: Any) -> None:
    assert client.handler("smsactivate", "getStatus", id=1) == (200, "NO_ACTIVATION")
    missing = (404, {"title": "NOT_FOUND", "details": "Activation Not Found"})
    assert client.handler("herosms", "getStatus", id=1) == missing
    assert client.handler("smsactivate", "getNumber", service="zzz", country=19) == (200, "BAD_SERVICE")
    assert client.handler("smsactivate", "getNumber", service="wa", country=9999) == (200, "BAD_COUNTRY")
    plain = client.handler("herosms", "getNumber", service="zzz", country=19)
    assert plain == (200, "UNPROCESSABLE_ENTITY:service:INVALID")
    assert client.handler("herosms", "getNumberV2", service="zzz", country=19)[0] == 422
    assert client.handler("smsactivate", "nope") == (200, "BAD_ACTION")
    assert client.handler("herosms", "nope")[0] == 404


def test_prices_money_and_stock_refuse_a_purchase(client: Any) -> None:
    buy = {"service": "wa", "country": 19}
    cost = client.handler("smsactivate", "getPrices", **buy)[1]["19"]["wa"]["cost"]
    assert client.handler("smsactivate", "getNumber", **buy, maxPrice=0.01) == (200, f"WRONG_MAX_PRICE:{cost}")
    assert client.handler("smsactivate", "getNumber", **buy, maxPrice=9, fixedPrice="true") == (200, "NO_NUMBERS")
    status, error = client.handler("herosms", "getNumberV2", **buy, maxPrice=0.01)
    assert (status, error["title"]) == (400, "WRONG_MAX_PRICE")
    client.control("settings", balance={"smsactivate": "0", "herosms": "0"})
    assert client.handler("smsactivate", "getNumber", **buy) == (200, "NO_BALANCE")
    assert client.handler("herosms", "getNumberV2", **buy)[0] == 402
    client.control("settings", stock={"smsactivate": {"19/wa": 0}, "herosms": {"19/wa": 0}})
    for provider in ("smsactivate", "herosms"):
        assert client.handler(provider, "getNumberV2", **buy) == (200, "NO_NUMBERS")
        assert client.books(provider)["orders"] == []


def test_active_activations_and_history(client: Any) -> None:
    nothing = {"status": "error", "error": "NO_ACTIVATIONS"}
    assert client.handler("smsactivate", "getActiveActivations") == (200, nothing)
    relic = {"affected_rows": 0, "num_rows": 0, "row": [], "rows": []}
    empty = {"status": "success", "data": [], "activeActivations": relic}
    assert client.handler("herosms", "getActiveActivations") == (200, empty)
    classic, hero = client.buy_handler("smsactivate"), client.buy_handler("herosms")
    _, listed = client.handler("smsactivate", "getActiveActivations")
    row = listed["activeActivations"][0]
    assert (row["activationId"], row["serviceCode"], row["smsCode"]) == (str(classic), "wa", None)
    _, listed = client.handler("herosms", "getActiveActivations")
    assert listed["data"][0]["activationId"] == str(hero)
    client.control("expire", provider="herosms", order_id=hero)
    _, history = client.handler("herosms", "getHistory", size=10)
    assert (history[0]["id"], history[0]["status"], history[0]["cost"]) == (str(hero), "8", 0)


def test_sms_webhooks_are_posted_and_tried_again(client: Any, receiver: Any) -> None:
    receiver.answers = [500]
    number = client.buy_handler("herosms")
    client.control("sms", provider="herosms", order_id=number, text="Your code is 12345")
    eventually(lambda: len(receiver.requests) == 2)
    message = json.loads(receiver.requests[1][1])
    assert message.pop("receivedAt")
    expected = {"activationId": str(number), "service": "wa", "text": "Your code is 12345"}
    assert message == {**expected, "code": "12345", "country": 19}
