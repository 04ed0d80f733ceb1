"""What guards the account, where it is logged in, and what happened to it."""

from typing import Any

from flask import abort, flash, render_template, request, url_for
from flask_babel import gettext as _
from flask_babel import ngettext
from werkzeug.wrappers import Response

from namaskah.account import blueprint
from namaskah.auth import audit, sessions
from namaskah.auth.access import customer, go, me, stepped_up
from namaskah.auth.models import AuditEvent

PAGE = 20
SAID = ("banned", "unbanned")  # their sentences say already that it was us
LARGEST_ID = 2**63 - 1  # what the database calls a number; an address may hold any


@blueprint.get("/account/security")
@customer
def security() -> str:
    before = request.args.get("before", type=int)
    found = audit.history(me(), None if before is None else max(0, min(before, LARGEST_ID)), PAGE + 1)
    shown = found[:PAGE]
    return render_template(
        "account/security.html",
        events=[_event(event) for event in shown],
        older_url=url_for("account.security", before=shown[-1].id) if len(found) > PAGE else None,
        newest_url=url_for("account.security") if before is not None else None,
        device_count=len(sessions.of_user(me())),
    )


@blueprint.get("/account/sessions", endpoint="sessions")
@customer
def show_sessions() -> str:
    return render_template("account/sessions.html", devices=sessions.of_user(me()), here=me().session)


@blueprint.post("/account/sessions/<int:session_id>/end")
@stepped_up
def end_session(session_id: int) -> Response:
    """Somebody else's session is as unknown as one that never was."""
    here = me().session
    if here is not None and session_id == here.id:
        sessions.log_out()
        return go(url_for("auth.login"))
    if not sessions.end(me(), min(session_id, LARGEST_ID)):
        abort(404)
    flash(_("That device is logged out."), "success")
    return go(url_for("account.sessions"))


@blueprint.post("/account/sessions/end-others")
@stepped_up
def end_other_sessions() -> Response:
    ended = sessions.end_others(me())
    told = ngettext("%(num)s other device is logged out.", "%(num)s other devices are logged out.", ended)
    flash(told if ended else _("You were logged in nowhere else."), "success")
    return go(url_for("account.sessions"))


def _event(event: AuditEvent) -> dict[str, Any]:
    """One line of the history. Whoever acts for us has a name of their own in the log; the customer is told: we."""
    return {
        "text": audit.SENTENCES.get(event.kind, event.kind),
        "is_ours": event.kind not in SAID and event.actor not in (f"user:{event.user_id}", "somebody"),
        "at": event.at,
        "device": event.device,
        "address": event.address,
    }
