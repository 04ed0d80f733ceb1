"""Passkeys (WebAuthn). A device holds the private key and uses it only after it knows its owner by finger, face or
PIN: so a passkey is both factors in one, and alone enough to log in.

Where it counts, the origin and the RP id, comes from BASE_URL alone.
"""

import hashlib
from typing import Any
from urllib.parse import urlsplit

from flask import current_app
from flask_babel import gettext as _
from sqlalchemy import func, select, update
from sqlalchemy.exc import IntegrityError
from webauthn import (
    generate_authentication_options,
    generate_registration_options,
    verify_authentication_response,
    verify_registration_response,
)
from webauthn.authentication.verify_authentication_response import VerifiedAuthentication
from webauthn.helpers import base64url_to_bytes, options_to_json_dict
from webauthn.helpers.structs import (
    AuthenticatorSelectionCriteria,
    AuthenticatorTransport,
    PublicKeyCredentialDescriptor,
    ResidentKeyRequirement,
    UserVerificationRequirement,
)

from namaskah.auth import audit
from namaskah.auth.models import User
from namaskah.auth.second_factor import challenges, factors
from namaskah.auth.second_factor.models import Passkey
from namaskah.db import db, transaction, violated
from namaskah.errors import UserError

MOST = 20
NAME_LENGTH = 60
# The time a browser gives its owner to find the stick or the finger.
WAIT_MILLISECONDS = 120_000
TRANSPORTS = {transport.value for transport in AuthenticatorTransport}


class NotProven(UserError):
    """The answer is no proof."""

    status = 422


def creation_options(user: User, challenge: bytes) -> dict[str, Any]:
    """What the browser is asked to make a new key from. Raises NotProven when there are enough."""
    known = _known_with_room(user)
    options = generate_registration_options(
        rp_id=_rp_id(),
        rp_name="Namaskah",
        user_id=_handle(user.id),
        user_name=user.email,
        challenge=challenge,
        timeout=WAIT_MILLISECONDS,
        exclude_credentials=[_descriptor(key) for key in known],
        authenticator_selection=AuthenticatorSelectionCriteria(
            resident_key=ResidentKeyRequirement.REQUIRED, user_verification=UserVerificationRequirement.REQUIRED
        ),
    )
    return options_to_json_dict(options)


def request_options(user: User | None, challenge: bytes) -> dict[str, Any]:
    """What the browser is asked to sign; for a `user` with one of their keys, else with whichever its owner takes."""
    options = generate_authentication_options(
        rp_id=_rp_id(),
        challenge=challenge,
        timeout=WAIT_MILLISECONDS,
        allow_credentials=[_descriptor(key) for key in factors.of(user).passkeys] if user else None,
        user_verification=UserVerificationRequirement.REQUIRED,
    )
    return options_to_json_dict(options)


def add(user: User, answer: Any, challenge: bytes, name: str) -> Passkey:
    """Keep the public half of a key the browser has made. Raises NotProven."""
    try:
        made = verify_registration_response(
            credential=answer,
            expected_challenge=challenge,
            expected_rp_id=_rp_id(),
            expected_origin=_origin(),
            require_user_verification=True,
        )
    except Exception as error:
        raise _refusal(error) from error
    key = Passkey(
        user_id=user.id,
        credential_id=made.credential_id,
        public_key=made.credential_public_key,
        sign_count=made.sign_count,
        name=" ".join(name.replace("\x00", "").split())[:NAME_LENGTH] or _("Passkey"),
        transports=",".join(_transports(answer)),
    )
    try:
        with transaction():
            factors.lock(user)
            _known_with_room(user)
            is_first = not factors.are_set_up(user)
            if not challenges.spend(challenge):
                raise _refusal("its challenge was answered before")
            db.session.add(key)
            db.session.flush()
            factors.note_added(user, "passkey", end_others=is_first)
    except IntegrityError as error:
        if violated(error) != "uq_passkeys_credential_id":
            raise
        raise NotProven(_("This passkey is in use already. Take another one.")) from error
    return key


