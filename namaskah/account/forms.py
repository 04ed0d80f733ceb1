"""What the account page lets one choose."""

from collections import defaultdict
from functools import cache
from zoneinfo import available_timezones

from babel import Locale
from babel.core import get_global
from flask_babel import get_locale
from flask_babel import lazy_gettext as _l
from flask_wtf import FlaskForm
from wtforms import BooleanField, SelectChoice, SelectField  # type: ignore[attr-defined]

from namaskah.language import DEFAULT, LANGUAGES

# Zones are named for places in these; the rest are aliases of old and offsets.
AREAS = {"Africa", "America", "Antarctica", "Arctic", "Asia", "Atlantic", "Australia", "Europe", "Indian", "Pacific"}

TIMEZONES = sorted(name for name in available_timezones() if name.partition("/")[0] in AREAS or name == "UTC")


def timezone_choices() -> list[SelectChoice]:
    """The zones by country and city in the reader's language; in English by the names they have everywhere."""
    return [SelectChoice(name, label) for name, label in _named(str(get_locale() or DEFAULT))]


@cache
def _named(language: str) -> list[tuple[str, str]]:
    if language == DEFAULT:
        return [(name, name.replace("_", " ")) for name in TIMEZONES]
    locale = Locale.parse(language)
    return sorted(((name, _place(name, locale)) for name in TIMEZONES), key=lambda zone: zone[1])


def _place(name: str, locale: Locale) -> str:
    """CLDR files a city under any of a zone's names, often an old one."""
    newest = get_global("zone_aliases").get(name, name)
    cities = (locale.time_zones.get(known, {}).get("city") for known in (name, newest, *_old_names().get(newest, ())))
    city = next((city for city in cities if city), None)
    country = locale.territories.get(get_global("zone_territories").get(newest, ""))
    return f"{country} – {city}" if country and city else name.replace("_", " ")


@cache
def _old_names() -> dict[str, list[str]]:
    names: dict[str, list[str]] = defaultdict(list)
    for old, newest in get_global("zone_aliases").items():
        names[newest].append(old)
    return names


class PreferencesForm(FlaskForm):  # type: ignore[misc]
    language = SelectField(_l("Language"), choices=[SelectChoice(code, name) for code, name in LANGUAGES])
    timezone = SelectField(_l("Time zone"), choices=timezone_choices)
    theme = SelectField(
        _l("Theme"),
        choices=[SelectChoice("", _l("As device")), SelectChoice("day", _l("Day")), SelectChoice("night", _l("Night"))],
    )
    sound = BooleanField(_l("Sound when a code comes"))
