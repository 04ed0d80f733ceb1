"""What the database holds encrypted: AES-256-GCM, under keys derived from SECRET_KEY and, to read only, from each of
SECRET_KEYS_OLD.

A value begins with four bytes that name its key: so it is known without trying whether it is under the newest one.
"""

import secrets
from functools import lru_cache

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from flask import current_app

NAME_BYTES, KEY_BYTES, NONCE_BYTES = 4, 32, 12


class Unreadable(Exception):
    """None of our keys made this, or it was made for something else, or somebody changed it."""


def encrypt(plain: bytes, context: str) -> bytes:
    """`plain` under the newest key. `context` says what it is and whose: only with the same one is it read again."""
    name, key = _keys()[0]
    nonce = secrets.token_bytes(NONCE_BYTES)
    return name + nonce + AESGCM(key).encrypt(nonce, plain, context.encode())


def decrypt(sealed: bytes, context: str) -> bytes:
    """What was encrypted for this context. Raises Unreadable."""
    key = dict(_keys()).get(sealed[:NAME_BYTES])
    if key is None:
        raise Unreadable("it was made with a key that is not among SECRET_KEY and SECRET_KEYS_OLD")
    nonce, rest = sealed[NAME_BYTES : NAME_BYTES + NONCE_BYTES], sealed[NAME_BYTES + NONCE_BYTES :]
    try:
        return AESGCM(key).decrypt(nonce, rest, context.encode())
    except (InvalidTag, ValueError) as error:
        raise Unreadable(f"it is not a whole value of {context.partition(':')[0]}") from error


def newest_name() -> bytes:
    """What values under the newest key begin with."""
    return _keys()[0][0]


def _keys() -> list[tuple[bytes, bytes]]:
    """Name and key of each secret, the newest first."""
    config = current_app.config
    return [_derived(secret) for secret in (config["SECRET_KEY"], *config.get("SECRET_KEYS_OLD", ()))]


@lru_cache(maxsize=16)
def _derived(secret: str) -> tuple[bytes, bytes]:
    # SECRET_KEY also signs cookies and links; what is derived here is good for nothing else.
    made = HKDF(SHA256(), NAME_BYTES + KEY_BYTES, salt=None, info=b"namaskah.auth.encryption").derive(secret.encode())
    return made[:NAME_BYTES], made[NAME_BYTES:]
