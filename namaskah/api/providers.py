"""Providers' webhooks: an SMS pushed to us. The protocol signs nothing, so a secret in the address admits it."""

from hmac import compare_digest

from flask import Blueprint, abort, current_app, request
from flask.typing import ResponseReturnValue

from namaskah.auth.access import signed
from namaskah.extensions import csrf, limiter
from namaskah.numbers import polling
from namaskah.providers.answers import Malformed, as_object, parse_reference
from namaskah.providers.sms_activate_answers import parse_messages

blueprint = Blueprint("webhooks_providers", __name__)

MAX_BYTES = 65_536


@blueprint.post("/webhooks/providers/<provider>")
@csrf.exempt  # type: ignore[untyped-decorator]  # flask_wtf comes without types
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
    try:
        item = as_object(sent, "message")
        reference = parse_reference(item.get("activationId"))
        # Read as the poll reads it: one message must look the same whichever way it came.
        found = parse_messages(item.get("text"), item.get("code"))
    except Malformed:
        return "", 400
    for sms in found:
        polling.receive_push(provider, reference, sms)
    return "", (200 if found else 400)
