"""The predecessor's records as they are here: whether they name a payment, which its balances then hold perhaps."""

from sqlalchemy import or_, select

from namaskah.db import db
from namaskah.legacy.models import LegacyRecord


def names_payment(reference: str) -> bool:
    """Whether a row that came over has this reference, or speaks of it. Where no name was kept, its words have it."""
    content = LegacyRecord.content
    spoken_of = content["description"].astext.contains(reference, autoescape=True)
    named = select(LegacyRecord.id).where(or_(content["reference"].astext == reference, spoken_of))
    return db.session.scalar(named.limit(1)) is not None
