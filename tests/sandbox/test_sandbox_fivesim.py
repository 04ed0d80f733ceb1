"""5sim's API v1 over real HTTP: shapes, plain-text refusals, states and money."""

from __future__ import annotations

import re
from typing import Any

import pytest

OFFER = {"cost", "count", "rate", "rate1", "rate3", "rate24", "rate72", "rate168", "rate720"}


def test_prices_nest_by_what_was_asked_for(client: Any) -> None:
    _, everything = client.fivesim("guest/prices")
    assert len(everything) >= 40
    assert len({product for country in everything.values() for product in country}) >= 60
    assert set(everything["nigeria"]["whatsapp"]["mtn"]) in (OFFER, {"cost", "count"})
    _, by_country = client.fivesim("guest/prices?country=nigeria")
    assert by_country == {"nigeria": everything["nigeria"]}
    _, by_product = client.fivesim("guest/prices?product=whatsapp")
    assert by_product["whatsapp"]["nigeria"] == everything["nigeria"]["whatsapp"]
    _, both = client.fivesim("guest/prices?country=nigeria&product=whatsapp")
    assert both == {"nigeria": {"whatsapp": everything["nigeria"]["whatsapp"]}}


def test_prices_are_null_for_a_product_not_sold_in_a_country(client: Any) -> None:
    shelf = client.sandbox.world.accounts["fivesim"].shelf
    country, product = next((c, p) for c in shelf.countries for p in shelf.services if (c, p) not in shelf.offers)
    assert client.fivesim(f"guest/prices?country={country}&product={product}") == (200, None)


def test_guests_need_no_token_and_get_text_for_nonsense(client: Any) -> None:
    assert client.fivesim("guest/prices?country=atlantis", token="wrong") == (400, "country is incorrect")
    assert client.fivesim("guest/prices?product=nope") == (400, "product is incorrect")
    assert client.fivesim("guest/products/atlantis/any") == (400, "country is incorrect")


def test_countries_and_products(client: Any) -> None:
    _, countries = client.fivesim("guest/countries")
    nigeria = countries["nigeria"]
    assert (nigeria["iso"], nigeria["prefix"], nigeria["text_en"]) == ({"ng": 1}, {"+234": 1}, "Nigeria")
    assert nigeria["mtn"] == {"activation": 1}
    assert "england" in countries
    assert "uae" not in countries
    _, products = client.fivesim("guest/products/nigeria/any")
    whatsapp = products["whatsapp"]
    assert whatsapp["Category"] == "activation"
    _, one = client.fivesim("guest/products/nigeria/mtn")
    assert one["whatsapp"]["Qty"] < whatsapp["Qty"]
    assert one["whatsapp"]["Price"] >= whatsapp["Price"]


def test_a_wrong_token_gets_401_and_an_empty_body(client: Any) -> None:
    assert client.fivesim("user/profile", token="wrong") == (401, "")
    assert client.call("GET", f"{client.sandbox.fivesim_url}/user/buy/activation/nigeria/any/whatsapp") == (401, "")
    assert client.books("fivesim")["orders"] == []


def test_a_fresh_order_has_the_documented_shape(client: Any) -> None:
    order = client.buy_fivesim()
    fields = "id phone operator product price status expires sms created_at forwarding forwarding_number country"
    assert set(order) == set(fields.split())
    assert order["sms"] is None
    assert (order["status"], order["product"], order["country"]) == ("PENDING", "whatsapp", "nigeria")
    assert re.fullmatch(r"\+234\d{10}", order["phone"])
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z", order["expires"])
    _, profile = client.fivesim("user/profile")
    assert profile["frozen_balance"] == order["price"]
    assert profile["balance"] == round(500 - order["price"], 4)


def test_any_operator_buys_the_cheapest_and_honours_max_price(client: Any) -> None:
    _, prices = client.fivesim("guest/prices?country=nigeria&product=whatsapp")
    costs = {operator: o["cost"] for operator, o in prices["nigeria"]["whatsapp"].items()}
    cheapest = min(costs.values())
    assert client.buy_fivesim()["price"] == cheapest
    path = "user/buy/activation/nigeria/{}/whatsapp?maxPrice=0.01"
    assert client.fivesim(path.format("any")) == (200, "no free phones")
    status, order = client.fivesim(path.format("glo"))  # a pinned operator makes 5sim ignore maxPrice
    assert (status, order["price"], order["operator"]) == (200, costs["glo"], "glo")


def test_the_accounts_own_limit_counts_unless_the_request_brings_one(client: Any) -> None:
    assert client.fivesim("user/max-prices") == (200, [])
    assert client.fivesim("user/max-prices", "POST", json={}) == (400, "product_name is empty")
    client.fivesim("user/max-prices", "POST", json={"product_name": "whatsapp", "price": 0.01})
    assert client.fivesim("user/buy/activation/nigeria/any/whatsapp") == (200, "no free phones")
    assert client.fivesim("user/buy/activation/nigeria/any/whatsapp?maxPrice=2")[1]["price"] > 0.01
    _, left = client.fivesim("user/max-prices", "DELETE", json={"product_name": "whatsapp"})
    assert left == []


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("atlantis/any/whatsapp", "bad country"),
        ("nigeria/tele9/whatsapp", "bad operator"),
        ("nigeria/any/nope", "no product"),
    ],
)
def test_nonsense_is_refused_in_plain_text(client: Any, path: str, text: str) -> None:
    assert client.fivesim(f"user/buy/activation/{path}") == (400, text)


