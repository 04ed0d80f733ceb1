"""The wallet's currency is chosen once. With money in the ledger another one would show every balance as nothing, and
count new money beside the old: so nothing serves or works then."""

import logging

from flask import current_app
from sqlalchemy import func, select
from sqlalchemy.exc import SQLAlchemyError

from namaskah.db import db
from namaskah.wallet.models import LedgerAccount

log = logging.getLogger(__name__)


class OtherCurrency(Exception):
    """The ledger is in another currency than WALLET_CURRENCY says. The message is for the operator."""


def refuse_other_currency() -> None:
    """Raises OtherCurrency. While the database does not answer nothing can be told, and nothing can be sold either;
    the money checks find it later."""
    wanted = current_app.config["WALLET_CURRENCY"]
    try:
        found = db.session.execute(
            select(LedgerAccount.currency, func.count())
            .where(LedgerAccount.provider.is_(None), LedgerAccount.currency != wanted)
            .group_by(LedgerAccount.currency)
        ).all()
    except SQLAlchemyError as error:
        log.warning("whether the ledger is in %s cannot be told now: %s", wanted, error)
        return
    finally:
        db.session.rollback()
    if found:
        other = ", ".join(f"{accounts} accounts in {currency}" for currency, accounts in found)
        raise OtherCurrency(
            f"WALLET_CURRENCY is {wanted}, and the ledger has {other}. No money was touched. Set WALLET_CURRENCY back:"
            " it cannot change once money has moved; another currency needs an installation of its own."
        )
