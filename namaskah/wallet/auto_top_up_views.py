"""What is topped up by itself, and the letter about a low balance."""

from flask import current_app, flash, render_template, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _

from namaskah import limits
from namaskah.auth.access import customer, go, me, stepped_up, verified
from namaskah.errors import UserError
from namaskah.money import SIGNS
from namaskah.wallet import auto_topups, auto_wishes, blueprint, cards, low_balance, quotes
from namaskah.wallet.card_forms import AutoTopUpForm, LowBalanceForm, plain


@blueprint.route("/wallet/auto-top-up", methods=["GET", "POST"])
@verified
@stepped_up
@limits.limit("preferences", limits.account)
def auto_top_up() -> ResponseReturnValue:
    """It will charge a card with nobody at the screen: whoever sets it up has just proved who they are."""
    form = AutoTopUpForm().offer(cards.of_user(me().id), auto_wishes.of_user(me().id))
    if not form.is_submitted():
        return _page(form, _low_form())
    if not form.validate():
        return _page(form, _low_form()), 422
    try:
        auto_topups.switch_on(me(), form.card_id, form.below_minor, form.amount_minor, form.day_limit_minor)
    except UserError as error:
        form.form_errors.append(error.message)
        return _page(form, _low_form()), error.status
    flash(_("The automatic top-up is on. You get a letter each time."), "success")
    return go(url_for("wallet.auto_top_up"))


@blueprint.post("/wallet/auto-top-up/off")
@customer
def auto_top_up_off() -> ResponseReturnValue:
    """To stop it asks for nothing."""
    auto_wishes.switch_off(me().id)
    flash(_("The automatic top-up is off. A payment that is under way still arrives."), "success")
    return go(url_for("wallet.cards"))


@blueprint.post("/wallet/low-balance")
@customer
@limits.limit("preferences", limits.account)
def save_low_balance() -> ResponseReturnValue:
    form = LowBalanceForm()
    if not form.validate():
        offered = AutoTopUpForm(formdata=None).offer(cards.of_user(me().id), auto_wishes.of_user(me().id))
        return _page(offered, form), 422
    low_balance.set_threshold(me().id, form.below_minor)
    flash(_("Saved: no letter about a low balance.") if form.below_minor is None else _("Saved."), "success")
    return go(url_for("wallet.auto_top_up"))


def _low_form() -> LowBalanceForm:
    known = low_balance.threshold(me().id)
    return LowBalanceForm(formdata=None, low=plain(known) if known else "")


def _page(form: AutoTopUpForm, low_form: LowBalanceForm) -> str:
    wish = auto_wishes.of_user(me().id)
    return render_template(
        "wallet/auto_top_up.html",
        fee_on_top=quotes.customer_pays_fee(),
        quote=quotes.quote(wish.amount_minor) if wish and wish.is_on else None,
        form=form,
        low_form=low_form,
        wish=wish,
        reason=auto_wishes.REASONS.get(wish.off_reason) if wish else None,
        waits=auto_wishes.WAITS.get(wish.waits_for) if wish else None,
        sign=SIGNS[current_app.config["WALLET_CURRENCY"]],
        most=auto_topups.MOST_A_DAY,
        minimum_minor=current_app.config["TOP_UP_MIN_MINOR"],
        maximum_minor=current_app.config["TOP_UP_MAX_MINOR"],
    )
