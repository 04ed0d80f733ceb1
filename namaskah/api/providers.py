"""Providers' webhooks: an SMS pushed to us. The protocol signs nothing, so a secret in the address admits it."""

from hmac import compare_digest

from flask import Blueprint, abort, current_app, request
from flask.typing import ResponseReturnValue

from namaskah.auth.access import signed
from namaskah.extensions import csrf, limiter
from namaskah.numbers import polling
from namaskah.providers.base import Sms

blueprint = Blueprint("webhooks_providers", __name__)

MAX_BYTES = 65_536


@blueprint.post("/webhooks/providers/<provider>")
@csrf.exempt  # type: ignore[untyped-decorator]
@limiter.exempt
@signed
def receive(provider: str) -> ResponseReturnValue:
    """SMS-Activate protocol: JSON with activationId (number or string), text and code; 200 is the receipt.

    An activation we do not know (yet) is answered 200 as well: the poll brings its message.
    """
    secret = current_app.config["PROVIDER_WEBHOOK_TOKEN"]
    if not secret or not compare_digest(request.args.get("token", "").encode(), secret.encode()):
        abort(404)
    request.max_content_length = MAX_BYTES
    sent = request.get_json(silent=True)
    if not isinstance(sent, dict) or not isinstance(sent.get("activationId"), int | str):
        return "", 400
    text, code = sent.get("text") or "", sent.get("code")
    if not isinstance(text, str) or not isinstance(code, str | int | None) or not (text or code):
        return "", 400
    sms = Sms(text=text, code=str(code) if code is not None else None)
    polling.receive_push(provider, str(sent["activationId"]), sms)
    return "", 200
