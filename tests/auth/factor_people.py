"""What people prove themselves with besides the password: an app, and a passkey made of the same mathematics as the
ones in phones."""

import json
import re
import time
from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

import cbor2
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from flask import Flask
from pyotp import TOTP
from werkzeug.test import TestResponse

from namaskah.auth.models import User
from namaskah.auth.second_factor import totp
from namaskah.db import db
from tests.auth.people import PASSWORD, Browser

HUB = "/account/second-factor"


def code_of(seed: str, steps: int = 0) -> str:
    """What the app shows now, or so many half minutes later."""
    return TOTP(seed).generate_otp(int(time.time()) // 30 + steps)


def give_app(app: Flask, user: User) -> str:
    """The account gets an app; its seed. The codes of now and of the next step are still to be used."""
    with app.app_context():
        seed = totp.new_seed()
        assert totp.set_up(db.session.get_one(User, user.id), seed, code_of(seed, -1))
        db.session.remove()
    return seed


def give_password(browser: Browser, user: User) -> str:
    """The first half of a log-in; the address it leads to."""
    answer = browser.log_in(user.email)
    assert answer.status_code == 303
    return str(answer.headers["Location"])


def log_in(browser: Browser, user: User, seed: str, steps: int = 0) -> TestResponse:
    """Both halves."""
    return browser.submit(give_password(browser, user), code=code_of(seed, steps))


def ask(browser: Browser, path: str, body: Any, page: str) -> TestResponse:
    """What the script of a passkey button does: JSON with the page's token."""
    token = re.search(r'(?:data-token|name="csrf_token"[^>]* value)="([^"]+)"', browser.get(page).text)
    headers = {"X-CSRFToken": token[1]} if token else {}
    return browser.post(path, json=body, headers=headers)


def b64(raw: bytes) -> str:
    return urlsafe_b64encode(raw).rstrip(b"=").decode()


def unb64(text: str) -> bytes:
    return urlsafe_b64decode(text + "=" * (-len(text) % 4))


@dataclass
class Key:
    """A passkey with every dial an attacker would turn."""

    origin: str = "http://localhost"
    rp_id: str = "localhost"
    verified: bool = True
    count: int = 0
    id: bytes = field(default_factory=lambda: sha256(str(time.monotonic_ns()).encode()).digest())
    handle: bytes = b""

    def __post_init__(self) -> None:
        self._private = ec.generate_private_key(ec.SECP256R1())

    def make(self, options: dict[str, Any]) -> dict[str, Any]:
        """navigator.credentials.create()"""
        self.handle = unb64(options["user"]["id"])
        numbers = self._private.public_key().public_numbers()
        public = {1: 2, 3: -7, -1: 1, -2: numbers.x.to_bytes(32, "big"), -3: numbers.y.to_bytes(32, "big")}
        data = self._data(0x40) + bytes(16) + len(self.id).to_bytes(2, "big") + self.id + cbor2.dumps(public)
        made = cbor2.dumps({"fmt": "none", "attStmt": {}, "authData": data})
        return self._answer(
            clientDataJSON=b64(self._client("webauthn.create", options["challenge"])),
            attestationObject=b64(made),
            transports=["internal", "made up"],
        )

    def sign(self, options: dict[str, Any]) -> dict[str, Any]:
        """navigator.credentials.get()"""
        client, data = self._client("webauthn.get", options["challenge"]), self._data()
        signature = self._private.sign(data + sha256(client).digest(), ec.ECDSA(SHA256()))
        return self._answer(
            clientDataJSON=b64(client),
            authenticatorData=b64(data),
            signature=b64(signature),
            userHandle=b64(self.handle),
        )

    def _data(self, flags: int = 0) -> bytes:
        flags |= 0x01 | (0x04 if self.verified else 0)
        return sha256(self.rp_id.encode()).digest() + bytes([flags]) + self.count.to_bytes(4, "big")

    def _client(self, kind: str, challenge: str) -> bytes:
        return json.dumps({"type": kind, "challenge": challenge, "origin": self.origin}).encode()

    def _answer(self, **response: Any) -> dict[str, Any]:
        return {"id": b64(self.id), "rawId": b64(self.id), "type": "public-key", "response": response}


def add_key(browser: Browser, key: Key, name: str = "My phone") -> TestResponse:
    """Add the passkey to the account this browser is logged in to."""
    page = f"{HUB}/passkeys/new"
    options = ask(browser, f"{HUB}/passkeys/options", {}, page)
    assert options.status_code == 200, options.text
    return ask(browser, f"{HUB}/passkeys", {"credential": key.make(options.json), "name": name}, page)


def enter_by_key(browser: Browser, key: Key, path: str = "/login/passkey", page: str = "/login") -> TestResponse:
    """Log in with the passkey; at another `path` confirm, or finish a log-in."""
    options = ask(browser, f"{path.partition('?')[0]}/options", {}, page)
    assert options.status_code == 200, options.text
    return ask(browser, path, {"credential": key.sign(options.json)}, page)


def person_with_key(app: Flask, user: User) -> Key:
    """The account gets a passkey, by a browser that is thrown away."""
    browser, key = Browser(app), Key()
    assert browser.log_in(user.email, PASSWORD).status_code == 303
    assert add_key(browser, key).status_code == 200
    return key
