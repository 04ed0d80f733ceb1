"""The public status page. It answers without a database too: then more than ever somebody wants to know."""

from flask import current_app, g, make_response, render_template
from flask.typing import ResponseReturnValue
from flask_babel import format_percent
from flask_login import AnonymousUserMixin
from sqlalchemy.exc import OperationalError
from sqlalchemy.exc import TimeoutError as PoolExhausted

from namaskah.auth.access import public
from namaskah.db import db
from namaskah.watch import blueprint, status


@blueprint.app_template_filter()
def exact_percent(share: float) -> str:
    """0.9995 as 99.95%, as the reader's language writes it."""
    return str(format_percent(share, format="0.00%"))


@blueprint.get("/status")
@public
def show_status() -> ResponseReturnValue:
    try:
        return render_template("watch/status.html", status=status.read())
    except (OperationalError, PoolExhausted) as error:
        current_app.logger.error("the status page has no database: %s", type(error).__name__)
        db.session.rollback()
        # The page must not ask the database again who reads it.
        g._login_user = AnonymousUserMixin()
        response = make_response(render_template("watch/status.html", status=status.without_database()), 503)
        response.headers["Retry-After"] = "30"
        return response
