"""One page for whoever runs the business: what needs a person, and how the providers are."""

from flask import render_template
from flask.typing import ResponseReturnValue

from namaskah.admin import blueprint, overview
from namaskah.auth.access import admin_only


@blueprint.get("/")
@admin_only
def show() -> ResponseReturnValue:
    return render_template("admin/show.html", **overview.read())
