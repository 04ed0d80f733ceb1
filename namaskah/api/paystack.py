"""Paystack's webhook: believe the signature, keep the event, answer at once. The worker acts on it."""

import logging

from flask import Blueprint, current_app, request
from flask.typing import ResponseReturnValue

from namaskah.auth.access import signed
from namaskah.extensions import csrf, limiter
from namaskah.wallet.events import receive_event
from namaskah.wallet.paystack import Paystack

log = logging.getLogger(__name__)

blueprint = Blueprint("webhooks_paystack", __name__)

MAX_BYTES = 1_000_000


@blueprint.post("/webhooks/paystack")
@csrf.exempt  # type: ignore[untyped-decorator]
@limiter.exempt
@signed
def receive() -> ResponseReturnValue:
    """200 once the event is on disk; anything else makes Paystack send it again (for 72 hours in live mode).

    401 for a wrong signature and 413 for a body past a megabyte, without a word about why.
    """
    request.max_content_length = MAX_BYTES
    raw_body = request.get_data(cache=False)
    paystack = Paystack(current_app.config["PAYSTACK_SECRET_KEY"], current_app.config["PAYSTACK_BASE_URL"])
    if not paystack.signature_matches(raw_body, request.headers.get("x-paystack-signature")):
        return "", 401
    try:
        receive_event(raw_body)
    except ValueError as error:
        log.error("Paystack sent a signed body that is no event: %s", error)
        return "", 400
    return "", 200
