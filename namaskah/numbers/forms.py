"""The purchase form, as sent by the buttons of the buy page and of the live page."""

from flask_wtf import FlaskForm
from wtforms import IntegerField, StringField
from wtforms.validators import InputRequired, NumberRange, Regexp


class BuyForm(FlaskForm):
    """`max_price_minor` is the price the button showed, `key` makes a double click one purchase. A chosen operator
    comes as "name@price", because its price differs from the country's."""

    service = StringField(validators=[InputRequired(), Regexp(r"^[a-z0-9_-]{1,64}$")])
    country = StringField(validators=[InputRequired(), Regexp(r"^[A-Z]{2}$")])
    operator = StringField(validators=[Regexp(r"^([\w.+ -]{1,40}@\d{1,12})?$")])
    max_price_minor = IntegerField(validators=[InputRequired(), NumberRange(min=1, max=10**12)])
    key = StringField(validators=[InputRequired(), Regexp(r"^[0-9a-f]{32}$")])

    @property
    def chosen(self) -> tuple[str, int]:
        """Operator (or "any") and the most the customer agreed to pay for it, in minor units."""
        name, _at, price = (self.operator.data or "").partition("@")
        return (name, int(price)) if name else ("any", int(self.max_price_minor.data or 0))
