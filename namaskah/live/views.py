"""The socket: who may open it, and what it is sent."""

import logging
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from flask import Blueprint, abort, current_app, request
from flask.blueprints import BlueprintSetupState
from flask_login import current_user
from simple_websocket import ConnectionClosed, Server
from wsproto.utilities import LocalProtocolError

from namaskah.db import db
from namaskah.extensions import sock
from namaskah.live import pages, subscription
from namaskah.live.pages import EVERYTHING, FETCH_AGAIN, Change, Page

if TYPE_CHECKING:
    from namaskah.auth.models import User

# RFC 6455, 7.4.1: htmx connects again after 1012, not after 1008.
NOT_WELCOME = 1008

# Where a socket's WSGI environment keeps the id of the session it was opened in.
SESSION = "namaskah.session"

# A whole message for htmx's hx-ws: the order lands in the page's (hidden) #live, where app.js obeys and removes it.
FETCH_AGAIN_FRAME = '<hx-partial hx-target="#live" hx-swap="innerHTML"><i data-fetch-again></i></hx-partial>'

renderers: "dict[str, Callable[[User, int | None], str]]" = {}
"""How each topic is drawn, filled by create_app(). A renderer takes the viewer and one item's key, or None for all that
is open, and returns `<hx-partial hx-target="#id" hx-swap="outerMorph">…</hx-partial>`, any number of them. It must
check that the item is the viewer's, and answer '' if not. A topic without one pushes nothing, but the viewer's session
is checked all the same."""

blueprint = Blueprint("live", __name__)
_log = logging.getLogger(__name__)


@blueprint.record
def _configure(state: BlueprintSetupState) -> None:
    """Half the pool at most draws pushes, so that a thousand pages told at once leave connections to requests."""
    slots = max(1, state.app.config["DATABASE_POOL_SIZE"] // 2)
    state.app.extensions["live_drawing"] = threading.BoundedSemaphore(slots)
    # 4 KiB: a page has nothing to say here. 25 s keeps proxies from closing an idle line.
    state.app.config.setdefault("SOCK_SERVER_OPTIONS", {"ping_interval": 25, "max_message_size": 4096})


@blueprint.before_request
def _admit() -> None:
    """Refuse before the upgrade. Browsers send cookies with any site's socket and do not ask, so Origin decides."""
    if urlsplit(request.headers.get("Origin", "")).netloc != request.host:
        abort(403)
    if not _is_welcome():
        abort(401)
    if not pages.has_room(current_user.id):
        abort(429)


def socket(ws: Server) -> None:
    """Send one page every change of its user's until either side closes."""
    page = Page(current_user.id, ws)
    request.environ[SESSION] = current_user.session.id
    # A socket lives for hours: what the handshake read must not keep a connection of the pool.
    db.session.remove()
    with pages.present(page):
        page.tell(EVERYTHING)
        subscription.ensure_running(current_app.config["REDIS_URL"])
        try:
            _serve(ws, page)
        except (OSError, ConnectionClosed, LocalProtocolError):
            _log.debug("a page went away")


socket.access = "customer"  # type: ignore[attr-defined]  # as access._ruled() does
sock.route("/live", bp=blueprint, endpoint="socket")(socket)


def _serve(ws: Server, page: Page) -> None:
    environ = request.environ
    while ws.connected:
        changes = page.take()
        if page.close_code is None and changes and ws.connected:
            frame = _frame(environ, changes)
            if frame is None:
                page.close_code = NOT_WELCOME
            elif frame:
                ws.send(frame)
        if page.close_code is None and ws.input_buffer:
            page.close_code = NOT_WELCOME  # pages only listen
        if page.close_code is not None and ws.connected:
            ws.close(page.close_code, pages.HINTS.get(page.close_code))


def _frame(environ: dict[str, Any], changes: list[Change]) -> str | None:
    """The changes as HTML, '' if there is nothing to show, None if the session behind the page has ended.

    Drawn as if the page had asked with the cookies it connected with: same user loading, language and time zone as
    any request, each time afresh, so that a ban or a log-out elsewhere counts from the next push on.
    """
    app = current_app
    # request_context() alone would reuse the handshake's application context: its user, its database session.
    with app.extensions["live_drawing"], app.app_context(), app.request_context(environ):
        try:
            if not _is_welcome():
                return None
            return "".join(_draw(change) for change in changes)
        except Exception:
            _log.exception("a push could not be drawn: %s", changes)
            return FETCH_AGAIN_FRAME


def _draw(change: Change) -> str:
    user = current_user._get_current_object()
    if change == FETCH_AGAIN:
        return FETCH_AGAIN_FRAME
    if change == EVERYTHING:
        return "".join(render(user, None) for render in renderers.values())
    render = renderers.get(change.topic)
    return render(user, change.item) if render else ""


def _is_welcome() -> bool:
    return bool(current_user.is_authenticated and current_user.is_active)
