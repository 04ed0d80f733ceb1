"""What is erased by itself, and what came of it the last time."""

from flask import abort, flash, redirect, render_template, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _

from namaskah.admin import blueprint
from namaskah.auth.access import admin_only, me
from namaskah.housekeeping import reading, running


@blueprint.get("/housekeeping")
@admin_only
def housekeeping() -> ResponseReturnValue:
    return render_template("admin/housekeeping.html", standings=reading.standings())


@blueprint.post("/housekeeping/<name>/run")
@admin_only
def run_housekeeping(name: str) -> ResponseReturnValue:
    try:
        running.ask(name, f"user:{me().id}")
    except KeyError:
        abort(404)
    flash(_("The worker is on it now. Load this page again in a moment."), "success")
    return redirect(url_for("admin.housekeeping"), 303)
