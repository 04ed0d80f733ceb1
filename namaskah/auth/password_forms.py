"""What the pages around a new password, or a new address, accept."""

from typing import Any

from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l
from flask_wtf import FlaskForm
from wtforms import Field, PasswordField, StringField
from wtforms.validators import DataRequired, Length, ValidationError

from namaskah.auth import accounts, password_rule, passwords

TOO_LONG = _l("That is too long.")


class AddressForm(FlaskForm):
    """After validation `email.data` is the address as we keep it."""

    email = StringField(_l("E-mail"), [DataRequired(_l("Type your e-mail address."))])

    def validate_email(self, field: Field) -> None:
        email = accounts.parse_email(field.data)
        if email is None:
            raise ValidationError(_("This is no e-mail address. Look for a missing @ or a typing slip."))
        field.data = email


class NewAddressForm(AddressForm):
    """Another address than the `present` one."""

    email = StringField(_l("New e-mail address"), [DataRequired(_l("Type your new e-mail address."))])

    def __init__(self, present: str, **options: Any) -> None:
        super().__init__(**options)
        self.present = present

    def validate_email(self, field: Field) -> None:
        super().validate_email(field)
        if field.data == self.present:
            raise ValidationError(_("This is the address your account has already."))


class NewPasswordForm(FlaskForm):
    """A new password for the account with this address."""

    password = PasswordField(_l("New password"), [DataRequired(_l("Choose a password."))])

    def __init__(self, email: str, *, has_second_factor: bool = False, **options: Any) -> None:
        super().__init__(**options)
        self.account_email = email
        self.has_second_factor = has_second_factor

    @property
    def min_length(self) -> int:
        return password_rule.min_length(self.has_second_factor)

    def validate_password(self, field: Field) -> None:
        problem = password_rule.problem(field.data, self.account_email, has_second_factor=self.has_second_factor)
        if problem:
            raise ValidationError(problem)


class ChangePasswordForm(NewPasswordForm):
    """`current` only by its shape: whether it is the password is the view's question."""

    current = PasswordField(
        _l("Present password"),
        [DataRequired(_l("Type your present password.")), Length(max=passwords.MAX_LENGTH, message=TOO_LONG)],
    )
