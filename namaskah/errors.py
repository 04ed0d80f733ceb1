"""Errors a person may see: one class, shown as a page, or as a fragment when htmx asked."""

from datetime import timedelta
from typing import Any

from flask import Flask, Response, current_app, g, make_response, render_template, request
from flask_babel import format_timedelta
from flask_babel import gettext as _
from flask_login import AnonymousUserMixin
from flask_wtf.csrf import CSRFError
from sqlalchemy.exc import OperationalError
from sqlalchemy.exc import TimeoutError as PoolExhausted
from werkzeug.exceptions import HTTPException, MethodNotAllowed, TooManyRequests

from namaskah import limits, metrics, tracing
from namaskah.db import db


class UserError(Exception):
    """Something the person can understand and act upon.

    `message` is a translated sentence that says what happened to their money and what to do; `status` the HTTP status.
    """

    status = 400

    def __init__(self, message: str, *, status: int | None = None, **details: Any) -> None:
        super().__init__(message)
        self.message = message
        self.status = status or self.status
        self.details = details


def register_errors(app: Flask) -> None:
    """Answer every error with a page that says what happened and what to do."""
    app.register_error_handler(UserError, _user_error)
    app.register_error_handler(CSRFError, _stale_form)
    app.register_error_handler(HTTPException, _http_error)
    app.register_error_handler(PoolExhausted, _too_busy)
    app.register_error_handler(OperationalError, _too_busy)
    app.register_error_handler(Exception, _fault)


def _user_error(error: UserError) -> Response:
    return _answer(error.status, _title(error.status), message=error.message)


def _stale_form(_error: CSRFError) -> Response:
    """The form's protection has expired: usually a page left open for long, or a browser that refuses cookies."""
    return _answer(
        400,
        _("This page was open too long"),
        message=_("For your safety it can't be sent any more. Nothing was done and nothing was charged."),
        what_to_do=_("Go back, load the page again and repeat it."),
    )


def _http_error(error: HTTPException) -> Response:
    status = error.code or 500
    if status < 400:
        return make_response(error.get_response())
    if isinstance(error, TooManyRequests):
        return _too_many()
    answer = _answer(status, _title(status), what_to_do=_advice(status))
    if isinstance(error, MethodNotAllowed) and error.valid_methods:
        answer.headers["Allow"] = ", ".join(sorted(error.valid_methods))
    return answer


def _too_many() -> Response:
    """Says when to come back, in words and in the header that programs read."""
    seconds = limits.seconds_to_wait() or 60
    advice = _("Try again %(in_a_while)s. Nothing was done and nothing was charged.", in_a_while=_in(seconds))
    answer = _answer(429, _title(429), what_to_do=advice)
    answer.headers["Retry-After"] = str(seconds)
    return answer


def _in(seconds: int) -> str:
    """'in 4 minutes', never less than it is."""
    size = next((size for size in (86_400, 3600, 60) if seconds >= size), 1)
    return str(format_timedelta(timedelta(seconds=-(-seconds // size) * size), threshold=1.0, add_direction=True))


def _too_busy(error: Exception) -> Response:
    """No connection to be had, or the database went away: nothing was begun, or it was rolled back; or it was done,
    and the database's word of that was lost on its way."""
    current_app.logger.error("the database did not serve %s: %s", request.endpoint, type(error).__name__)
    db.session.rollback()
    # The page must not ask the database again who reads it.
    g._login_user = AnonymousUserMixin()
    answer = _answer(
        503,
        _title(503),
        money=_("Your money is safe: whatever was half done is finished or taken back by itself."),
        what_to_do=_advice(503) if request.method == "GET" else _look_first(),
        page="errors/busy.html",
    )
    answer.headers["Retry-After"] = "5"
    return answer


def _look_first() -> str:
    return _(
        "Before you try again, look whether it was done: your wallet and your numbers show it. "
        "Sending the same page again does nothing twice."
    )


def _fault(error: Exception) -> Response:
    metrics.CRASHES.inc()
    current_app.logger.exception("unhandled error at %s", request.endpoint, exc_info=error)
    # What went wrong may have left a broken transaction, and the error page reads who is logged in.
    db.session.rollback()
    said = {
        "money": _("Your money is safe: whatever was half done is finished or taken back by itself."),
        "what_to_do": _advice(500),
    }
    try:
        return _answer(500, _title(500), **said)
    except Exception as second:  # the last resort: what is broken may be what every page is made of
        current_app.logger.error("the page about it failed too: %s", type(second).__name__)
        db.session.rollback()
        g._login_user = AnonymousUserMixin()
        return _answer(500, _title(500), **said, page="errors/busy.html")


def _answer(
    status: int,
    title: str,
    *,
    message: str = "",
    money: str = "",
    what_to_do: str = "",
    page: str = "errors/error.html",
) -> Response:
    view = current_app.view_functions.get(request.endpoint or "")
    if getattr(view, "access", None) == "signed":
        return make_response("", status)  # a program reads the status alone
    template = "errors/_error.html" if request.headers.get("HX-Request") else page
    said = {"title": title, "message": message, "money": money, "what_to_do": what_to_do}
    return make_response(render_template(template, code=status, request_id=tracing.known_id(), **said), status)


def _title(status: int) -> str:
    return {
        402: _("Not enough money"),
        403: _("This is not open to you"),
        404: _("There is nothing here"),
        405: _("This can't be done that way"),
        409: _("That has changed meanwhile"),
        413: _("That is too large"),
        429: _("That was a lot at once"),
        503: _("Not available just now"),
    }.get(status, _("Something went wrong on our side") if status >= 500 else _("That did not work"))


def _advice(status: int) -> str:
    return {
        400: _("What came here was not complete. Go back, load the page again and repeat it. Nothing was charged."),
        403: _("Nothing was done. If you think that is a mistake, write to us."),
        404: _("The address may be mistyped, or what it named is gone. Your money is where it was."),
        405: _("Go back and use the page's own buttons. Nothing was done."),
        413: _("Send less at once. Nothing was done."),
        503: _("Try again in a minute. Nothing was charged."),
    }.get(status, _("Try again. If it stays like this, write to us and say when it happened.") if status >= 500 else "")
