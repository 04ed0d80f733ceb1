"""An activation's pages: buy, watch live, look back, and the four things one can do with it."""

from collections.abc import Callable
from typing import Any

from flask import flash, render_template, request, url_for
from flask_babel import gettext as _
from flask_login import current_user
from sqlalchemy import func, select
from werkzeug.wrappers import Response

from namaskah import limits
from namaskah.auth.access import customer, go, me, verified
from namaskah.db import db
from namaskah.errors import UserError
from namaskah.numbers import activation_blueprint, closing
from namaskah.numbers import activations as verbs
from namaskah.numbers.forms import BuyForm
from namaskah.numbers.models import CAPTURED, OPEN, RELEASED, Activation
from namaskah.numbers.presenting import present
from namaskah.wallet.debts import InDebt

PAGE = 25
STATES = {"open": OPEN, "code": CAPTURED, "back": RELEASED}


@activation_blueprint.post("")
@verified
@limits.limit("buy", limits.account)
def buy() -> Response:
    """Buy a number, then show it. Refused: back to where a new choice, or money, can be made."""
    form = BuyForm()
    if not form.validate_on_submit():
        raise UserError(_("This order was not complete. You have paid nothing; choose again."))
    service, country = form.service.data or "", form.country.data or ""
    operator, most = form.chosen
    try:
        activation = verbs.buy(me(), service, country, operator, most, key=form.key.data or "")
    except verbs.NotEnoughMoney as error:
        flash(error.message, "warning")
        return go(url_for("wallet.show", need=error.details["missing_minor"]))
    except InDebt as error:
        flash(error.message, "warning")
        return go(url_for("wallet.show"))
    except (verbs.PriceMoved, verbs.NothingOnSale) as error:
        flash(error.message, "warning")
        return go(url_for("numbers.pick", service=service, country=country))
    return _to(activation)


@activation_blueprint.get("")
@customer
def history() -> str:
    """All activations of the customer, newest first, page by page along their ids."""
    state, services = request.args.get("state", ""), _services_bought()
    service = request.args.get("service", "")
    service = service if service in services else ""
    before, after = _id_argument("before"), _id_argument("after")
    wanted = [Activation.user_id == current_user.id]
    wanted += [Activation.state.in_(STATES[state])] if state in STATES else []
    wanted += [Activation.service_code == service] if service else []
    found, has_newer, has_older = _page(wanted, before, after)
    links: dict[str, Any] = {"state": state or None, "service": service or None}
    return render_template(
        "activations/history.html",
        activations=[_history_row(activation) for activation in found],
        services=services,
        state=state,
        service=service,
        is_filtered=bool(state or service or before or after),
        newer_url=url_for("activations.history", after=found[0].id, **links) if found and has_newer else None,
        older_url=url_for("activations.history", before=found[-1].id, **links) if found and has_older else None,
    )


@activation_blueprint.get("/<int:id>")
@customer
def show(id: int) -> str:
    """The live page."""
    return render_template("activations/show.html", view=present(verbs.get_activation(id, current_user.id)))


@activation_blueprint.get("/<int:id>/live")
@customer
def live_part(id: int) -> str:
    """Fragment: the same box the page holds, for polling while the socket is closed."""
    return render_template("activations/_activation.html", view=present(verbs.get_activation(id, current_user.id)))


@activation_blueprint.post("/<int:id>/cancel")
@customer
@limits.limit("change an activation", limits.account)
def cancel(id: int) -> Response:
    """Give the number back for the money."""
    activation = verbs.get_activation(id, current_user.id)
    return _act(activation, lambda: closing.cancel(activation))


@activation_blueprint.post("/<int:id>/replace")
@verified
@limits.limit("change an activation", limits.account)
def replace(id: int) -> Response:
    """The service knows this number already: give it back and get another one."""
    activation = verbs.get_activation(id, current_user.id)
    new = closing.find_replacement(activation)
    done = _to(new) if new else _act(activation, lambda: closing.cancel(activation, "number_used", replace=True))
    new = new or closing.find_replacement(activation)
    return _to(new) if new else done


@activation_blueprint.post("/<int:id>/again")
@customer
@limits.limit("change an activation", limits.account)
def again(id: int) -> Response:
    """Ask for another code on the same number."""
    activation = verbs.get_activation(id, current_user.id)
    return _act(activation, lambda: closing.ask_again(activation))


@activation_blueprint.post("/<int:id>/finish")
@customer
@limits.limit("change an activation", limits.account)
def finish(id: int) -> Response:
    """The customer has what they came for."""
    activation = verbs.get_activation(id, current_user.id)
    return _act(activation, lambda: closing.finish(activation))


def _act(activation: Activation, verb: Callable[[], None]) -> Response:
    """Do it and show the page; too late for it, the page says why."""
    try:
        verb()
    except verbs.NotNow as error:
        flash(error.message, "warning")
    return _to(activation)


def _to(activation: Activation) -> Response:
    return go(url_for("activations.show", id=activation.id))


def _id_argument(name: str) -> int | None:
    given = request.args.get(name, type=int)
    return None if given is None else max(0, min(given, verbs.LARGEST_ID))


def _page(wanted: list[Any], before: int | None, after: int | None) -> tuple[list[Activation], bool, bool]:
    """One page, newest first, and whether there are newer and older ones."""
    query = select(Activation).where(*wanted)
    if after is not None:
        rows = db.session.scalars(query.where(Activation.id > after).order_by(Activation.id).limit(PAGE + 1)).all()
        return list(reversed(rows[:PAGE])), len(rows) > PAGE, True
    if before is not None:
        query = query.where(Activation.id < before)
    rows = db.session.scalars(query.order_by(Activation.id.desc()).limit(PAGE + 1)).all()
    return list(rows[:PAGE]), before is not None, len(rows) > PAGE


def _services_bought() -> list[str]:
    """From one service to the next along the index: as many look-ups as services, however many activations."""
    mine = select(func.min(Activation.service_code)).where(Activation.user_id == current_user.id)
    found = select(mine.scalar_subquery().label("code")).cte(recursive=True)
    following = mine.where(Activation.service_code > found.c.code).scalar_subquery()
    found = found.union_all(select(following).where(found.c.code.is_not(None)))
    return list(db.session.scalars(select(found.c.code).where(found.c.code.is_not(None))))


def _history_row(activation: Activation) -> dict[str, Any]:
    return {
        "id": activation.id,
        "service": activation.service_code,
        "country": activation.country_code,
        "phone": activation.phone,
        "state": activation.state,
        "price_minor": activation.price_minor,
        "started_at": activation.created_at,
    }
