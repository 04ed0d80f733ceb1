"""The overview puts first what needs a person soonest, and leaves out what there is nothing of."""

import re
from typing import Any

import pytest
from flask import Flask

from namaskah.admin import overview
from namaskah.admin.places import places
from namaskah.auth.models import User
from tests.support import log_in

QUIET: dict[str, Any] = {
    "disputes": (0, 0),
    "mismatches_open": 0,
    "reversals_open": 0,
    "refunds_waiting": 0,
    "events_open": 0,
    "differences": 0,
    "housekeeping_troubled": 0,
    "stale_rates": [],
    "missing_rates": [],
}


def first(app: Flask, **found: Any) -> Any:
    with app.test_request_context():
        return places(QUIET | found)[0]


@pytest.mark.parametrize(
    ("found", "endpoint", "words"),
    [
        ({"disputes": (2, 1), "events_open": 3}, "admin.disputes", ["1 waits for our answer", "2 open"]),
        ({"reversals_open": 1, "differences": 4}, "admin.top_ups", ["1 payment went back after its credit"]),
        ({"refunds_waiting": 2, "disputes": (1, 0)}, "admin.refunds", ["2 wait for you"]),
        ({"missing_rates": ["GHS"]}, "admin.exchange_rates", ["GHS"]),
    ],
)
def test_what_needs_a_person_soonest_is_first(
    app: Flask, found: dict[str, Any], endpoint: str, words: list[str]
) -> None:
    place = first(app, **found)
    assert (place.endpoint, [said for said, _tone in place.notes], place.waits) == (endpoint, words, True)


def test_an_open_dispute_that_waits_for_the_bank_waits_for_nobody_here(app: Flask) -> None:
    with app.test_request_context():
        listed = places(QUIET | {"disputes": (1, 0)})
    assert not any(place.waits for place in listed)
    assert len(listed) == len({place.endpoint for place in listed}) == 9


def test_the_page_leads_everywhere_and_says_what_is_empty_in_one_line(app: Flask, admin: User) -> None:
    page = log_in(app.test_client(), admin).get("/admin/").text
    main = page.split("<main")[1].split("</main>")[0]
    for path in (
        "disputes",
        "top-ups",
        "refunds",
        "gateway-events",
        "reconciliation",
        "rates",
        "vouchers",
        "promo",
        "housekeeping",
    ):
        assert f'href="/admin/{path}"' in main, path
    assert "Nothing. Disputes, payments and reports that need a person would stand here." in main
    said = re.search(r"Nothing in: ([^<]+)<", main)
    assert said and said[1].split(" · ")[0] == "In doubt" and len(said[1].split(" · ")) == 4
    assert "Payments that do not match</h2>" not in main


def test_what_is_read_for_it_has_all_that_places_need(app: Flask) -> None:
    with app.test_request_context():
        assert set(QUIET) <= set(overview.read())
