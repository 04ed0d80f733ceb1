"""The bank account that a refund needs when the card cannot take it: passed on to the gateway, kept by nobody."""

import logging
import re
from collections.abc import Sequence

from flask_babel import gettext as _

from namaskah.db import leave_database
from namaskah.errors import UserError
from namaskah.wallet import refund_asking, refund_reading, refunds
from namaskah.wallet.paystack import GatewayDown, GatewayRefused
from namaskah.wallet.paystack_refunds import Bank
from namaskah.wallet.refund_models import GatewayRefund

log = logging.getLogger(__name__)


def banks(currency: str) -> Sequence[Bank]:
    """Where money can be sent; none when the gateway does not tell, and then the bank's number is typed."""
    leave_database()
    try:
        return refund_asking.gateway().banks(currency)
    except (GatewayDown, GatewayRefused, UserError) as error:
        log.warning("no list of banks (%s)", error)
        return []


def send_to(reference: str, bank_id: str, account_number: str, who: str) -> GatewayRefund:
    """Name the account a refund that needs attention shall be paid into. We write down its last four digits and who
    did it, before the call; the gateway refuses a second one.

    Raises UserError when the gateway does not take it; the money stays on its way.
    """
    refund = refund_reading.get_refund(reference)
    if refund.state != "needs_attention" or refund.gateway_id is None:
        raise UserError(_("This refund does not wait for a bank account."), status=409)
    if not re.fullmatch("[0-9]{6,20}", account_number) or not re.fullmatch("[0-9]{1,10}", bank_id):
        raise UserError(_("Write the account number as digits only, and choose a bank."), status=422)
    gateway_id, currency = refund.gateway_id, refund.currency
    desk = refund_asking.gateway()
    refunds.note_account(reference, account_number[-4:], who)
    leave_database()
    try:
        answer = desk.retry_into(gateway_id, currency, bank_id, account_number)
    except GatewayDown as error:
        log.warning("refund %s: no clear answer to its account (%s)", reference, error)
        refund_asking.try_to_ask(reference)
        return _require_moved(
            reference, _("Paystack gave no clear answer. Look again in a minute before you repeat it.")
        )
    except GatewayRefused as error:
        refund_asking.try_to_ask(reference)  # it may have been moved on by somebody else
        return _require_moved(reference, _("Paystack does not take this account: %(why)s", why=error.reason))
    return refunds.note(reference, answer)


def _require_moved(reference: str, problem: str) -> GatewayRefund:
    refund = refund_reading.get_refund(reference)
    if refund.state == "needs_attention":
        raise UserError(problem, status=422)
    return refund
