"""The statement: a page to look things up, and files to keep."""

from tempfile import TemporaryFile
from typing import IO, Any

from flask import (
    Response,
    abort,
    flash,
    make_response,
    redirect,
    render_template,
    request,
    send_file,
    url_for,
)
from flask.typing import ResponseReturnValue

from namaskah import limits, replica
from namaskah.auth.access import customer, me
from namaskah.auth.passwords import beside_the_loop
from namaskah.db import leave_database
from namaskah.papers.printer import printed
from namaskah.wallet import blueprint, periods, promo, statement, statement_files
from namaskah.wallet.forms import StatementForm
from namaskah.wallet.statement_files import Period, TooLong


@blueprint.get("/wallet/statement", endpoint="statement")
@customer
def show_statement() -> ResponseReturnValue:
    """A day that cannot be is said to be wrong, and nothing is shown by it: half a period would look like all of it."""
    form = StatementForm(request.args)
    show = request.args.get("show", "all")
    if show not in statement.FILTERS:
        abort(404)
    if not form.validate():
        return render_template(
            "wallet/statement.html", form=form, shown=show, has_gifts=show == "gifts", page=None, chosen=_chosen(form)
        ), 422
    period = _period(form, show)
    page = _page(show, period, form.words.data or "")
    chosen = _chosen(form)
    links = {"show": None if show == "all" else show} | chosen
    return render_template(
        "wallet/statement.html",
        form=form,
        shown=show,
        has_gifts=promo.has_had_gifts(me().id),
        page=page,
        rows=page.rows,
        period=period,
        chosen=chosen,
        balances=periods.balances(period.span) if period.since or period.until else None,
        is_filtered=show != "all" or any(chosen.values()) or "before" in request.args or "after" in request.args,
        older_url=page.next_before and url_for("wallet.statement", before=page.next_before, **links),
        newer_url=page.next_after and url_for("wallet.statement", after=page.next_after, **links),
    )


@blueprint.get("/wallet/statement.<any(csv, pdf):kind>")
@customer
@limits.limit("statements", limits.account, methods=("GET",))
def statement_file(kind: str) -> ResponseReturnValue:
    form = StatementForm(request.args)
    show = "gifts" if request.args.get("show") == "gifts" else "all"
    page = url_for("wallet.statement", show=None if show == "all" else show, **_chosen(form))
    if not form.validate():
        return redirect(page, 303)
    period = _period(form, show)
    try:
        statement_files.check_length(period, kind)
    except TooLong as error:
        flash(error.message, "warning")
        return redirect(page, 303)
    response = _csv(period) if kind == "csv" else _pdf(period)
    response.headers["Content-Disposition"] = f'attachment; filename="{period.file_name}.{kind}"'
    return response


def _page(show: str, period: Period, words: str) -> statement.StatementPage:
    """Looking for words reads thousands of lines, elsewhere if there is a replica."""
    user_id, before, after = me().id, _place("before"), _place("after")

    def found() -> statement.StatementPage:
        return statement.statement(user_id, show, before, after, within=period.span, words=words)

    return replica.read(found, as_of_now=True) if words else found()


def _csv(period: Period) -> Response:
    return send_file(replica.read(lambda: _csv_file(period), as_of_now=True), mimetype="text/csv")


def _csv_file(period: Period) -> IO[bytes]:
    # On disk first: a slow reader holds neither memory nor the request, and a fault is a page instead of half a file.
    file = TemporaryFile()  # noqa: SIM115 (the response closes it)
    file.writelines(piece.encode() for piece in statement_files.csv_pieces(period))
    file.seek(0)
    return file


def _pdf(period: Period) -> Response:
    user = me()
    paper = replica.read(lambda: statement_files.paper(user, period), as_of_now=True)
    leave_database()
    response = make_response(beside_the_loop(printed, paper))
    response.mimetype = "application/pdf"
    return response


def _period(form: StatementForm, show: str) -> Period:
    span = periods.span(me().id, form.since_day, form.until_day, statement.account_of(show))
    return Period(form.since_day, form.until_day, span, of_gifts=show == "gifts")


def _chosen(form: StatementForm) -> dict[str, Any]:
    """What the form says, for addresses; nothing for what is empty."""
    return {name: form[name].data or None for name in ("since", "until", "words")}


def _place(name: str) -> int | None:
    """A line's number from the address; one that cannot be is not there."""
    value = request.args.get(name, "")
    if value and not (value.isascii() and value.isdigit() and len(value) < 19):
        abort(404)
    return int(value) if value else None