def prove(answer: Any, challenge: bytes, user: User | None = None) -> User:
    """Whose passkey has signed the challenge: the `user`'s, if one is given. Raises NotProven."""
    key = _find(answer)
    if key is None or (user is not None and key.user_id != user.id):
        raise NotProven(_("This passkey does not belong to an account here. Take another one, or another way."))
    proof = _verified(key, answer, challenge)
    with transaction():
        is_spent = not challenges.spend(challenge)
        moved = None if is_spent else db.session.scalar(_count_up(key, proof.new_sign_count))
        if moved is None and not is_spent:
            audit.record("passkey_refused", key.user_id, passkey=key.id)
    if is_spent:
        raise _refusal("its challenge was answered before")
    if moved is None:
        current_app.logger.warning(
            "passkey %s of account %s counts %s after %s: there may be a copy of it",
            *(key.id, key.user_id, proof.new_sign_count, key.sign_count),
        )
        raise _refusal("its count went back")
    return db.session.get_one(User, key.user_id)


def _known_with_room(user: User) -> list[Passkey]:
    """The account's passkeys. Raises NotProven when there is no room for another one."""
    known = factors.of(user).passkeys
    if len(known) >= MOST:
        raise NotProven(_("You have %(num)s passkeys, which is the most. Remove one first.", num=MOST))
    return known


def _find(answer: Any) -> Passkey | None:
    try:
        credential_id = base64url_to_bytes(answer["rawId"])
    except (TypeError, KeyError, ValueError, AttributeError):
        return None
    return db.session.scalar(select(Passkey).where(Passkey.credential_id == credential_id))


def _verified(key: Passkey, answer: Any, challenge: bytes) -> VerifiedAuthentication:
    try:
        handle = answer["response"].get("userHandle")
        if handle and base64url_to_bytes(handle) != _handle(key.user_id):
            raise ValueError("it was made for another account")
        return verify_authentication_response(
            credential=answer,
            expected_challenge=challenge,
            expected_rp_id=_rp_id(),
            expected_origin=_origin(),
            credential_public_key=key.public_key,
            credential_current_sign_count=0,  # _count_up() decides, of two at once too
            require_user_verification=True,
        )
    except Exception as error:
        raise _refusal(error) from error


def _count_up(key: Passkey, count: int) -> Any:
    """Note the use, unless the count did not grow; a key that does not count says 0 for ever."""
    grown = Passkey.sign_count < count if count else Passkey.sign_count == 0
    changed = {"sign_count": count, "used_at": func.now()}
    return update(Passkey).where(Passkey.id == key.id, grown).values(changed).returning(Passkey.id)


def _refusal(reason: object) -> NotProven:
    """Whatever the library's parsers raise, an answer they cannot follow is no proof."""
    current_app.logger.info("a passkey's answer was refused: %a", str(reason)[:200])
    return NotProven(_("The passkey could not be checked. Try once more."))


def _descriptor(key: Passkey) -> PublicKeyCredentialDescriptor:
    transports = [AuthenticatorTransport(name) for name in key.transports.split(",") if name in TRANSPORTS]
    return PublicKeyCredentialDescriptor(id=key.credential_id, transports=transports or None)


def _transports(answer: Any) -> list[str]:
    told = answer["response"].get("transports") if isinstance(answer, dict) else None
    return sorted({name for name in told if isinstance(name, str)} & TRANSPORTS) if isinstance(told, list) else []


def _handle(user_id: int) -> bytes:
    """What a device knows the account by: always the same, and nothing about the person."""
    return hashlib.sha256(f"namaskah.passkey:{user_id}".encode()).digest()


def _rp_id() -> str:
    return urlsplit(current_app.config["BASE_URL"]).hostname or ""


def _origin() -> str:
    """As browsers write it: in lower case, without the port that goes without saying."""
    parts = urlsplit(current_app.config["BASE_URL"])
    usual = {"https": 443, "http": 80}[parts.scheme]
    return f"{parts.scheme}://{parts.hostname}" + (f":{parts.port}" if parts.port not in (None, usual) else "")
