"""Top-ups for the operator: looking one up, asking Paystack again, and deciding on payments that differ."""

import re
from typing import Any

from flask import abort, flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _

from namaskah.admin import blueprint
from namaskah.admin.people import addresses_of
from namaskah.auth.access import admin_only, me, stepped_up
from namaskah.errors import UserError
from namaskah.wallet import (
    aftermath,
    event_words,
    inbox,
    invoice_papers,
    invoices,
    mismatches,
    reversals,
    top_up_lists,
    topups,
    unknown_payments,
)
from namaskah.wallet.models import TopUp


@blueprint.get("/top-ups")
@admin_only
def top_ups() -> ResponseReturnValue:
    show, before = request.args.get("show", "all"), request.args.get("before", "")
    if show not in top_up_lists.FILTERS or (before and not re.fullmatch("[0-9]{1,18}", before)):
        abort(404)
    words = request.args.get("words", "").replace("\0", "").strip()[:254]
    page = top_up_lists.search(words, show, int(before) if before else None)
    chosen: dict[str, Any] = {"words": words or None, "show": show}
    return render_template(
        "admin/top_ups.html",
        rows=aftermath.endings_of(page.top_ups),
        addresses=addresses_of(page.top_ups),
        show=show,
        words=words,
        is_filtered=bool(words) or show != "all",
        may_be_unknown=_may_be_unknown(words),
        older_url=page.older and url_for("admin.top_ups", before=page.older, **chosen),
        newest_url=url_for("admin.top_ups", **chosen) if before else None,
    )


@blueprint.get("/top-ups/<reference>")
@admin_only
def top_up(reference: str) -> ResponseReturnValue:
    return _page(_top_up(reference))


@blueprint.post("/top-ups/<reference>/ask")
@admin_only
def ask_about_top_up(reference: str) -> ResponseReturnValue:
    _top_up(reference)
    try:
        mismatches.ask_again(reference)
    except UserError as error:
        return _page(_top_up(reference), error.message), error.status
    flash(_("Paystack was asked; this page shows what it says."), "success")
    return _back(reference)


@blueprint.post("/top-ups/<reference>/accept")
@admin_only
@stepped_up
def accept_top_up(reference: str) -> ResponseReturnValue:
    _top_up(reference)
    seen = request.form.get("seen_minor", "")
    seen_minor = int(seen) if re.fullmatch("[0-9]{1,15}", seen) else 0
    try:
        is_new = mismatches.accept(reference, seen_minor, f"user:{me().id}", request.form.get("reason", ""))
    except UserError as error:
        return _page(_top_up(reference), error.message), error.status
    done, before = _("What was paid is in the customer’s wallet."), _("It was credited before; nothing was done now.")
    flash(done if is_new else before, "success")
    return _back(reference)


@blueprint.post("/top-ups/<reference>/close")
@admin_only
@stepped_up
def close_top_up(reference: str) -> ResponseReturnValue:
    _top_up(reference)
    try:
        is_new = mismatches.close(reference, f"user:{me().id}", request.form.get("reason", ""))
    except UserError as error:
        return _page(_top_up(reference), error.message), error.status
    flash(_("Closed without credit.") if is_new else _("It was closed before; nothing was done now."), "success")
    return _back(reference)


@blueprint.post("/top-ups/<reference>/explain")
@admin_only
def explain_reversal(reference: str) -> ResponseReturnValue:
    _top_up(reference)
    try:
        reversals.explain(reference, f"user:{me().id}", request.form.get("reason", ""))
    except UserError as error:
        return _page(_top_up(reference), error.message), error.status
    flash(_("Kept."), "success")
    return _back(reference)


def _page(found: TopUp, problem: str = "") -> str:
    reports = inbox.look(reference=found.reference).events
    return render_template(
        "admin/top_up.html",
        top_up=found,
        owner=top_up_lists.owner_of(found),
        ending=aftermath.ending_of(found),
        documents=invoices.documents_of(found),
        name_of=invoice_papers.kind_name,
        reports=[(row, event_words.kind(row), event_words.outcome(row)) for row in reports],
        is_unexplained=reversals.needs_a_person(found),
        problem=problem,
    )


def _may_be_unknown(words: str) -> bool:
    """Whether what was looked for is a reference that Paystack may know of, and no top-up of ours has."""
    is_reference = topups.REFERENCE.fullmatch(words) is not None and not words.isdigit()
    return is_reference and unknown_payments.find(words) is None


def _top_up(reference: str) -> TopUp:
    try:
        return topups.get_top_up(reference if topups.REFERENCE.fullmatch(reference) else "")
    except topups.UnknownTopUp:
        abort(404)


def _back(reference: str) -> ResponseReturnValue:
    return redirect(url_for("admin.top_up", reference=reference), 303)
