"""What the script of the passkey buttons talks to: JSON both ways. Each act is two questions, what to sign and what
was signed; like every form, they carry our token (X-CSRFToken)."""

from typing import Any

from flask import flash, jsonify, request, session
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _

from namaskah import limits
from namaskah.auth import accounts, sessions
from namaskah.auth.access import customer, me, public, safe_next, stepped_up
from namaskah.auth.second_factor import blueprint, challenges, passkeys, pending
from namaskah.auth.second_factor.views import HUB, after_adding
from namaskah.errors import UserError


@blueprint.post("/login/passkey/options")
@public
@limits.limit("passkeys", limits.account)
def log_in_options() -> ResponseReturnValue:
    """For whoever comes, with or without a password given before."""
    return jsonify(passkeys.request_options(pending.find_user(), challenges.issue("log-in")))


@blueprint.post("/login/passkey")
@public
@limits.limit("passkeys", limits.account)
def log_in_by_passkey() -> ResponseReturnValue:
    target = _next_page()
    try:
        user = passkeys.prove(_answer(), _challenge("log-in"), pending.find_user())
        accounts.refuse_closed(user)
    except UserError as error:
        return _refused(error)
    sessions.log_in(user, "passkey", second_factor=True)
    return jsonify(go=target)


@blueprint.post("/confirm/passkey/options")
@customer
@limits.limit("passkeys", limits.account)
def confirm_options() -> ResponseReturnValue:
    return jsonify(passkeys.request_options(me(), challenges.issue(f"confirm:{me().id}")))


@blueprint.post("/confirm/passkey")
@customer
@limits.limit("passkeys", limits.account)
def confirm_by_passkey() -> ResponseReturnValue:
    try:
        passkeys.prove(_answer(), _challenge(f"confirm:{me().id}"), me())
    except UserError as error:
        return _refused(error)
    sessions.confirm(me(), second_factor=True)
    return jsonify(go=_next_page())


@blueprint.post(f"{HUB}/passkeys/options")
@stepped_up
@limits.limit("passkeys", limits.account)
def add_options() -> ResponseReturnValue:
    try:
        return jsonify(passkeys.creation_options(me(), challenges.issue(f"add:{me().id}")))
    except UserError as error:
        return _refused(error)


@blueprint.post(f"{HUB}/passkeys")
@stepped_up
@limits.limit("passkeys", limits.account)
def add_passkey() -> ResponseReturnValue:
    try:
        passkeys.add(me(), _answer(), _challenge(f"add:{me().id}"), _name())
    except UserError as error:
        return _refused(error)
    sessions.confirm(me(), second_factor=True)
    flash(_("Your passkey is added."), "success")
    return jsonify(go=after_adding())


def _challenge(purpose: str) -> bytes:
    """The one this browser was given. Raises NotProven."""
    challenge = challenges.take(purpose)
    if challenge is None:
        raise passkeys.NotProven(_("That took too long. Try once more."))
    return challenge


def _answer() -> Any:
    return _sent().get("credential")


def _name() -> str:
    name = _sent().get("name")
    return name if isinstance(name, str) else ""


def _sent() -> dict[str, Any]:
    sent = request.get_json(silent=True)
    return sent if isinstance(sent, dict) else {}


def _next_page() -> str:
    return safe_next(request.args.get("next") or session.get("next"))


def _refused(error: UserError) -> ResponseReturnValue:
    return jsonify(error=error.message), error.status
