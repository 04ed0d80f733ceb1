"""Having Paystack forget cards that were removed, again and again until it says so."""

import logging

from flask import current_app
from sqlalchemy import Interval, delete, literal_column

from namaskah.auth import encryption
from namaskah.claims import claim_due
from namaskah.db import db, leave_database, transaction
from namaskah.wallet import card_charges
from namaskah.wallet.card_models import CardDeactivation
from namaskah.wallet.cards import DEACTIVATION
from namaskah.wallet.paystack import GatewayDown, GatewayRefused

log = logging.getLogger(__name__)

# While the gateway is away: from a minute to a day.
NEXT_GAP = literal_column("least(greatest(now() - created_at, interval '1 minute'), interval '1 day')", Interval())


def deactivate_due(limit: int = 20) -> int:
    """Worker: have cards forgotten whose time has come; gives how many were. Stops when the gateway is away."""
    if not current_app.config["PAYSTACK_SECRET_KEY"]:
        return 0
    for done in range(limit):
        claimed = claim_due(CardDeactivation.due_at, NEXT_GAP, CardDeactivation)
        if claimed is None:
            return done
        try:
            code = encryption.decrypt(claimed.authorization_code, DEACTIVATION).decode()
            leave_database()
            card_charges.gateway().deactivate(code)
        except encryption.Unreadable as error:
            log.error("card deactivation %d cannot be read: %s", claimed.id, error)
        except (GatewayDown, GatewayRefused) as error:
            log.warning("card deactivation %d: %s", claimed.id, error)
            return done
        with transaction():
            db.session.execute(delete(CardDeactivation).where(CardDeactivation.id == claimed.id))
    return limit
