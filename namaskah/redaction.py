"""What no log may hold, taken out of whatever is about to be written: personal data and secrets, class by class.

It is the second net. The first is that nobody writes them: see `db.py`, `worker.py` and `tests/web/test_canary.py`.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import unquote, urlsplit

# The settings that are secrets, and those whose address holds a password.
SECRETS = (
    *("SECRET_KEY", "PAYSTACK_SECRET_KEY", "FIVESIM_TOKEN", "PROVIDER_WEBHOOK_TOKEN", "MAIL_PASSWORD"),
    *("METRICS_TOKEN", "SENTRY_DSN", "BACKUP_S3_SECRET"),
)
ADDRESSES = ("DATABASE_URL", "DATABASE_REPLICA_URL", "REDIS_URL", "BACKUP_DRILL_DATABASE_URL")
SHORTEST_SECRET = 6

_NAMES = (
    r"(?:pass(?:word|wd)?|secret|token|csrf_token|api[_-]?key|access[_-]?key|authorization|cookie|session(?:_id)?|otp)"
)
_QUOTED = r"""(?:"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')"""

Replacement = str | Callable[[re.Match[str]], str]


def _last_four(found: re.Match[str]) -> str:
    digits = re.sub(r"\D", "", found[0])
    return f"[phone …{digits[-4:]}]"


CLASSES: tuple[tuple[re.Pattern[str], Replacement], ...] = (
    # user:password@ of an address
    (re.compile(r"(\w://)[^\s/@]+@"), r"\1[credentials]@"),
    # Authorization headers
    (re.compile(r"(?i)\b(bearer|basic|digest)\s+[A-Za-z0-9._~+/=-]{6,}"), r"\1 [token]"),
    (re.compile(rf"(?i)\b({_NAMES})(['\"]?\s*[=:]\s*)(?:{_QUOTED}|[^\s,;&\"'}})\]]+)"), r"\1\2[secret]"),
    # what a message, a letter or a note says
    (re.compile(rf"(?i)(['\"](?:text|sms|body|html|message|note)['\"]\s*:\s*){_QUOTED}"), r"\1[text]"),
    # keys with a prefix, JSON web tokens, our own signed tokens, and long random words
    (re.compile(r"\b(?:sk|pk|rk)_(?:live|test)_\w+|\b(?:nsk|whsec|whsk)_\w{8,}"), "[key]"),
    (re.compile(r"\b[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{4,}\.[A-Za-z0-9_-]{16,}"), "[token]"),
    (re.compile(r"(?<![\w/.-])(?=[\w-]*[A-Za-z])(?=(?:[\w-]*?\d){3})[A-Za-z0-9_-]{32,}(?![\w/.-])"), "[token]"),
    (re.compile(r"[^\s@<>\"'(),;:=\[\]]+@[^\s@<>\"'(),;:=\[\]]+\.[A-Za-z]{2,}"), "[e-mail]"),
    # a code, where a word says that it is one
    (re.compile(r"(?i)\b(code|otp|pin)\b(\W{1,4}(?:is\W{1,3})?)\d[\d -]{2,8}\d\b"), r"\1\2[code]"),
    (re.compile(r"\+\d[\d ().-]{6,18}\d|(?<![\w.:-])\d{10,15}(?![\w.:-])"), _last_four),
)


class Redactor:
    """Takes out what CLASSES describe, and the secrets of this installation wherever they turn up."""

    def __init__(self, config: Mapping[str, Any]) -> None:
        values = sorted(secrets_of(config), key=len, reverse=True)
        self._own = re.compile("|".join(map(re.escape, values))) if values else None

    def __call__(self, text: str) -> str:
        if self._own is not None:
            text = self._own.sub("[secret]", text)
        for pattern, replacement in CLASSES:
            text = pattern.sub(replacement, text)
        return text


def secrets_of(config: Mapping[str, Any]) -> set[str]:
    """Every secret of the settings; what is too short to be one would blank out half of every line."""
    found = {str(config.get(name) or "") for name in SECRETS}
    found |= set(config.get("SECRET_KEYS_OLD", ())) | set(config.get("SMS_ACTIVATE_KEYS", {}).values())
    for name in ADDRESSES:
        password = urlsplit(str(config.get(name) or "")).password
        found |= {password, unquote(password)} if password else set()
    return {value for value in found if len(value) >= SHORTEST_SECRET}
