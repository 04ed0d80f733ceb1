"""The page where one asks for everything we hold, watches it being made, and takes it."""

from datetime import UTC, datetime

from flask import abort, make_response, render_template, url_for
from flask.typing import ResponseReturnValue
from werkzeug.wrappers import Response

from namaskah.account import blueprint, exports
from namaskah.auth.access import customer, go, me, stepped_up
from namaskah.auth.models import User

LARGEST_ID = 2**63 - 1


@blueprint.get("/account/export")
@customer
def export() -> str:
    return render_template("account/export.html", **_state(me()))


@blueprint.post("/account/export")
@stepped_up
def ask_export() -> ResponseReturnValue:
    try:
        exports.ask(me())
    except exports.TooMany as error:
        return render_template("account/export.html", refusal=error.message, **_state(me())), error.status
    return go(url_for("account.export"))


@blueprint.get("/account/export/<int:export_id>/file")
@stepped_up
def export_file(export_id: int) -> Response:
    content = exports.take(me(), min(export_id, LARGEST_ID))
    if content is None:
        abort(404)
    response = make_response(content)
    response.headers["Content-Type"] = "application/zip"
    response.headers["Content-Disposition"] = f'attachment; filename="namaskah-{datetime.now(UTC):%Y-%m-%d}.zip"'
    return response


def push(user: User, _item: int | None) -> str:
    """What a push draws of it: nothing for who has asked for no file."""
    state = _state(user)
    if state["export"] is None:
        return ""
    html = render_template("account/_export.html", **state)
    return f'<hx-partial hx-target="#export" hx-swap="outerMorph">{html}</hx-partial>'


def _state(user: User) -> dict[str, object]:
    return {"export": exports.latest(user), "parts": exports.PARTS, "kept_days": exports.KEPT.days}
