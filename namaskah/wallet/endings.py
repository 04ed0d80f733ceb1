"""What became of a top-up, as its owner reads it: one sentence on what happened, one on the money and what to do."""

from dataclasses import dataclass
from decimal import Decimal

from flask import current_app
from flask_babel import LazyString
from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l
from markupsafe import Markup, escape

from namaskah.filters import money
from namaskah.money import MINOR_DIGITS
from namaskah.wallet.auto_wishes import CARD_REFUSED, NOT_OPENED
from namaskah.wallet.models import TopUp

# What the gateway says of an amount that it takes from nobody.
NOT_TAKEN = {"transaction amount limit exceeded", "invalid amount sent", "you must specify a valid amount"}


@dataclass(frozen=True)
class Ending:
    """`label` and `tone` are its badge; the sentences may hold markup around amounts. `way_on`: buy, pay, wait, retry
    or contact, for the page's buttons."""

    label: LazyString
    tone: str
    verdict: str
    advice: str
    way_on: str


def ending(top_up: TopUp, is_leaving: bool = False) -> Ending:
    """How a top-up stands now. `is_leaving`: the browser is on its way to the checkout."""
    if top_up.state == "paid":
        return _paid(top_up)
    if top_up.state in ("mismatch", "closed"):
        return _mismatch(top_up) if top_up.state == "mismatch" else _closed(top_up)
    if top_up.gateway_status == CARD_REFUSED:
        verdict = _("Paystack can't charge this card any more.")
        advice = _("Nothing was taken and your wallet is as it was. Remove the card, and pay on Paystack's page with it"
                   " or with another one.")  # fmt: skip
        return Ending(_l("Failed"), "bad", verdict, advice, "retry")
    if top_up.gateway_status == NOT_OPENED:
        return _not_opened(top_up)
    if top_up.origin != "checkout" and (
        top_up.state in ("opened", "abandoned") or (top_up.state == "pending" and top_up.checkout_url)
    ):
        return _by_card(top_up)
    if top_up.gateway_status == "reversed":
        return Ending(
            _l("Sent back"),
            "bad",
            _("Paystack has sent this payment back to where it came from."),
            _("Nothing was credited. Your bank may need some days to show the money; you may try again now."),
            "retry",
        )
    return _open(top_up, is_leaving)


def _paid(top_up: TopUp) -> Ending:
    amount = money(top_up.credited_minor or top_up.amount_minor)
    if top_up.reversed_at is not None:
        return Ending(
            _l("Taken back"),
            "warn",
            filled(_("%(amount)s was in your wallet, and Paystack has since sent the payment back."), amount=amount),
            _("Your wallet shows what was booked for it so far. A person looks at it; if you did not ask for your"
              " money back, write to us and name the reference."),
            "contact",
        )  # fmt: skip
    verdict = filled(_("%(amount)s is in your wallet."), amount=amount)
    if top_up.credited_minor != top_up.amount_minor:
        advice = filled(
            _("That is what was paid; you had asked for %(asked)s. The line is in your statement."),
            asked=money(top_up.amount_minor),
        )
    else:
        advice = _("You can buy a number now. The line is in your statement.")
    return Ending(_l("Arrived"), "good", verdict, advice, "buy")


def _mismatch(top_up: TopUp) -> Ending:
    verdict = _("A payment came, but not as we asked for it.")
    advice = _("A person looks at it, then it is credited or sent back. Nothing is lost, and you need not do anything.")
    return Ending(_l("Being looked at"), "warn", verdict, what_differs(top_up) + " " + advice, "contact")


def what_differs(top_up: TopUp) -> Markup:
    """In what a payment is not what was asked for, in a sentence with both amounts."""
    said = {
        "underpaid": _l("%(paid)s was paid where %(asked)s was asked for."),
        "overpaid": _l("%(paid)s was paid where %(asked)s was asked for."),
        "wrong_currency": _l("%(paid)s was paid, in another currency than the %(asked)s asked for."),
        "wrong_mode": _l("%(paid)s was paid in another mode of Paystack’s, test or real, than ours."),
        "other_wallet": _l("%(paid)s was paid, and wallets are in another currency by now."),
    }.get(top_up.difference or "", _l("The amount or the currency differs, or the account was deleted meanwhile."))
    return filled(str(said), paid=_seen(top_up), asked=money(top_up.asked_minor))


