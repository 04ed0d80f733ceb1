"""What the account page offers."""

import pytest
from flask import Flask
from flask_babel import force_locale

from namaskah.account.forms import TIMEZONES, timezone_choices


def offered(app: Flask, language: str) -> dict[str, str]:
    with app.test_request_context(), force_locale(language):
        return {str(choice.value): str(choice.label) for choice in timezone_choices()}


@pytest.mark.parametrize("language", ["en", "ar"])
def test_every_zone_is_offered_once(app: Flask, language: str) -> None:
    assert sorted(offered(app, language)) == TIMEZONES


def test_zones_are_named_by_country_and_city_in_the_readers_language(app: Flask) -> None:
    zones = offered(app, "ar")
    assert zones["Africa/Lagos"] == "نيجيريا – لاغوس"
    # A city that CLDR knows by the zone's old name (Asia/Calcutta), and a zone that has no city.
    assert zones["Asia/Kolkata"] == "الهند – كالكتا"
    assert zones["UTC"] == "UTC"
    assert offered(app, "en")["America/New_York"] == "America/New York"
