"""The page on which a new version of the policies is accepted."""

from flask import flash, redirect, render_template, request
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _

from namaskah.auth import blueprint, policies
from namaskah.auth.access import customer, me, safe_next


@blueprint.route("/accept-policies", methods=["GET", "POST"])
@customer
def accept_policies() -> ResponseReturnValue:
    """What changed, and two ways on: accept, or log out."""
    target = safe_next(request.args.get("next"))
    if request.method == "POST":
        policies.accept(me())
        flash(_("Thank you. What you were about to do was not done yet: do it now."), "success")
    elif not policies.has_accepted(me()):
        return render_template("auth/accept_policies.html", changes=policies.changes_since(me().policy_version))
    return redirect(target, 303)
