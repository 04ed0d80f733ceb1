"""Receipts, credit and debit notes: their list, each as a page, each as a PDF."""

import re

from flask import abort, make_response, render_template, request, url_for
from flask.typing import ResponseReturnValue
from werkzeug.wrappers import Response

from namaskah import limits
from namaskah.auth.access import customer, me
from namaskah.auth.passwords import beside_the_loop
from namaskah.db import leave_database
from namaskah.papers.printer import printed
from namaskah.wallet import blueprint, invoice_papers, invoices
from namaskah.wallet.models import Invoice

PAGE = 25


@blueprint.get("/wallet/invoices", endpoint="invoices")
@customer
def show_invoices() -> ResponseReturnValue:
    before = request.args.get("before", "")
    if before and not re.fullmatch("[0-9]{1,18}", before):
        abort(404)
    found = invoices.of_user(me().id, int(before) if before else None, PAGE + 1)
    shown = found[:PAGE]
    return render_template(
        "wallet/invoices.html",
        documents=[(document, invoice_papers.worded(document)) for document in shown],
        older_url=url_for("wallet.invoices", before=shown[-1].id) if len(found) > PAGE else None,
        newest_url=url_for("wallet.invoices") if before else None,
    )


@blueprint.get("/wallet/invoices/<number>")
@customer
def invoice(number: str) -> ResponseReturnValue:
    found = _own(number)
    return render_template("wallet/invoice.html", invoice=found, words=invoice_papers.worded(found))


@blueprint.get("/wallet/invoices/<number>.pdf")
@customer
@limits.limit("papers", limits.account, methods=("GET",))
def invoice_file(number: str) -> Response:
    paper = invoice_papers.paper(_own(number))
    leave_database()
    response = make_response(beside_the_loop(printed, paper))
    response.headers["Content-Type"] = "application/pdf"
    response.headers["Content-Disposition"] = f'attachment; filename="{number}.pdf"'
    return response


def _own(number: str) -> Invoice:
    """Somebody else's document is as unknown as one that never was, or cannot be."""
    parts = re.fullmatch("NK-([0-9]{4})-([0-9]{6,18})", number)
    found = parts and invoices.find(me().id, int(parts[1]), int(parts[2]))
    return found if found and found.full_number == number else abort(404)
