"""How the settings of backups are read, and what contradicts itself in them. Plain values in, sentences out."""

import re
from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import urlsplit

from pyrage import RecipientError, x25519

LOOPBACK = {"localhost", "127.0.0.1", "::1"}


def store(value: str) -> str:
    """A folder's whole path, or s3://bucket and perhaps a prefix."""
    value = value.strip().rstrip("/")
    if not PurePosixPath(value).is_absolute() and not re.fullmatch(r"s3://[a-z0-9][a-z0-9.-]+(/[\w./=-]+)?", value):
        raise ValueError("a folder's whole path or s3://bucket/prefix is wanted")
    return value


def recipients(value: str) -> tuple[str, ...]:
    """Public keys of age, separated by commas. A secret one is refused without being repeated."""
    found = tuple(filter(None, (part.strip() for part in value.split(","))))
    if any(key.upper().startswith("AGE-SECRET-KEY-") for key in found):
        raise ValueError("it holds a secret key, which belongs on no host that makes backups; age1... is wanted")
    for key in found:
        try:
            x25519.Recipient.from_str(key)
        except RecipientError:
            raise ValueError(f"public keys of age (age1...) are wanted, which {key[:12]!r} is not") from None
    return found


def hour(value: str) -> int:
    if not re.fullmatch(r"\d{1,2}", value) or int(value) > 23:
        raise ValueError("an hour from 0 to 23 is wanted")
    return int(value)


def faults(values: Mapping[str, Any]) -> list[str]:
    """What cannot work. Settings that could not be read are not in `values` and are complained of elsewhere."""
    place = values.get("BACKUP_STORE", "")
    found = []
    if place and values.get("BACKUP_RECIPIENTS") == ():
        found.append("BACKUP_RECIPIENTS is missing: a backup is never written unencrypted, see docs/backups.md")
    if place.startswith("s3://"):
        missing = [name for name in ("BACKUP_S3_KEY_ID", "BACKUP_S3_SECRET") if not values.get(name)]
        found += [f"{name} is missing: BACKUP_STORE is an S3 bucket" for name in missing]
        endpoint = urlsplit(values.get("BACKUP_S3_ENDPOINT", ""))
        if endpoint.path.strip("/"):
            found.append("BACKUP_S3_ENDPOINT is an address without a path: the bucket stands in BACKUP_STORE")
        is_open = endpoint.scheme == "http" and endpoint.hostname not in LOOPBACK
        if is_open and values.get("ENVIRONMENT") == "production":
            found.append("BACKUP_S3_ENDPOINT must start with https in production")
    return found
