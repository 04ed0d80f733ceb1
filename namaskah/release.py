"""Which release runs: told by /health, /metrics and in reports of crashes."""

import os
from functools import cache
from pathlib import Path
from typing import Any

VERSION = "0.1.0"  # of pyproject.toml; a test compares them
_GIT = Path(__file__).parent.parent / ".git"


def revision(config: dict[str, Any]) -> str:
    """The commit that runs: what the setting says, else what the host or the checkout does; empty when nobody does."""
    return str(config["COMMIT"] or os.environ.get("RENDER_GIT_COMMIT") or _checked_out())[:40]


def name(config: dict[str, Any]) -> str:
    """Version and commit in one: namaskah@0.1.0+1a2b3c4d5e6f."""
    found = revision(config)
    return f"namaskah@{VERSION}" + (f"+{found[:12]}" if found else "")


@cache
def _checked_out() -> str:
    try:
        head = (_GIT / "HEAD").read_text().strip()
        return (_GIT / head.removeprefix("ref: ")).read_text().strip() if head.startswith("ref: ") else head
    except OSError:
        return ""
