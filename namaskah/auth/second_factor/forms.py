"""What the pages of the second factor accept."""

import unicodedata

from flask_babel import lazy_gettext as _l
from flask_wtf import FlaskForm
from wtforms import StringField
from wtforms.validators import DataRequired, Length


def _latin(typed: str | None) -> str:
    """Digits of any script as ours: an Arabic keyboard types ١٢٣ for what the app shows as 123."""
    return "".join(str(unicodedata.digit(letter, letter)) for letter in typed or "")


class CodeForm(FlaskForm):
    """Any code: of the app or a recovery code."""

    code = StringField(
        _l("Code"),
        [DataRequired(_l("Type the code.")), Length(max=60, message=_l("That is too long."))],
        filters=[_latin],
    )