def test_no_money_and_no_numbers_are_refusals(client: Any) -> None:
    client.control("settings", balance={"fivesim": "0.0001"})
    assert client.fivesim("user/buy/activation/nigeria/any/whatsapp") == (400, "not enough user balance")
    client.control("settings", balance={"fivesim": "500"}, stock={"fivesim": {"nigeria/whatsapp": 0}})
    assert client.fivesim("user/buy/activation/nigeria/any/whatsapp") == (200, "no free phones")
    assert client.books("fivesim")["orders"] == []


def test_messages_come_until_the_order_is_finished(client: Any) -> None:
    number = client.buy_fivesim()["id"]
    assert client.fivesim(f"user/finish/{number}") == (400, "order no sms")
    client.control("sms", provider="fivesim", order_id=number, text="Use 415127 as your login code", sender="Facebook")
    client.control("sms", provider="fivesim", order_id=number, text="Welcome!", code=None)
    _, order = client.fivesim(f"user/check/{number}")
    assert order["status"] == "RECEIVED"
    assert [(s["sender"], s["text"], s["code"]) for s in order["sms"]] == [
        ("Facebook", "Use 415127 as your login code", "415127"),
        ("WhatsApp", "Welcome!", ""),
    ]
    assert client.fivesim(f"user/cancel/{number}") == (400, "order has sms")
    assert client.fivesim(f"user/ban/{number}") == (400, "order has sms")
    assert client.fivesim(f"user/finish/{number}")[1]["status"] == "FINISHED"
    assert client.fivesim(f"user/finish/{number}") == (400, "order expired")
    assert client.fivesim(f"user/sms/inbox/{number}")[1]["Total"] == 2
    booked = client.books("fivesim")["orders"][0]
    assert (booked["charged"], booked["refunded"], booked["status"]) == (True, False, "finished")


@pytest.mark.parametrize(("verb", "status"), [("cancel", "CANCELED"), ("ban", "BANNED")])
def test_giving_a_number_back_returns_the_money(client: Any, verb: str, status: str) -> None:
    number = client.buy_fivesim()["id"]
    assert client.fivesim(f"user/{verb}/{number}")[1]["status"] == status
    assert client.fivesim(f"user/{verb}/{number}") == (400, "order expired")
    books = client.books("fivesim")
    assert books["balance_micros"] == 500_000_000
    assert (books["orders"][0]["charged"], books["orders"][0]["refunded"]) == (False, True)
    assert client.fivesim("user/profile")[1]["rating"] == 95.9


def test_the_cancel_lock_is_told_in_words(client: Any) -> None:
    client.control("settings", early_cancel_seconds={"fivesim": 60})
    number = client.buy_fivesim()["id"]
    assert client.fivesim(f"user/cancel/{number}") == (400, "you need to wait time")


def test_unknown_orders_are_404_on_check_and_400_elsewhere(client: Any) -> None:
    assert client.fivesim("user/check/1") == (404, "order not found")
    for verb in ("finish", "cancel", "ban"):
        assert client.fivesim(f"user/{verb}/1") == (400, "order not found")


def test_the_end_of_the_window_refunds_or_finishes(client: Any) -> None:
    empty, told = client.buy_fivesim()["id"], client.buy_fivesim()["id"]
    client.control("sms", provider="fivesim", order_id=told)
    for number in (empty, told):
        client.control("expire", provider="fivesim", order_id=number)
    assert client.fivesim(f"user/check/{empty}")[1]["status"] == "TIMEOUT"
    assert client.fivesim(f"user/check/{told}")[1]["status"] == "FINISHED"
    assert {o["id"]: o["refunded"] for o in client.books("fivesim")["orders"]} == {empty: True, told: False}


def test_a_late_message_is_kept_without_touching_state_or_money(client: Any) -> None:
    order = client.buy_fivesim()
    client.fivesim(f"user/cancel/{order['id']}")
    late = client.control("sms", provider="fivesim", phone=order["phone"], text="Code 123456")
    assert (late["status"], late["sms"][0]["code"]) == ("canceled", "123456")
    assert client.books("fivesim")["balance_micros"] == 500_000_000


def test_orders_are_listed_by_page_and_may_lag(client: Any) -> None:
    numbers = [client.buy_fivesim()["id"] for _ in range(3)]
    _, page = client.fivesim("user/orders?category=activation&limit=2&offset=0&order=id&reverse=true")
    assert [o["id"] for o in page["Data"]] == numbers[:0:-1]
    assert (page["Total"], page["ProductNames"], page["Statuses"]) == (3, [], [])
    assert client.fivesim("user/orders?category=hosting")[1]["Data"] == []
    client.control("settings", listing_lag_seconds=60)
    assert client.fivesim("user/orders?category=activation")[1]["Data"] == []
    assert client.fivesim(f"user/check/{numbers[0]}")[0] == 200


def test_payments_name_every_movement(client: Any) -> None:
    order = client.buy_fivesim()
    client.fivesim(f"user/cancel/{order['id']}")
    _, told = client.fivesim("user/payments?limit=10")
    assert [(p["TypeName"], p["Amount"]) for p in told["Data"]] == [
        ("buy", -order["price"]),
        ("refund", order["price"]),
    ]
    assert told["Data"][-1]["Balance"] == 500


def test_unknown_addresses_redirect_to_a_page(client: Any) -> None:
    answer = client.raw("GET", f"{client.sandbox.fivesim_url}/user/nope")
    assert (answer.status, answer.headers["Location"]) == (302, "/404.html")
