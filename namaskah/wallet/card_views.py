"""Kept cards: their list, paying with one, removing one."""

from flask import current_app, flash, render_template, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _

from namaskah import limits
from namaskah.auth.access import customer, go, me, verified
from namaskah.money import SIGNS
from namaskah.wallet import auto_wishes, blueprint, card_charges, quotes, topups
from namaskah.wallet import cards as kept
from namaskah.wallet.forms import TopUpForm, new_key


@blueprint.get("/wallet/cards")
@customer
def cards() -> ResponseReturnValue:
    return _page(TopUpForm())


@blueprint.post("/wallet/cards/<int:card_id>/pay")
@verified
@limits.limit("top up", limits.account)
def pay_by_card(card_id: int) -> ResponseReturnValue:
    """A button carries its amount as `preset`; one that was written counts instead."""
    kept.get(me().id, card_id)
    form = TopUpForm()
    if not form.validate():
        return _page(form, card_id), 422
    try:
        top_up = card_charges.pay(me(), card_id, form.amount_minor, form.key.data or "")
    except topups.KeyUsed as error:
        form.amount.errors = [error.message]
        form.key.data = new_key()
        return _page(form, card_id), error.status
    return go(url_for("wallet.top_up_page", reference=top_up.reference, go=1))


@blueprint.post("/wallet/cards/<int:card_id>/remove")
@customer
def remove_card(card_id: int) -> ResponseReturnValue:
    kept.remove(me().id, card_id)
    flash(_("The card is removed. Nothing can be charged to it from here any more."), "success")
    return go(url_for("wallet.cards"))


def _page(form: TopUpForm, card_id: int | None = None) -> str:
    """`card_id` is the card whose form was sent."""
    config = current_app.config
    return render_template(
        "wallet/cards.html",
        cards=[(card, kept.name(card), kept.is_expired(card)) for card in kept.of_user(me().id)],
        form=form,
        sent=card_id,
        quotes=[quotes.quote(amount) for amount in quotes.suggested()[:3]],
        fee_on_top=quotes.customer_pays_fee(),
        sign=SIGNS[config["WALLET_CURRENCY"]],
        minimum_minor=config["TOP_UP_MIN_MINOR"],
        maximum_minor=config["TOP_UP_MAX_MINOR"],
        wish=auto_wishes.of_user(me().id),
    )
