"""What the forms about automatic top-ups and the letter about a low balance may hold."""

from flask import current_app
from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l
from flask_wtf import FlaskForm
from wtforms import Field, RadioField, StringField
from wtforms.validators import ValidationError

from namaskah.money import MINOR_DIGITS
from namaskah.wallet import cards
from namaskah.wallet.card_models import AutoTopUp, SavedCard
from namaskah.wallet.forms import outside_limits, written


def plain(amount_minor: int) -> str:
    """An amount as one may type it into a field: "2500" or "2500.50"."""
    digits = MINOR_DIGITS[current_app.config["WALLET_CURRENCY"]]
    whole, part = divmod(amount_minor, 10**digits)
    return f"{whole}.{part:0{digits}d}" if part else str(whole)


class AutoTopUpForm(FlaskForm):
    """Below which balance, by how much, at most how much a day, with which card. After validation `below_minor`,
    `amount_minor`, `day_limit_minor` and `card_id` are what was chosen."""

    below = StringField(_l("When I can spend less than"))
    amount = StringField(_l("Top up by"))
    day_limit = StringField(_l("At most in 24 hours"))
    card = RadioField(_l("From this card"), coerce=int, validate_choice=False)

    below_minor = amount_minor = day_limit_minor = card_id = 0
    offered: tuple[int, ...] = ()

    def offer(self, mine: list[SavedCard], wish: AutoTopUp | None) -> "AutoTopUpForm":
        """Fill in what can be chosen and, unless it was sent, what holds now or makes sense."""
        self.card.choices = [(card.id, cards.name(card)) for card in mine]
        self.offered = tuple(card.id for card in mine)
        if not self.is_submitted():
            least = current_app.config["TOP_UP_MIN_MINOR"]
            below, amount, limit = least, least * 4, least * 12
            if wish is not None:
                below, amount, limit = wish.below_minor, wish.amount_minor, wish.day_limit_minor
            self.below.data, self.amount.data, self.day_limit.data = plain(below), plain(amount), plain(limit)
            known = wish.card_id if wish else None
            self.card.data = known if known in self.offered else next(iter(self.offered), None)
        return self

    def validate_below(self, field: Field) -> None:
        self.below_minor = written(field.data or "")
        if self.below_minor == 0:
            raise ValidationError(_("Write an amount above zero."))

    def validate_amount(self, field: Field) -> None:
        self.amount_minor = written(field.data or "")
        config = current_app.config
        if not config["TOP_UP_MIN_MINOR"] <= self.amount_minor <= config["TOP_UP_MAX_MINOR"]:
            raise ValidationError(outside_limits())
        if self.amount_minor < self.below_minor:
            raise ValidationError(_("Top up by at least the amount below which it begins, so that once is enough."))

    def validate_day_limit(self, field: Field) -> None:
        self.day_limit_minor = written(field.data or "")
        if not self.amount_minor <= self.day_limit_minor < 10**15:
            raise ValidationError(_("Allow at least one top-up a day."))

    def validate_card(self, field: Field) -> None:
        if field.data not in self.offered:
            raise ValidationError(_("Choose one of your cards."))
        self.card_id = field.data


class LowBalanceForm(FlaskForm):
    """After validation `below_minor` is the threshold; None for an empty field: no letter."""

    low = StringField(_l("Write to me when I can spend less than"))

    below_minor: int | None = None

    def validate_low(self, field: Field) -> None:
        typed = (field.data or "").strip()
        self.below_minor = written(typed) if typed else None
        if self.below_minor == 0:
            raise ValidationError(_("Write an amount above zero, or leave it empty for no letter."))
