"""What Paystack has sent us: the list, each as it came, and what a person can do with it."""

import json
import re
from typing import Any

from flask import Response, abort, flash, make_response, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _

from namaskah.admin import blueprint
from namaskah.auth.access import admin_only, me
from namaskah.errors import UserError
from namaskah.wallet import event_words, inbox, topups
from namaskah.wallet.inbox import Place
from namaskah.wallet.models import GatewayEvent, TopUp

# Of a body that cannot be read, as much as a page bears.
SHOWN_BYTES = 20_000


@blueprint.get("/gateway-events")
@admin_only
def gateway_events() -> ResponseReturnValue:
    state = request.args.get("state", "all")
    if state not in inbox.STATES:
        abort(404)
    asked = {name: request.args.get(name, "").replace("\0", "").strip()[:100] for name in ("event", "reference")}
    page = inbox.look(state, **asked, after=_place(request.args.get("after", "")))
    chosen: dict[str, Any] = {"state": state, **{name: value or None for name, value in asked.items()}}
    last = page.next and f"{'open' if page.next.is_open else 'rest'}-{page.next.id}"
    return render_template(
        "admin/gateway_events.html",
        rows=[(row, event_words.kind(row), event_words.outcome(row)) for row in page.events],
        kinds=inbox.kinds(),
        state=state,
        is_filtered=any(asked.values()) or state != "all",
        older_url=last and url_for("admin.gateway_events", after=last, **chosen),
        newest_url=url_for("admin.gateway_events", **chosen) if "after" in request.args else None,
        **asked,
    )


@blueprint.get("/gateway-events/<int:event_id>")
@admin_only
def gateway_event(event_id: int) -> ResponseReturnValue:
    return _page(_event(event_id))


@blueprint.get("/gateway-events/<int:event_id>/raw")
@admin_only
def gateway_event_raw(event_id: int) -> ResponseReturnValue:
    """The very bytes that were signed; 404 where they were not kept, or erased with the account they were about."""
    raw = _event(event_id).raw
    if raw is None:
        abort(404)
    response: Response = make_response(raw)
    response.mimetype = "application/octet-stream"
    response.headers["Content-Disposition"] = f'attachment; filename="event-{event_id}.json"'
    return response


@blueprint.post("/gateway-events/<int:event_id>/try-again")
@admin_only
def try_gateway_event_again(event_id: int) -> ResponseReturnValue:
    return _done(event_id, lambda: inbox.try_again(event_id, f"user:{me().id}"), _("The worker is on it now."))


@blueprint.post("/gateway-events/<int:event_id>/close")
@admin_only
def close_gateway_event(event_id: int) -> ResponseReturnValue:
    def close() -> None:
        if not inbox.close(event_id, f"user:{me().id}", request.form.get("reason", "")):
            raise UserError(_("Somebody has closed it before you. Nothing was done now."), status=409)

    return _done(event_id, close, _("Closed."))


def _done(event_id: int, verb: Any, sentence: str) -> ResponseReturnValue:
    found = _event(event_id)
    try:
        verb()
    except UserError as error:
        return _page(found, error.message), error.status
    flash(sentence, "success")
    return redirect(url_for("admin.gateway_event", event_id=event_id), 303)


def _page(event: GatewayEvent, problem: str = "") -> str:
    return render_template(
        "admin/gateway_event.html",
        event=event,
        kind=event_words.kind(event),
        outcome=event_words.outcome(event),
        body=_shown(event),
        top_up=_top_up(event.reference),
        can_close=inbox.can_close(event),
        can_try=inbox.can_try(event),
        problem=problem,
    )


def _shown(event: GatewayEvent) -> str:
    if event.body:
        return json.dumps(event.body, indent=2, ensure_ascii=False)
    return (event.raw or b"")[:SHOWN_BYTES].decode("utf-8", "replace").replace("\0", "\ufffd")


def _top_up(reference: str | None) -> TopUp | None:
    try:
        return topups.get_top_up(reference or "")
    except topups.UnknownTopUp:
        return None


def _event(event_id: int) -> GatewayEvent:
    return (inbox.get_event(event_id) if event_id < 2**63 else None) or abort(404)


def _place(value: str) -> Place | None:
    """A place from the address; one that cannot be is not there."""
    if not value:
        return None
    parts = re.fullmatch("(open|rest)-([0-9]{1,18})", value)
    return Place(parts[1] == "open", int(parts[2])) if parts else abort(404)
