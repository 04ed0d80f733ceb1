"""What the operator may fill in. Amounts are written as people write them; `amount_minor` is what was meant."""

import secrets
from datetime import UTC, date, datetime, time, timedelta

from flask import current_app
from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l
from flask_wtf import FlaskForm
from wtforms import BooleanField, DateField, Field, HiddenField, IntegerField, StringField
from wtforms.validators import DataRequired, InputRequired, Length, NumberRange, Regexp, ValidationError

from namaskah.money import parse_minor
from namaskah.wallet.voucher_batches import Terms

KEY = Regexp("[A-Za-z0-9_-]{16,64}$")


def new_key() -> str:
    """A form's one-time key: however often the form is sent, it is done once."""
    return secrets.token_urlsafe(24)


def _at_most(letters: int) -> Length:
    return Length(max=letters, message=_l("Use at most %(max)d letters."))


def _between(least: int, most: int) -> NumberRange:
    return NumberRange(least, most, _l("A number from %(min)s to %(max)s is wanted."))


_WANTED = InputRequired(_l("Fill this in."))
_WORDS = DataRequired(_l("Fill this in."))


def _plain(typed: str | None) -> str:
    return (typed or "").replace("\0", "").strip()  # which no text of the database holds


class _AmountForm(FlaskForm):
    amount = StringField(_l("Amount"), [_WORDS])
    key = HiddenField(validators=[KEY], default=new_key)

    amount_minor = 0

    def validate_amount(self, field: Field) -> None:
        self.amount_minor = _minor(field.data)


class GiftForm(_AmountForm):
    """Credit for one customer."""

    email = StringField(_l("The customer’s e-mail address"), [_WORDS, _at_most(254)])
    days = IntegerField(_l("Days it lasts"), [_WANTED, _between(1, 730)], default=30)
    reason = StringField(_l("Why, as the customer will read it"), [_WORDS, _at_most(200)], filters=[_plain])


class BatchForm(_AmountForm):
    """A batch of codes. Days are whole ones in UTC, both included."""

    name = StringField(_l("Name of the batch"), [_WORDS, _at_most(80)], filters=[_plain])
    note = StringField(_l("What it is for"), [_at_most(200)], filters=[_plain])
    lifetime_days = IntegerField(_l("Days the gift lasts, from its use on"), [_WANTED, _between(1, 730)], default=30)
    codes = IntegerField(_l("How many codes"), [_WANTED, _between(1, 5_000)], default=1)
    uses_each = IntegerField(_l("How many customers may use each"), [_WANTED, _between(1, 100_000)], default=1)
    one_each = BooleanField(_l("Each customer may use only one code of this batch"))
    most = StringField(_l("At most together"))
    valid_from = DateField(_l("Good from"), [_WANTED], default=lambda: datetime.now(UTC).date())
    valid_until = DateField(_l("Good until"), [_WANTED], default=lambda: datetime.now(UTC).date() + timedelta(days=90))

    most_minor = 0

    def validate_most(self, field: Field) -> None:
        self.most_minor = _minor(field.data) if (field.data or "").strip() else 0

    def validate_valid_until(self, field: Field) -> None:
        first = self.valid_from.data
        if field.data is None:
            return  # what was typed is no day, and the field says so
        if not 2000 <= field.data.year <= 2200:
            raise ValidationError(_("Write a day like 2026-11-25."))
        if first and field.data < first:
            raise ValidationError(_("This day is before the first one."))

    def terms(self) -> Terms:
        """What was filled in, after it was validated."""
        return Terms(
            name=self.name.data or "",
            note=self.note.data or "",
            amount_minor=self.amount_minor,
            lifetime_days=self.lifetime_days.data or 0,
            codes=self.codes.data or 0,
            uses_each=self.uses_each.data or 0,
            one_each=bool(self.one_each.data),
            most_minor=self.most_minor,
            valid_from=_midnight(self.valid_from.data),
            valid_until=_midnight(self.valid_until.data, 1),
        )


def _minor(typed: str | None) -> int:
    amount = parse_minor(typed or "", current_app.config["WALLET_CURRENCY"])
    if not amount:
        raise ValidationError(_("Write an amount like 2,500."))
    return amount


def _midnight(day: date | None, later: int = 0) -> datetime:
    """When the day, or the one so many days later, begins."""
    assert day is not None, "not validated"
    return datetime.combine(day + timedelta(days=later), time(), UTC)
