"""Exchange rates: those that hold now with their age, what was set before, and a new one."""

from datetime import UTC, datetime

from flask import redirect, render_template, url_for
from flask.typing import ResponseReturnValue

from namaskah.admin import blueprint
from namaskah.admin.rate_forms import RateForm
from namaskah.auth.access import admin_only, me, stepped_up
from namaskah.errors import UserError
from namaskah.numbers import rates


@blueprint.get("/rates")
@admin_only
def exchange_rates() -> ResponseReturnValue:
    return _page(RateForm(None))


@blueprint.post("/rates")
@admin_only
@stepped_up
def set_rate() -> ResponseReturnValue:
    form = RateForm()
    if not form.validate():
        return _page(form), 422
    try:
        rates.set_rate(
            form.currency.data or "",
            form.rate_value,
            f"user:{me().id}",
            user_id=me().id,
            source=form.source.data or "",
            at=form.starts_at,
            is_meant=form.is_meant.data,
        )
    except UserError as error:
        return _page(form, error.message, asks=isinstance(error, rates.RateMoved)), error.status
    return redirect(url_for("admin.exchange_rates"), 303)


def _page(form: RateForm, problem: str = "", *, asks: bool = False) -> str:
    """`asks`: whether the rate is meant."""
    return render_template(
        "admin/rates.html",
        form=form,
        problem=problem,
        asks=asks or form.is_meant.data,
        now=datetime.now(UTC),
        own=rates.wallet_currency(),
        current=[rate for _code, rate in sorted(rates.current().items()) if rate.currency != rates.wallet_currency()],
        missing=rates.missing(),
        history=rates.history(),
        shown=rates.shown,
    )
