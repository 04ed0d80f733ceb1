"""What the account page lets one choose."""

from zoneinfo import available_timezones

from flask_babel import lazy_gettext as _l
from flask_wtf import FlaskForm
from wtforms import BooleanField, SelectField

from namaskah.language import LANGUAGES

# Zones are named for places in these; the rest are aliases of old and offsets.
AREAS = {"Africa", "America", "Antarctica", "Arctic", "Asia", "Atlantic", "Australia", "Europe", "Indian", "Pacific"}

TIMEZONES = sorted(name for name in available_timezones() if name.partition("/")[0] in AREAS or name == "UTC")


class PreferencesForm(FlaskForm):  # type: ignore[misc]
    language = SelectField(_l("Language"), choices=LANGUAGES)
    timezone = SelectField(_l("Time zone"), choices=[(name, name.replace("_", " ")) for name in TIMEZONES])
    theme = SelectField(_l("Theme"), choices=[("", _l("As device")), ("day", _l("Day")), ("night", _l("Night"))])
    sound = BooleanField(_l("Sound when a code comes"))
