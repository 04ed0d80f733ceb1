"""What the form of a new exchange rate may hold."""

import re
from datetime import datetime
from decimal import Decimal
from zoneinfo import ZoneInfo

from flask_babel import get_timezone
from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l
from flask_wtf import FlaskForm
from wtforms import BooleanField, Field, StringField
from wtforms.validators import Length, ValidationError

from namaskah.numbers import rates

TIME_WANTED = _l("Write a day and time like 2026-11-25T09:00, or leave it empty for now.")


def _stripped(value: str | None) -> str:
    return (value or "").replace("\0", "").strip()


class RateForm(FlaskForm):
    """After validation `rate_value` is the rate and `starts_at` when it begins, None for now; times are typed in the
    reader's zone."""

    currency = StringField(_l("Currency"), filters=[lambda value: _stripped(value).upper()])
    rate = StringField(_l("Rate"), filters=[_stripped])
    starts = StringField(_l("Holds from"), filters=[_stripped])
    source = StringField(
        _l("Where it is from"), [Length(max=rates.LONGEST_SOURCE, message=_l("Say it shorter."))], filters=[_stripped]
    )
    is_meant = BooleanField(_l("This rate is meant, however far it is from the one before."))

    rate_value = Decimal(0)
    starts_at: datetime | None = None

    def validate_currency(self, field: Field) -> None:
        if not re.fullmatch("[A-Z]{3}", field.data):
            raise ValidationError(_("Write a currency as three letters, like USD."))
        if field.data == rates.wallet_currency():
            raise ValidationError(_("Wallets are in this currency: it needs no rate."))

    def validate_rate(self, field: Field) -> None:
        found = rates.parse_rate(field.data)
        if found is None:
            raise ValidationError(_("Write a rate above zero, like 1,600.50."))
        self.rate_value = found

    def validate_starts(self, field: Field) -> None:
        try:
            typed = datetime.fromisoformat(field.data) if field.data else None
        except ValueError:
            raise ValidationError(TIME_WANTED) from None
        if typed and not 2000 <= typed.year <= 2200:
            raise ValidationError(TIME_WANTED)
        zone = ZoneInfo(str(get_timezone()))
        self.starts_at = typed.replace(tzinfo=zone) if typed and typed.tzinfo is None else typed
