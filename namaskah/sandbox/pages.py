"""The sandbox's own pages: what is going on, and the mailbox. Plain forms, no JavaScript."""

from __future__ import annotations

from flask import Blueprint, Response, abort, jsonify, redirect, render_template, request, url_for
from werkzeug.wrappers import Response as BaseResponse

from . import control
from .books import Account, Order, Refused
from .faults import KINDS, OPERATIONS
from .refunds import STATUSES
from .world import world

bp = Blueprint("pages", __name__)

SHOWN = 50


def _open_orders() -> list[tuple[Account, Order, str]]:
    """The newest orders still open, with a message ready to be sent to each."""
    rows = [
        (account, order, control.realistic(account, order)[1])
        for account in world().accounts.values()
        for order in account.listing(only_open=True)
    ]
    return sorted(rows, key=lambda row: row[1].created_at, reverse=True)[:SHOWN]


@bp.get("/")
def home() -> str:
    here = world()
    return render_template(
        "home.html",
        world=here,
        orders=_open_orders(),
        books={p: a.as_json() for p, a in here.accounts.items()},
        transactions=here.till.transactions()[:SHOWN],
        refunds=here.refunds.listing()[:SHOWN],
        refund_states=STATUSES,
        disputes=here.disputes.listing()[:SHOWN],
        faults=here.faults.listing(),
        settings=control.settings_json(here),
        kinds=sorted(KINDS),
        operations=OPERATIONS,
        problem=request.args.get("problem"),
    )


def _home(problem: str = "") -> BaseResponse:
    return redirect(url_for("pages.home", problem=problem or None), 303)


@bp.post("/sms")
def sms() -> BaseResponse:
    try:
        text = request.form.get("text", "").replace("\r\n", "\n")  # browsers send forms with CRLF
        control.send_sms(world(), {**request.form.to_dict(), "text": text})
    except (Refused, ValueError) as error:
        return _home(str(error))
    return _home()


@bp.post("/expire")
def expire() -> BaseResponse:
    try:
        world().accounts[request.form["provider"]].expire(int(request.form["order_id"]))
    except Refused as refusal:
        return _home(refusal.reason)
    return _home()


@bp.post("/faults")
def add_fault() -> BaseResponse:
    form = request.form
    wanted = {"provider": form["provider"], "operation": form["operation"], "kind": form["kind"]}
    seconds = form.get("seconds", type=float)
    world().faults.add({**wanted, "times": form.get("times", 1, int), "seconds": seconds})
    return _home()


@bp.post("/faults/clear")
def clear_faults() -> BaseResponse:
    world().faults.remove(request.form.get("id", type=int))
    return _home()


@bp.post("/reset")
def reset() -> BaseResponse:
    world().reset()
    return _home()


@bp.get("/mail")
def mail() -> str:
    to = request.args.get("to", "").strip()
    return render_template("mail.html", mails=world().mailbox.mails(to or None), to=to)


@bp.get("/mail.json")
def mail_json() -> Response:
    return jsonify(mails=world().mailbox.mails(request.args.get("to") or None))


@bp.get("/mail/<int:mail_id>")
def one_mail(mail_id: int) -> str:
    return render_template("mail_one.html", mail=world().mailbox.find(mail_id) or abort(404))


@bp.get("/404.html")
def not_found() -> tuple[str, int]:
    """Where 5sim sends whoever asks for an address it does not know."""
    return "<!DOCTYPE html><title>404</title><h1>Page not found</h1>", 404
