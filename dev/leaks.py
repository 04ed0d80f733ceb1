"""Looks for secrets in what git keeps: `python -m dev.leaks`, part of `make lint`.

detect-secrets knows what keys of many makers look like, and what random text is. A line that only looks like one says
so itself: `# pragma: allowlist secret`. Files that were clean are remembered by their content, not read again.
"""

import subprocess
import sys
from hashlib import sha256
from pathlib import Path

from detect_secrets.__version__ import VERSION
from detect_secrets.core.scan import scan_file
from detect_secrets.settings import default_settings

ROOT = Path(__file__).resolve().parents[1]
REMEMBERED = ROOT / ".venv/.clean-of-secrets"
# Made of digests, of other people's code, or of bytes.
SKIPPED = ("requirements.txt", "requirements-dev.txt", "package-lock.json", ".min.js", ".png", "static/app.css")


def kept_files(root: Path) -> list[Path]:
    """Files git keeps or would keep."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    listed = subprocess.run(command, cwd=root, capture_output=True, check=True, text=True).stdout
    return [root / name for name in listed.split("\0") if name]


def findings(files: list[Path], root: Path) -> list[str]:
    """What looks like a secret, one line each; never the secret itself. Tests are full of passwords of nobody."""
    with default_settings():
        return [
            f"{file.relative_to(root)}:{found.line_number}: {found.type}"
            for file in files
            for found in sorted(scan_file(str(file)), key=lambda found: found.line_number)
            if not (found.type == "Secret Keyword" and file.is_relative_to(root / "tests"))
        ]


def main() -> int:
    """Name what looks like a secret; 1 when something does."""
    known = set(REMEMBERED.read_text().split()) if REMEMBERED.is_file() else set()
    named = {file: _digest(file) for file in kept_files(ROOT) if file.is_file() and not str(file).endswith(SKIPPED)}
    found = {file: findings([file], ROOT) for file, digest in named.items() if digest not in known}
    for line in (line for lines in found.values() for line in lines):
        sys.stdout.write(f"{line}: is this a secret? If it only looks like one, say so: # pragma: allowlist secret\n")
    REMEMBERED.write_text("\n".join(sorted(digest for file, digest in named.items() if not found.get(file))))
    return 1 if any(found.values()) else 0


def _digest(file: Path) -> str:
    # The name too: detect-secrets reads different kinds of files differently.
    return sha256(b"\0".join([VERSION.encode(), file.name.encode(), file.read_bytes()])).hexdigest()


if __name__ == "__main__":
    sys.exit(main())
