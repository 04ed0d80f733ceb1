"""Codes as people read and type them: sixteen letters and digits, four by four, 80 random bits.

The letters are Crockford's: no I, L, O and U, which are typed for 1, 1, 0 and V often enough to be read as those.
"""

import hashlib
import secrets
import unicodedata

LETTERS = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"  # pragma: allowlist secret
LENGTH = 16
MISTYPED = str.maketrans("ILOU", "110V")
NOT_A_CODE = ""


def make() -> str:
    """A new code, without dashes."""
    return "".join(secrets.choice(LETTERS) for _place in range(LENGTH))


def read(typed: str) -> str:
    """The code somebody has typed, however they wrote it; NOT_A_CODE when it cannot be one."""
    plain = unicodedata.normalize("NFKC", typed[:200]).upper()
    kept = "".join(_latin(letter) for letter in plain if letter.isalnum()).translate(MISTYPED)
    return kept if len(kept) == LENGTH and set(kept) <= set(LETTERS) else NOT_A_CODE


def shown(code: str) -> str:
    """ABCD-EFGH-JKMN-PQRS."""
    return "-".join(code[start : start + 4] for start in range(0, len(code), 4))


def digest(code: str) -> bytes:
    """What is kept of it. No key is needed: nobody tries 80 bits, and codes outlive our keys."""
    return hashlib.sha256(f"namaskah voucher {code}".encode()).digest()


def _latin(letter: str) -> str:
    """Digits of any script as ours."""
    return str(unicodedata.digit(letter, letter))
