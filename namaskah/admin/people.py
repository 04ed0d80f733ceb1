"""Whose things are in a list, as the operator knows customers: by their e-mail addresses."""

from collections.abc import Iterable
from typing import Protocol

from sqlalchemy import select

from namaskah.admin import blueprint
from namaskah.auth.models import User
from namaskah.db import db


class Owned(Protocol):
    """Something of one customer."""

    user_id: int


def addresses_of(rows: Iterable[Owned]) -> dict[int, str]:
    """The e-mail address of each one's owner, by the account's number."""
    ids = {row.user_id for row in rows}
    found = db.session.execute(select(User.id, User.email).where(User.id.in_(ids))) if ids else ()
    return {row[0]: row[1] for row in found}


@blueprint.app_template_filter()
def actor(who: str) -> str:
    """Who did something, as the books name them: "user:7" by the address of the account, "system" and others as is."""
    kind, _colon, number = (who or "").partition(":")
    user = db.session.get(User, int(number)) if kind == "user" and number.isdecimal() else None
    return user.email if user else who
