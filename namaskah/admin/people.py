"""Customers as the operator knows them: by their e-mail addresses, or the number of the account."""

from collections.abc import Iterable
from typing import Protocol

from sqlalchemy import select

from namaskah.admin import blueprint
from namaskah.auth import accounts
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


def find_account(words: str) -> User | None:
    """The account with this address or number, as it was typed; a deleted one is none."""
    wanted = words.strip()
    if wanted.isascii() and wanted.isdigit():
        found = db.session.get(User, int(wanted)) if len(wanted) < 10 else None
    else:
        found = accounts.find_by_email(wanted)
    return None if found is None or found.deleted_at is not None else found


@blueprint.app_template_filter()
def actor(who: str) -> str:
    """Who did something, as the books name them: "user:7" by the address of the account, "system" and others as is."""
    kind, _colon, number = (who or "").partition(":")
    user = db.session.get(User, int(number)) if kind == "user" and number.isdecimal() else None
    return user.email if user else who
