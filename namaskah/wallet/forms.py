"""What the top-up form may hold."""

import re
import secrets

from flask import current_app
from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l
from flask_wtf import FlaskForm
from wtforms import Field, HiddenField, StringField
from wtforms.validators import Regexp, ValidationError

from namaskah.money import parse_minor


def new_key() -> str:
    """A form's one-time key: however often the form is sent, one top-up comes of it."""
    return secrets.token_urlsafe(24)


class TopUpForm(FlaskForm):  # type: ignore[misc]
    """A preset (minor units) or an amount as people write it, which counts when both come.

    After validation `amount_minor` is the amount. Messages leave the limits out: the page has them beside the field.
    """

    preset = StringField(_l("How much?"))
    amount = StringField(_l("Or another amount"))
    key = HiddenField(validators=[Regexp("[A-Za-z0-9_-]{16,64}$")], default=new_key)

    amount_minor = 0

    def validate_amount(self, field: Field) -> None:
        typed = (field.data or "").strip()
        amount = _written(typed) if typed else _chosen(self.preset.data or "")
        config = current_app.config
        if not config["TOP_UP_MIN_MINOR"] <= amount <= config["TOP_UP_MAX_MINOR"]:
            raise ValidationError(_("This amount is outside the limits."))
        self.amount_minor = amount


def _written(text: str) -> int:
    # Exponents are shut out before they are worked out: "1e999999" is a number of a million digits.
    amount = None if re.search("[eE]", text) or len(text) > 24 else parse_minor(text, _currency())
    if amount is None:
        raise ValidationError(_("Write an amount like 2,500."))
    return amount


def _chosen(text: str) -> int:
    if not re.fullmatch("[0-9]{1,15}", text):
        raise ValidationError(_("Choose an amount or write one."))
    return int(text)


def _currency() -> str:
    return str(current_app.config["WALLET_CURRENCY"])
