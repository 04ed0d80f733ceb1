"""The component sheet: every macro in all its states, in development only."""

from datetime import UTC, datetime, timedelta

from flask import Blueprint, render_template
from flask.typing import ResponseReturnValue

from namaskah.auth.access import public

blueprint = Blueprint("dev", __name__, url_prefix="/dev")


@blueprint.get("/components")
@public
def components() -> ResponseReturnValue:
    now = datetime.now(UTC)
    return render_template("dev/components.html", now=now, expires_at=now + timedelta(minutes=18, seconds=42))
