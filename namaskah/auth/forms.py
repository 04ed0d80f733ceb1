"""What the pages of accounts accept. Sentences are translated when they are shown."""

from zoneinfo import available_timezones

from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l
from flask_wtf import FlaskForm
from wtforms import BooleanField, Field, HiddenField, PasswordField, StringField
from wtforms.validators import DataRequired, Length, ValidationError

from namaskah.auth import accounts, password_rule, passwords


class RegisterForm(FlaskForm):
    """After validation `email.data` is the address as we keep it, and `timezone.data` is a known zone or empty."""

    email = StringField(_l("E-mail"), [DataRequired(_l("Type your e-mail address."))])
    password = PasswordField(_l("Password"), [DataRequired(_l("Choose a password."))])
    accept = BooleanField(_l("Rules"), [DataRequired(_l("Without accepting the rules there is no account."))])
    timezone = HiddenField()
    min_length = password_rule.min_length(has_second_factor=False)  # a new account has none

    def validate_email(self, field: Field) -> None:
        email = accounts.parse_email(field.data)
        if email is None:
            raise ValidationError(_("This is no e-mail address. Look for a missing @ or a typing slip."))
        field.data = email

    def validate_password(self, field: Field) -> None:
        problem = password_rule.problem(field.data, self.email.data or "")
        if problem:
            raise ValidationError(problem)

    def validate_timezone(self, field: Field) -> None:
        # A script fills it in; a browser that knows a stranger zone gets the default, not an error.
        if field.data not in available_timezones():
            field.data = ""


class LoginForm(FlaskForm):
    """Shape only: whether address and password belong together is the view's question."""

    email = StringField(
        _l("E-mail"), [DataRequired(_l("Type your e-mail address.")), Length(max=254, message=_l("That is too long."))]
    )
    password = PasswordField(
        _l("Password"),
        [DataRequired(_l("Type your password.")), Length(max=passwords.MAX_LENGTH, message=_l("That is too long."))],
    )


class ConfirmForm(FlaskForm):
    password = PasswordField(
        _l("Password"),
        [DataRequired(_l("Type your password.")), Length(max=passwords.MAX_LENGTH, message=_l("That is too long."))],
    )
