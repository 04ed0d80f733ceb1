"""For whoever watches over the processes."""

from flask import Blueprint, Response

from namaskah.auth.access import public
from namaskah.extensions import limiter

blueprint = Blueprint("health", __name__)

ALIVE = b'{"status":"ok"}\n'


@blueprint.get("/health/live")
@limiter.exempt
@public
def live() -> Response:
    """Whether this process answers. Asks nobody: a lost database is no reason to kill the web server."""
    return Response(ALIVE, mimetype="application/json")


live.talisman_view_options = {"force_https": False}  # type: ignore[attr-defined]  # Talisman looks for it on the function
