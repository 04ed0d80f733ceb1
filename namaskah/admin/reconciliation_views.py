"""Where others' books and ours are compared, and what does not agree."""

from datetime import UTC, datetime

from flask import redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from namaskah.admin import blueprint
from namaskah.auth.access import admin_only, me
from namaskah.errors import UserError
from namaskah.reconciliation import findings, runs, upstream


@blueprint.get("/reconciliation")
@admin_only
def reconciliation() -> ResponseReturnValue:
    return _page()


@blueprint.post("/reconciliation")
@admin_only
def reconcile() -> ResponseReturnValue:
    runs.start(f"user:{me().id}")
    return redirect(url_for("admin.reconciliation"), 303)


@blueprint.post("/reconciliation/<int:difference_id>/explain")
@admin_only
def explain_difference(difference_id: int) -> ResponseReturnValue:
    try:
        findings.explain(difference_id, request.form.get("explanation", ""), f"user:{me().id}")
    except UserError as error:
        return _page(error.message), error.status
    return redirect(url_for("admin.reconciliation"), 303)


def _page(problem: str = "") -> str:
    return render_template(
        "admin/reconciliation.html",
        latest=runs.latest(),
        differences=findings.open_differences(),
        sentences=findings.SENTENCES,
        owed=upstream.owed(),
        now=datetime.now(UTC),
        problem=problem,
    )
