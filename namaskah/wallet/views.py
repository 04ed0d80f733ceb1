"""The customer's pages about money: balance, top-up and its way back from the gateway."""

import logging
from datetime import UTC, datetime, timedelta

from flask import abort, current_app, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from sqlalchemy import select

from namaskah import limits
from namaskah.auth.access import customer, go, me, verified
from namaskah.db import db
from namaskah.money import SIGNS
from namaskah.wallet import (
    aftermath,
    blueprint,
    cards,
    debts,
    invoice_papers,
    invoices,
    promo,
    quotes,
    refund_reading,
    refund_words,
    statement,
    topups,
)
from namaskah.wallet.card_models import SavedCard
from namaskah.wallet.forms import TopUpForm, VoucherForm, new_key
from namaskah.wallet.models import TopUp
from namaskah.wallet.paystack import GatewayDown, GatewayRefused

log = logging.getLogger(__name__)

RECENT = 8


@blueprint.get("/wallet")
@customer
def show() -> ResponseReturnValue:
    return _wallet_page(TopUpForm(), quotes.suggested()[:2][-1:])


@blueprint.get("/wallet/top-up/cost")
@customer
def top_up_cost() -> ResponseReturnValue:
    """What the amount in the form would cost, as the customer chooses and types."""
    form = TopUpForm(request.args, meta={"csrf": False})
    return render_template("wallet/_cost.html", quote=_quote(form.amount_if_any()))


@blueprint.post("/wallet/top-up")
@verified
@limits.limit("top up", limits.account)
def top_up() -> ResponseReturnValue:
    form = TopUpForm()
    chosen = [amount for amount in quotes.suggested() if str(amount) == form.preset.data]
    if not form.validate():
        return _wallet_page(form, chosen), 422
    try:
        opened = topups.open_top_up(me(), form.amount_minor, form.key.data or "", keep_card=form.keep_card.data)
    except topups.KeyUsed as error:
        form.amount.errors = [error.message]
        form.key.data = new_key()
        return _wallet_page(form, chosen), error.status
    # Whoever has not been shown what is asked for in all, because no script told, sees it before going to pay.
    is_known = form.seen.data == str(opened.asked_minor) or not opened.surcharge_minor
    page = url_for("wallet.top_up_page", reference=opened.reference) + ("?go=1" if is_known else "?look=1")
    if "HX-Request" in request.headers and is_known and _is_payable(opened):
        return go(opened.checkout_url or page)
    return go(page)


@blueprint.get(topups.RETURN_PATH)
@customer
@limits.limit("settle", limits.account, methods=("GET",))
def returned() -> ResponseReturnValue:
    """Where the gateway sends the browser. That it came proves nothing: we ask the gateway, and show what it says."""
    reference = request.args.get("reference") or request.args.get("trxref") or ""
    _own_top_up(reference)
    try:
        topups.settle(reference)
    except (GatewayDown, GatewayRefused) as error:
        log.warning("top-up %s: not settled on return (%s)", reference, error)
    return redirect(url_for("wallet.top_up_page", reference=reference), 303)


@blueprint.get(topups.PAGE_PATH + "<reference>")
@customer
def top_up_page(reference: str) -> ResponseReturnValue:
    """`go=1` sends the browser on to the checkout. Not by the form's own redirect: our content policy lets forms
    lead nowhere but here, and browsers hold it against redirects too."""
    found = _own_top_up(reference)
    headers = {}
    if "go" in request.args and _is_payable(found) and _is_fresh(found):
        headers["Refresh"] = f"0; url={found.checkout_url}"
    sent_back = refund_reading.of_top_up(found)
    page = render_template(
        "wallet/top_up.html",
        top_up=found,
        ending=aftermath.ending_of(found, is_leaving="go" in request.args),
        card=_card_of(found),
        documents=invoices.documents_of(found),
        name_of=invoice_papers.kind_name,
        refunds=[(refund, refund_words.for_customer(refund)) for refund in sent_back],
        is_sent_back=found.paid_minor is not None and found.paid_minor == refund_reading.gone_minor(sent_back),
        disputes=debts.disputes_of(found),
        support_email=current_app.config["SUPPORT_EMAIL"],
    )
    return page, 200, headers


def _wallet_page(form: TopUpForm, chosen: list[int]) -> str:
    """`chosen` is the preset to mark, if any."""
    config = current_app.config
    page = statement.statement(me().id, limit=RECENT)
    return render_template(
        "wallet/show.html",
        form=form,
        presets=quotes.suggested(),
        voucher_form=VoucherForm(formdata=None),
        gifts=promo.gifts(me().id),
        preset=next(iter(chosen), None),
        fee_on_top=quotes.customer_pays_fee(),
        quote_of=_quote,
        sign=SIGNS[config["WALLET_CURRENCY"]],
        minimum_minor=config["TOP_UP_MIN_MINOR"],
        maximum_minor=config["TOP_UP_MAX_MINOR"],
        refunds=refund_reading.open_of_user(me().id),
        rows=page.rows,
        next_before=page.next_before,
    )


def _quote(amount_minor: int) -> quotes.Quote | None:
    """For an amount that can be topped up; None for another, and where no fee comes on top."""
    if not (quotes.customer_pays_fee() and amount_minor and quotes.is_allowed(amount_minor)):
        return None
    return quotes.quote(amount_minor)


def _own_top_up(reference: str) -> TopUp:
    """Somebody else's top-up is as unknown as one that never was, or cannot be."""
    if not topups.REFERENCE.fullmatch(reference):
        abort(404)
    found = db.session.scalar(select(TopUp).filter_by(reference=reference, user_id=me().id))
    return found or abort(404)


def _card_of(found: TopUp) -> str:
    """The kept card it is charged to, as people know it; nothing for a checkout."""
    card = db.session.get(SavedCard, found.card_id) if found.card_id else None
    return cards.name(card) if card else ""


def _is_payable(found: TopUp) -> bool:
    """At an address of the gateway: its checkout, or where the bank waits for the cardholder."""
    return found.state == "opened" and found.checkout_url is not None


def _is_fresh(found: TopUp) -> bool:
    # Somebody who comes back to this address later wants to read, not to be thrown out to the checkout again.
    return datetime.now(UTC) - found.created_at < timedelta(minutes=1)
