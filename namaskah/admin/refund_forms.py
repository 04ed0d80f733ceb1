"""What starts a refund, and what names the account it needs."""

from flask import current_app
from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l
from flask_wtf import FlaskForm
from wtforms import Field, HiddenField, StringField
from wtforms.validators import InputRequired, Length, Regexp, ValidationError

from namaskah.money import parse_minor
from namaskah.wallet.forms import new_key

WORDS = [Length(max=500)]


class RefundForm(FlaskForm):
    """After validation `amount_minor` goes back, `loss_minor` of it out of our own pocket."""

    amount = StringField(_l("Amount"), [InputRequired(_l("Write an amount like 2,500."))])
    reason = StringField(_l("Why it is given back"), [InputRequired(_l("Say why.")), *WORDS])
    loss = StringField(_l("Of it, paid by us"))
    loss_reason = StringField(_l("Why we pay that"), WORDS)
    key = HiddenField(validators=[Regexp("[A-Za-z0-9_-]{16,64}$")], default=new_key)

    amount_minor = 0
    loss_minor = 0

    def validate_amount(self, field: Field) -> None:
        self.amount_minor = _amount(field.data)

    def validate_loss(self, field: Field) -> None:
        self.loss_minor = _amount(field.data) if (field.data or "").strip() else 0

    def validate_loss_reason(self, field: Field) -> None:
        if self.loss_minor and not (field.data or "").strip():
            raise ValidationError(_("Say why we pay what the wallet does not hold."))


class AccountForm(FlaskForm):
    """The customer's bank account. It is passed on to Paystack, and of it we keep the last four digits."""

    bank = StringField(_l("Bank"), [InputRequired(_l("Choose a bank.")), Length(max=10)])
    account_number = StringField(
        _l("Account number"),
        [Regexp("[0-9]{6,20}$", message=_l("Write the account number as digits only."))],
        filters=[lambda value: "".join((value or "").split())],
    )


def _amount(typed: str) -> int:
    found = parse_minor(typed or "", str(current_app.config["WALLET_CURRENCY"])) if len(typed or "") <= 24 else None
    if not found:
        raise ValidationError(_("Write an amount like 2,500."))
    return found
