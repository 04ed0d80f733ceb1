"""For programs that watch: /health and its kin, and /metrics. None of it needs a log-in, none of it tells a secret."""

import hmac
from ipaddress import ip_address, ip_network

from flask import Response, current_app, jsonify, request

from namaskah.auth.access import public
from namaskah.extensions import limiter
from namaskah.watch import blueprint, exposition, health


@blueprint.get("/health")
@limiter.exempt
@public
def show_health() -> Response:
    """Everything at a glance; 503 when nobody could be served."""
    told = health.told()
    return _json(told, 503 if told["status"] == "down" else 200)


@blueprint.get("/health/ready")
@limiter.exempt
@public
def ready() -> Response:
    """Whether requests may be sent here."""
    found = health.readiness()
    if not found.is_ready:
        return _json({"status": "not ready", "why": found.why_not}, 503)
    return _json({"status": "degraded" if found.degraded else "ok", "degraded": found.degraded}, 200)


@blueprint.get("/metrics")
@limiter.exempt
@public
def metrics() -> Response:
    """For Prometheus alone; whoever else asks is told that there is nothing here."""
    if not _may_read_metrics():
        return Response("", 404, mimetype="text/plain")
    return Response(exposition.text(), mimetype="text/plain", content_type=exposition.CONTENT_TYPE)


# Asked for inside our own network, by the machine's address.
for _view in (show_health, ready, metrics):
    _view.talisman_view_options = {"force_https": False}  # type: ignore[attr-defined]  # Talisman looks for it on the function


def _may_read_metrics() -> bool:
    token = current_app.config["METRICS_TOKEN"]
    sent = request.headers.get("Authorization", "").partition("Bearer ")[2]
    if token and hmac.compare_digest(sent.encode(), token.encode()):
        return True
    try:
        asker = ip_address(request.remote_addr or "")
    except ValueError:
        return False
    return any(asker in ip_network(network) for network in current_app.config["METRICS_FROM"])


def _json(content: dict[str, object], status: int) -> Response:
    response = jsonify(content)
    response.status_code = status
    return response
