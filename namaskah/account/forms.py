"""What the account page lets one choose."""

from zoneinfo import available_timezones

from flask_babel import lazy_gettext as _l
from flask_wtf import FlaskForm
from wtforms import BooleanField, SelectChoice, SelectField  # type: ignore[attr-defined]

from namaskah.language import LANGUAGES

# Zones are named for places in these; the rest are aliases of old and offsets.
AREAS = {"Africa", "America", "Antarctica", "Arctic", "Asia", "Atlantic", "Australia", "Europe", "Indian", "Pacific"}

TIMEZONES = sorted(name for name in available_timezones() if name.partition("/")[0] in AREAS or name == "UTC")


class PreferencesForm(FlaskForm):  # type: ignore[misc]
    language = SelectField(_l("Language"), choices=[SelectChoice(code, name) for code, name in LANGUAGES])
    timezone = SelectField(_l("Time zone"), choices=[SelectChoice(name, name.replace("_", " ")) for name in TIMEZONES])
    theme = SelectField(
        _l("Theme"),
        choices=[SelectChoice("", _l("As device")), SelectChoice("day", _l("Day")), SelectChoice("night", _l("Night"))],
    )
    sound = BooleanField(_l("Sound when a code comes"))
