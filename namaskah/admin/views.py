"""One page for whoever runs the business: what needs a person, and how the providers are."""

from flask import flash, redirect, render_template, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _

from namaskah.admin import blueprint, overview
from namaskah.auth.access import admin_only
from namaskah.reconciliation import books


@blueprint.get("/")
@admin_only
def show() -> ResponseReturnValue:
    return render_template("admin/show.html", **overview.read())


@blueprint.post("/books")
@admin_only
def check_books() -> ResponseReturnValue:
    books.ask_for_check()
    flash(_("The books are being checked. Load this page again in a moment."), "success")
    return redirect(url_for("admin.show"), 303)
