"""A payment found at Paystack that no top-up of ours accounts for: what Paystack says of it, and crediting it."""

import re

from flask import flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _

from namaskah.admin import blueprint
from namaskah.admin.people import find_account
from namaskah.auth.access import admin_only, me, stepped_up
from namaskah.errors import UserError
from namaskah.wallet import debts, top_up_lists, unknown_payments
from namaskah.wallet.quotes import Quote
from namaskah.wallet.unknown_payments import Found


@blueprint.get("/unknown-payments/<reference>")
@admin_only
@stepped_up
def unknown_payment(reference: str) -> ResponseReturnValue:
    """What Paystack says of it now; with `account`, what would be credited to whom."""
    words = request.args.get("account", "").replace("\0", "").strip()[:254]
    if unknown_payments.find(reference) is not None:
        return _page(reference)
    try:
        found = unknown_payments.ask(reference)
    except UserError as error:
        return _page(reference, words, problem=error.message), error.status
    return _page(reference, words, found)


@blueprint.post("/unknown-payments/<reference>")
@admin_only
@stepped_up
def credit_unknown_payment(reference: str) -> ResponseReturnValue:
    """Credits what the page has shown to the account it has shown, and nothing else."""
    seen = Quote(_number("credit_minor"), _number("surcharge_minor"))
    try:
        is_new = unknown_payments.credit(
            reference, _number("account_id"), seen, f"user:{me().id}", request.form.get("reason", "")
        )
    except UserError as error:
        return _page(reference, request.form.get("account", "")[:254], problem=error.message), error.status
    done, before = _("It is in the customer’s wallet."), _("It was credited before; nothing was done now.")
    flash(done if is_new else before, "success")
    return redirect(url_for("admin.top_up", reference=reference), 303)


def _page(reference: str, words: str = "", found: Found | None = None, problem: str = "") -> str:
    """Without `found` nothing is offered for credit: the page has to be asked for again, and Paystack with it."""
    known = unknown_payments.find(reference)
    payer = find_account(found.payment.email) if found else None
    account = find_account(words) if found and words else None
    return render_template(
        "admin/unknown_payment.html",
        reference=reference,
        known=known,
        known_owner=known and top_up_lists.owner_of(known),
        found=found,
        account=account,
        words=words or (payer.email if payer else ""),
        is_nobody=bool(found and words and account is None),
        is_another=bool(found and found.payment.email and account and not (payer and payer.id == account.id)),
        owed_minor=debts.owed_minor(account.id) if account else 0,
        is_booked_elsewhere=found is not None and any(knows(reference) for knows in unknown_payments.booked_elsewhere),
        problem=problem,
    )


def _number(name: str) -> int:
    typed = request.form.get(name, "")
    return int(typed) if re.fullmatch("[0-9]{1,15}", typed) else 0
