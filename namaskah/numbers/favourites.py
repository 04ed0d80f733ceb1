"""Services a customer has starred."""

from sqlalchemy import delete, select
from sqlalchemy.dialects.postgresql import insert as pg_insert

from namaskah.db import db, transaction
from namaskah.numbers.models import Favourite

MOST = 30


def of_user(user_id: int) -> list[str]:
    """Codes of a customer's favourite services."""
    return list(db.session.scalars(select(Favourite.service_code).where(Favourite.user_id == user_id).limit(MOST)))


def toggle(user_id: int, service: str) -> bool:
    """Star a service or take the star away; returns whether it is a favourite now."""
    with transaction():
        removed = db.session.scalar(
            delete(Favourite)
            .where(Favourite.user_id == user_id, Favourite.service_code == service)
            .returning(Favourite.service_code)
        )
        if removed is None:
            row = pg_insert(Favourite).values(user_id=user_id, service_code=service)
            db.session.execute(row.on_conflict_do_nothing())
    return removed is None