def _closed(top_up: TopUp) -> Ending:
    verdict = _("A payment came, but not as we asked for it, and it was not credited.")
    if top_up.difference == "wrong_mode":
        advice = _("If it was a test, no real money has moved; real money goes back to where it came from.")
    else:
        advice = _("What was paid goes back to where it came from; your bank may need some days. If it does not arrive,"
                   " write to us and name the reference.")  # fmt: skip
    return Ending(_l("Not credited"), "bad", verdict, advice, "contact")


def _not_opened(top_up: TopUp) -> Ending:
    if (top_up.gateway_message or "").lower().rstrip(".") in NOT_TAKEN:
        advice = _("Paystack does not take this amount. Nothing was taken; choose another amount.")
    else:
        advice = _("Nothing was taken and your wallet is as it was. Try again in a moment.")
    if top_up.origin == "checkout":
        verdict = _("The payment page could not be opened.")
    else:
        verdict = _("The card could not be charged: Paystack was not to be reached.")
    return Ending(_l("Failed"), "bad", verdict, advice, "retry")


def _by_card(top_up: TopUp) -> Ending:
    """A kept card that is charged: on its way, or waiting for its owner at the bank's own page."""
    if top_up.checkout_url:
        advice = _(
            "Nothing was taken so far. Confirm it on the bank's page; then the money comes into your wallet by itself."
        )
        return Ending(_l("Not paid yet"), "info", _("Your bank wants you to confirm this payment."), advice, "pay")
    if top_up.state == "abandoned":
        advice = _("Nothing was credited, and nothing is owed. If you did pay, it still finds its way into your wallet"
                   " by itself.")  # fmt: skip
        return Ending(_l("Not paid"), "", _("This payment was not finished."), advice, "retry")
    advice = _("We ask again and again. If the money was taken, it comes into your wallet by itself; if not, this page"
               " says so within minutes. Wait for that before you pay once more.")  # fmt: skip
    return Ending(_l("On its way"), "info", _("Your bank has not answered yet."), advice, "wait")


def _open(top_up: TopUp, is_leaving: bool) -> Ending:
    if top_up.state == "pending":
        return Ending(
            _l("On its way"),
            "info",
            _("Your bank is still at it. Nothing is lost."),
            _("As soon as Paystack confirms it, the money is in your wallet by itself. You can leave this page."),
            "wait",
        )
    if top_up.state == "opened" and is_leaving:
        advice = _("If nothing happens, press the button. Paystack sends you back here afterwards.")
        return Ending(_l("Not paid yet"), "info", _("We are taking you to the payment."), advice, "pay")
    if top_up.state == "opened":
        advice = _("If you have paid, wait a moment: we ask Paystack again and again. If not, go on with the payment.")
        return Ending(_l("Not paid yet"), "info", _("We have not seen a payment yet."), advice, "pay")
    if top_up.state == "failed":
        advice = _(
            "Your wallet is as it was. If your bank shows a debit, Paystack gives it back; you may try again now."
        )
        return Ending(_l("Failed"), "bad", _("Paystack says the payment failed."), advice, "retry")
    advice = _("Nothing was credited, and nothing is owed. If you did pay, it still finds its way into your wallet by"
               " itself.")  # fmt: skip
    return Ending(_l("Not paid"), "", _("This payment was not finished."), advice, "retry")


def _seen(top_up: TopUp) -> Markup:
    """What was paid: as every amount where it is in the wallet's currency, else in the one it came in.

    The gateway counts every currency in hundredths.
    """
    wallet = current_app.config["WALLET_CURRENCY"]
    if top_up.seen_currency == wallet and MINOR_DIGITS[wallet] == 2:
        return money(top_up.seen_minor or 0)
    amount = Decimal(top_up.seen_minor or 0).scaleb(-2)
    return Markup('<bdi class="tnum">{} {}</bdi>').format(top_up.seen_currency, f"{amount:,.2f}")


def filled(sentence: str, **amounts: Markup) -> Markup:
    """A translated sentence with its amounts, which are markup; the sentence is not."""
    return escape(sentence) % amounts
