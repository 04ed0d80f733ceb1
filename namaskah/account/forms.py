"""What the account page lets one choose."""

import unicodedata
from collections import defaultdict
from functools import cache
from zoneinfo import available_timezones

from babel import Locale
from babel.core import get_global
from flask_babel import get_locale
from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l
from flask_wtf import FlaskForm
from wtforms import (  # type: ignore[attr-defined]  # their types are older than SelectChoice
    BooleanField,
    Field,
    HiddenField,
    SelectChoice,
    SelectField,
    StringField,
    TextAreaField,
)
from wtforms.validators import Length, ValidationError

from namaskah.language import DEFAULT, LANGUAGES
from namaskah.papers.paper import unprintable

# Zones are named for places in these; the rest are aliases of old and offsets.
AREAS = {"Africa", "America", "Antarctica", "Arctic", "Asia", "Atlantic", "Australia", "Europe", "Indian", "Pacific"}

MOST_LINES = 6  # of an address

# Control and format characters, line and paragraph ends, private use, and what is no character.
HIDDEN = {"Cc", "Cf", "Zl", "Zp", "Co", "Cn", "Cs"}

JOINERS = "\u200c\u200d"  # Hindi, Persian and others are spelled with them

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


def one_line(text: str | None) -> str:
    """What can be seen of a text: no control characters, no marks that turn it around; those that join letters stay."""
    shown = (
        letter if unicodedata.category(letter) not in HIDDEN or letter in JOINERS else " " for letter in text or ""
    )
    return " ".join("".join(shown).split())


def _at_most(count: int) -> Length:
    return Length(max=count, message=_l("Use at most %(max)d characters."))


class PreferencesForm(FlaskForm):
    name = StringField(_l("Name"), [_at_most(80)])
    language = SelectField(_l("Language"), choices=[SelectChoice(code, name) for code, name in LANGUAGES])
    timezone = SelectField(_l("Time zone"), choices=timezone_choices)
    theme = SelectField(
        _l("Theme"),
        choices=[SelectChoice("", _l("As device")), SelectChoice("day", _l("Day")), SelectChoice("night", _l("Night"))],
    )
    sound = BooleanField(_l("Sound when a code comes"))
    receipt_letters = BooleanField(_l("A receipt by e-mail for each top-up"))

    def validate_name(self, field: Field) -> None:
        field.data = one_line(field.data)


class BillingForm(FlaskForm):
    """What stands on receipts of the buyer. All of it may be empty, and all of it can be printed."""

    company = StringField(_l("Company"), [_at_most(120)])
    name = StringField(_l("Name"), [_at_most(80)])
    address = TextAreaField(_l("Address"), [_at_most(300)])
    tax_id = StringField(_l("Tax number"), [_at_most(40)])

    def validate_company(self, field: Field) -> None:
        _make_printable(field)

    def validate_name(self, field: Field) -> None:
        _make_printable(field)

    def validate_tax_id(self, field: Field) -> None:
        _make_printable(field)

    def validate_address(self, field: Field) -> None:
        _make_printable(field)
        if field.data.count("\n") >= MOST_LINES:
            raise ValidationError(_("Use at most %(lines)s lines.", lines=MOST_LINES))


def _make_printable(field: Field) -> None:
    field.data = "\n".join(filter(None, (one_line(line) for line in (field.data or "").splitlines())))
    if strange := unprintable(field.data):
        raise ValidationError(
            _(
                "Receipts cannot show %(letters)s. They show Latin, Greek, Cyrillic, Arabic and Devanagari letters.",
                letters=" ".join(strange[:10]),
            )
        )


class DeleteForm(FlaskForm):
    """Everything asked before an account is deleted. `amount` is the balance the page showed, in minor units."""

    email = StringField(_l("Your e-mail address"))
    give_up = BooleanField(_l("Give the balance up"))
    amount = HiddenField()

    def validate_for(self, email: str, available_minor: int) -> bool:
        """Whether all was agreed to by the owner of this address and balance; what is wrong stands at its field."""
        self.validate()
        if (self.email.data or "").strip().casefold() != email.casefold():
            self.email.errors = [_("Type the address of this account, exactly as it stands above.")]
        if available_minor > 0 and not (self.give_up.data and self.given_up_minor == available_minor):
            self.give_up.errors = [_("Your balance is lost when the account is deleted: say that you agree.")]
        return not self.errors

    def show_amount(self, available_minor: int) -> None:
        """The next page shows this balance; what was agreed to about another one does not count."""
        if self.amount.data != str(available_minor):
            self.give_up.data = False
        self.amount.data = str(available_minor)

    @property
    def given_up_minor(self) -> int:
        text = self.amount.data or ""
        return int(text) if text.isascii() and text.isdigit() and len(text) < 19 and self.give_up.data else 0
