"""The page of one's factors, and those that add and remove them."""

import time
from base64 import b64decode, b64encode

from flask import Response, abort, flash, redirect, render_template, request, session, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _

from namaskah import limits
from namaskah.auth import encryption, sessions
from namaskah.auth.access import customer, me, stepped_up
from namaskah.auth.second_factor import blueprint, factors, papers, recovery_codes, totp
from namaskah.auth.second_factor.forms import CodeForm

HUB = "/account/second-factor"
# How long a seed that is not confirmed yet waits in the browser's cookie, where it is encrypted.
SET_UP_SECONDS = 1800
NOTE = "totp"


@blueprint.get(HUB)
@customer
def show() -> ResponseReturnValue:
    return render_template("second_factor/show.html", factors=factors.of(me()), codes_made=recovery_codes.COUNT)


@blueprint.route(f"{HUB}/totp", methods=["GET", "POST"])
@stepped_up
@limits.limit("setting an app up", limits.account)
def add_totp() -> ResponseReturnValue:
    """Shows a seed, and makes it the account's once a code proves that the app has it."""
    form, seed = CodeForm(), _noted_seed() or _note_new_seed()
    if form.validate_on_submit():
        if totp.set_up(me(), seed, form.code.data or ""):
            session.pop(NOTE, None)
            sessions.confirm(me(), second_factor=True)
            flash(_("Your app is set up. All other devices were logged out."), "success")
            return redirect(after_adding(), 303)
        form.code.errors = [_("This is not the app’s code. Look at the app and type the one it shows now.")]
    shown = {"secret": seed, "address": totp.address_of(seed, me()), "replaces": factors.of(me()).totp_since}
    return render_template("second_factor/totp.html", form=form, **shown), 422 if form.is_submitted() else 200


@blueprint.get(f"{HUB}/totp/qr.svg")
@stepped_up
def totp_picture() -> ResponseReturnValue:
    seed = _noted_seed()
    if seed is None:
        abort(404)
    return Response(totp.picture_of(seed, me()), mimetype="image/svg+xml", headers={"Cache-Control": "no-store"})


@blueprint.route(f"{HUB}/totp/remove", methods=["GET", "POST"])
@stepped_up
def remove_totp() -> ResponseReturnValue:
    if factors.of(me()).totp_since is None:
        abort(404)
    if request.method != "POST":
        return render_template("second_factor/remove.html", name=None, is_last=not factors.of(me()).passkeys)
    return _after_removing(factors.remove_totp(me()))


@blueprint.get(f"{HUB}/passkeys/new")
@stepped_up
def new_passkey() -> ResponseReturnValue:
    return render_template("second_factor/passkey.html")


@blueprint.route(f"{HUB}/passkeys/<int:passkey_id>/remove", methods=["GET", "POST"])
@stepped_up
def remove_passkey(passkey_id: int) -> ResponseReturnValue:
    now = factors.of(me())
    key = next((key for key in now.passkeys if key.id == passkey_id), None)
    if key is None:
        abort(404)
    if request.method != "POST":
        is_last = not now.totp_since and len(now.passkeys) == 1
        return render_template("second_factor/remove.html", name=key.name, is_last=is_last)
    return _after_removing(factors.remove_passkey(me(), passkey_id))


@blueprint.route(f"{HUB}/recovery-codes", methods=["GET", "POST"])
@stepped_up
def renew_codes() -> ResponseReturnValue:
    """The codes are in the answer to the button and nowhere else: a page of its own could be opened again."""
    now = factors.of(me())
    if not now.are_set_up:
        return redirect(url_for("second_factor.show"), 303)
    if request.method != "POST":
        return render_template("second_factor/recovery_codes.html", left=now.codes_left)
    codes = recovery_codes.renew(me())
    return render_template("second_factor/codes.html", codes=codes, sealed=papers.seal(me(), codes))


@blueprint.post(f"{HUB}/recovery-codes/file")
@customer
def codes_file() -> ResponseReturnValue:
    """The codes that the page has just shown, as a file: the page sends them along, encrypted."""
    codes = papers.unseal(me(), request.form.get("sealed", ""))
    if codes is None:
        abort(410)
    answer = Response(render_template("second_factor/codes.txt", codes=codes), mimetype="text/plain")
    answer.headers["Content-Disposition"] = 'attachment; filename="namaskah-recovery-codes.txt"'
    return answer


def after_adding() -> str:
    """Where a new factor leads: to recovery codes, if there are none."""
    return url_for("second_factor.show" if factors.of(me()).codes_left else "second_factor.renew_codes")


def _after_removing(removed: bool) -> ResponseReturnValue:
    if removed:
        flash(_("Removed. All other devices were logged out."), "success")
    return redirect(url_for("second_factor.show"), 303)


def _note_new_seed() -> str:
    seed = totp.new_seed()
    sealed = encryption.encrypt(seed.encode(), f"totp-set-up:{me().id}")
    session[NOTE] = {"seed": b64encode(sealed).decode(), "at": int(time.time())}
    return seed


def _noted_seed() -> str | None:
    note = session.get(NOTE)
    if not isinstance(note, dict) or time.time() >= note["at"] + SET_UP_SECONDS:
        return None
    try:
        return encryption.decrypt(b64decode(note["seed"]), f"totp-set-up:{me().id}").decode()
    except encryption.Unreadable:  # somebody else's, who used this browser before
        return None
