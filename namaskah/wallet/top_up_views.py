"""The customer's list of top-ups: what was begun, and what became of each."""

import re

from flask import abort, render_template, request, url_for
from flask.typing import ResponseReturnValue

from namaskah.auth.access import customer, me
from namaskah.wallet import aftermath, blueprint, top_up_lists


@blueprint.get("/wallet/top-ups", endpoint="top_ups")
@customer
def show_top_ups() -> ResponseReturnValue:
    before = request.args.get("before", "")
    if before and not re.fullmatch("[0-9]{1,18}", before):
        abort(404)
    page = top_up_lists.of_user(me().id, int(before) if before else None)
    return render_template(
        "wallet/top_ups.html",
        rows=aftermath.endings_of(page.top_ups),
        older_url=page.older and url_for("wallet.top_ups", before=page.older),
        newest_url=url_for("wallet.top_ups") if before else None,
    )
