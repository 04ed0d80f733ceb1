"""New recovery codes on their way from the page that shows them to the file one may keep. The server forgets them once
the page is sent, so the page carries them, encrypted, for as long as anybody looks at it."""

import json
import time
from base64 import urlsafe_b64decode, urlsafe_b64encode

from namaskah.auth import encryption
from namaskah.auth.models import User

SECONDS = 3600


def seal(user: User, codes: list[str]) -> str:
    """The codes as a text that only we can read, for their owner alone."""
    content = json.dumps({"codes": codes, "at": int(time.time())})
    return urlsafe_b64encode(encryption.encrypt(content.encode(), _context(user))).decode()


def unseal(user: User, sealed: str) -> list[str] | None:
    """The codes again; None when they are another's, or too old, or nothing of ours."""
    try:
        content = json.loads(encryption.decrypt(urlsafe_b64decode(sealed.encode()), _context(user)))
    except (encryption.Unreadable, ValueError):
        return None
    codes: list[str] = content["codes"]
    return codes if time.time() < content["at"] + SECONDS else None


def _context(user: User) -> str:
    return f"recovery-codes:{user.id}"
