"""What the pages of the second factor accept."""

from flask_babel import lazy_gettext as _l
from flask_wtf import FlaskForm
from wtforms import StringField
from wtforms.validators import DataRequired, Length


class CodeForm(FlaskForm):
    """Any code: of the app or a recovery code."""

    code = StringField(
        _l("Code"), [DataRequired(_l("Type the code.")), Length(max=60, message=_l("That is too long."))]
    )
