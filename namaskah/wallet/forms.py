"""What the top-up form and the statement's filter may hold."""

import re
import secrets
from datetime import date

from flask import current_app
from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l
from flask_wtf import FlaskForm
from wtforms import BooleanField, Field, Form, HiddenField, StringField
from wtforms.validators import InputRequired, Length, Regexp, ValidationError

from namaskah.filters import money_text
from namaskah.money import parse_minor
from namaskah.wallet import quotes


def new_key() -> str:
    """A form's one-time key: however often the form is sent, one top-up comes of it."""
    return secrets.token_urlsafe(24)


class TopUpForm(FlaskForm):
    """A preset (minor units) or an amount as people write it, which counts when both come.

    After validation `amount_minor` is the amount.
    `seen` is what the page said would be paid in all, where a fee comes on top.
    """

    preset = StringField(_l("How much?"))
    amount = StringField(_l("Or another amount"))
    keep_card = BooleanField(_l("Keep this card for next time"))
    key = HiddenField(validators=[Regexp("[A-Za-z0-9_-]{16,64}$")], default=new_key)
    seen = StringField()

    amount_minor = 0

    def validate_amount(self, field: Field) -> None:
        typed = (field.data or "").strip()
        amount = written(typed) if typed else _chosen(self.preset.data or "")
        if not quotes.is_allowed(amount):
            raise ValidationError(outside_limits())
        self.amount_minor = amount

    def amount_if_any(self) -> int:
        """The amount, or 0 where there is none that could be topped up; nothing else of the form is looked at."""
        try:
            self.validate_amount(self.amount)
        except ValidationError:
            return 0
        return self.amount_minor


class StatementForm(Form):
    """Days as browsers send them (2026-11-25), and words to look for. It changes nothing, so it needs no token.

    After validation `since_day` and `until_day` are the days, None for one left open.
    """

    since = StringField(_l("From"), default="", filters=[lambda value: (value or "").strip()])
    until = StringField(_l("To"), default="", filters=[lambda value: (value or "").strip()])
    words = StringField(
        _l("Search"),
        [Length(max=80, message=_l("Search for something shorter."))],
        default="",
        filters=[lambda value: (value or "").replace("\0", " ").strip()],
    )

    since_day: date | None = None
    until_day: date | None = None

    def validate_since(self, field: Field) -> None:
        self.since_day = _day(field.data)

    def validate_until(self, field: Field) -> None:
        self.until_day = _day(field.data)
        if self.since_day and self.until_day and self.until_day < self.since_day:
            raise ValidationError(_("This day is before the first one."))


def _day(typed: str) -> date | None:
    try:
        day = date.fromisoformat(typed) if typed else None
    except ValueError:
        day = date.min
    if day and not 2000 <= day.year <= 2200:
        raise ValidationError(_("Write a day like 2026-11-25."))
    return day


def written(text: str) -> int:
    """What a person wrote as minor units of the wallet's currency. Raises ValidationError."""
    # Exponents are shut out before they are worked out: "1e999999" is a number of a million digits.
    amount = None if re.search("[eE]", text) or len(text) > 24 else parse_minor(text, _currency())
    if amount is None:
        raise ValidationError(_("Write an amount like 2,500."))
    return amount


def outside_limits() -> str:
    """What is said of an amount that cannot be topped up: which could be."""
    config = current_app.config
    least, most = money_text(config["TOP_UP_MIN_MINOR"]), money_text(config["TOP_UP_MAX_MINOR"])
    return _("Write an amount from %(least)s to %(most)s.", least=least, most=most)


def _chosen(text: str) -> int:
    if not re.fullmatch("[0-9]{1,15}", text):
        raise ValidationError(_("Choose an amount or write one."))
    return int(text)


def _currency() -> str:
    return str(current_app.config["WALLET_CURRENCY"])


class VoucherForm(FlaskForm):
    """A gift code as people type it: small letters, dashes and spaces do no harm."""

    code = StringField(
        _l("Gift code"),
        [InputRequired(_l("Type the code.")), Length(max=100, message=_l("A code has sixteen letters and digits."))],
    )
