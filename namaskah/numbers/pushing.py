"""What a push draws: the same partials as the pages, as htmx takes them from the socket."""

from datetime import timedelta

from flask import render_template
from sqlalchemy import func, or_, select

from namaskah.auth.models import User
from namaskah.db import db
from namaskah.numbers.models import OPEN, Activation
from namaskah.numbers.presenting import open_count, present
from namaskah.wallet import ledger

LATELY = timedelta(minutes=2)


def activation(user: User, item: int | None) -> str:
    """One activation of the viewer's, the wallet with it, for its figure changes too; or every open one."""
    mine = select(Activation).where(Activation.user_id == user.id).execution_options(populate_existing=True)
    # What ended a moment ago is on a page that has not been told yet, if the pushes were away.
    lately = or_(Activation.state.in_(OPEN), Activation.ended_at > func.now() - LATELY)
    wanted = mine.where(Activation.id == item if item is not None else lately)
    parts = [
        _part(f"activation-{found.id}", render_template("activations/_activation.html", view=present(found)))
        for found in db.session.scalars(wanted)
    ]
    return "".join(parts) + (wallet(user, None) if item is not None else "")


def wallet(user: User, _item: int | None) -> str:
    """The figures in the header."""
    chip = render_template("_wallet_chip.html", wallet=ledger.balance(user.id))
    count = render_template("_open_count.html", open_count=open_count(user.id))
    return _part("wallet-chip", chip) + _part("open-count", count)


def _part(target: str, html: str) -> str:
    return f'<hx-partial hx-target="#{target}" hx-swap="outerMorph">{html}</hx-partial>'
