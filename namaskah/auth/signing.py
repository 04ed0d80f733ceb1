"""Values we sign and read back: mailed links, cookies. Each purpose has a signer that takes no other's values.

The key can be changed without ending what it signed: SECRET_KEYS_OLD holds those that are still good.
"""

from flask import current_app
from itsdangerous import URLSafeSerializer, URLSafeTimedSerializer


def signer(purpose: str) -> URLSafeTimedSerializer:
    """Signs what ends after a while: `loads(text, max_age=seconds)`. Raises BadSignature, SignatureExpired."""
    return URLSafeTimedSerializer(keys(), salt=f"namaskah.{purpose}")


def lasting_signer(purpose: str) -> URLSafeSerializer:
    """Signs what has no end of its own. Raises BadSignature."""
    return URLSafeSerializer(keys(), salt=f"namaskah.{purpose}")


def keys() -> list[str]:
    """Oldest first, as itsdangerous wants them: all are good for reading, the last one signs."""
    return [*current_app.config["SECRET_KEYS_OLD"], current_app.config["SECRET_KEY"]]
