"""Paystack's webhook: believe the signature, keep the event, answer at once. The worker acts on it."""

import logging
from ipaddress import IPv6Address, ip_address, ip_network

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
@csrf.exempt  # type: ignore[untyped-decorator]  # flask_wtf comes without types
@limiter.exempt
@signed
def receive() -> ResponseReturnValue:
    """200 once the body is on disk; anything else makes Paystack send it again (for 72 hours in live mode).

    401 for a wrong signature, 403 from an address that PAYSTACK_WEBHOOK_IPS does not allow, and 413 for a body past a
    megabyte, without a word about why. A signed body that is no event is kept and answered 200 too: sent once more it
    would be no better, and a person sees it.
    """
    if not _may_come_from(request.remote_addr):
        log.warning("a webhook was refused: PAYSTACK_WEBHOOK_IPS does not hold %s", request.remote_addr)
        return "", 403
    request.max_content_length = MAX_BYTES
    raw_body = request.get_data(cache=False)
    paystack = Paystack(current_app.config["PAYSTACK_SECRET_KEY"], current_app.config["PAYSTACK_BASE_URL"])
    if not paystack.signature_matches(raw_body, request.headers.get("x-paystack-signature")):
        return "", 401
    receive_event(raw_body)
    return "", 200


def _may_come_from(address: str | None) -> bool:
    """Whether the caller's address is one of those that are allowed; behind proxies, that which PROXY_HOPS of them
    vouch for."""
    allowed = current_app.config["PAYSTACK_WEBHOOK_IPS"]
    if not allowed:
        return True
    try:
        caller = ip_address(address or "")
    except ValueError:
        return False
    if isinstance(caller, IPv6Address) and caller.ipv4_mapped:
        caller = caller.ipv4_mapped
    return any(caller in ip_network(network) for network in allowed)
