"""No secret and no machine's own path is in what git keeps."""

import re
import secrets
from pathlib import Path

import pytest

from dev import leaks
from dev.leaks import kept_files

ROOT = Path(__file__).parents[2]

SECRETS = {
    "a Paystack or Stripe key": rb"\b[sp]k_(?:test|live)_[0-9A-Za-z]{8,}",
    "a private key": rb"-----BEGIN [A-Z ]*PRIVATE KEY-----",
    "a signed token": rb"\beyJ[\w-]{15,}\.[\w-]{10,}\.[\w-]{10,}",
    "a cloud key": rb"\bAKIA[0-9A-Z]{16}\b",
    "a code host's token": rb"\bgh[pousr]_[0-9A-Za-z]{30,}|\bglpat-[\w-]{20,}",
    "a chat token": rb"\bxox[abprs]-[\w-]{10,}",
    "a password in an address": rb"\b(?:postgres(?:ql)?|redis|amqp)(?:\+\w+)?://[^\s:/@'\"{}]+:[^\s:/@'\"{}$]{6,}@(?!127\.)[\w-]+\.",
    "somebody's home": rb"(?<![\w.])/(?:home|Users)/[a-z][\w.-]*/|(?<![\w.])/[r]oot/",
}
# Lock files are made of digests; fonts and pictures of bytes.
SKIPPED = {".lock", ".png", ".woff2", ".ico"}


def findings(files: list[Path]) -> list[str]:
    found = []
    for file in files:
        if not file.is_file() or file.suffix in SKIPPED:
            continue
        content = file.read_bytes()
        found += [f"{file.name} holds {what}" for what, pattern in SECRETS.items() if re.search(pattern, content)]
    return found


def test_nothing_kept_is_a_secret() -> None:
    files = kept_files(ROOT)
    assert len(files) > 100
    assert findings(files) == []


def test_secrets_are_seen(tmp_path: Path) -> None:
    planted = {
        "a": "sk_" + "live_" + "0123456789abcdef",
        "b": "-----BEGIN RSA " + "PRIVATE KEY-----",
        "c": "ey" + "J" + "h" * 20 + "." + "p" * 20 + "." + "s" * 20,
        "d": "AKI" + "A" + "B" * 16,
        "e": "gh" + "p_" + "x" * 36,
        "f": "xox" + "b-" + "1234567890",
        "g": "postgresql:/" + "/someone:hunter" + "22@db.example.com/x",
        "h": "/ho" + "me/someone/project/file",
        # pragma: allowlist nextline secret
        "fine": "postgresql://user:password@localhost/x, sk_test_..., /path/home/x",
    }
    for name, content in planted.items():
        (tmp_path / name).write_text(content)
    found = [finding.split(" ")[0] for finding in findings(sorted(tmp_path.iterdir()))]
    assert found == [name for name in planted if name != "fine"]


PLANTED = {
    "a.py": f'PAYSTACK_SECRET_KEY = "sk_{"live"}_{secrets.token_hex(12)}"',
    "b.py": f'token = "{secrets.token_hex(20)}"',
    "c.env": f"DATABASE_URL=postgresql://me:{secrets.token_hex(8)}@db.example/x",
    "d.pem": "-----BEGIN RSA " + "PRIVATE KEY-----",
}


@pytest.mark.parametrize("name", list(PLANTED))
def test_make_lint_sees_a_planted_secret_and_does_not_repeat_it(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text(PLANTED[name] + "\n")
    [found] = leaks.findings([tmp_path / name], tmp_path)[:1]
    assert found.startswith(f"{name}:1: ")
    assert PLANTED[name][-12:] not in found


def test_make_lint_fails_on_a_secret_and_remembers_what_was_clean(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    clean, faulty = tmp_path / "clean.py", tmp_path / "b.py"
    clean.write_text("answer = 42\n")
    monkeypatch.setattr(leaks, "ROOT", tmp_path)
    monkeypatch.setattr(leaks, "REMEMBERED", tmp_path / "remembered")
    monkeypatch.setattr(leaks, "kept_files", lambda _root: sorted(tmp_path.glob("*.py")))
    assert leaks.main() == 0
    assert capsys.readouterr().out == ""
    faulty.write_text(PLANTED["b.py"] + "\n")
    assert leaks.main() == 1
    assert "b.py:1: " in capsys.readouterr().out
    assert leaks.main() == 1, "what was found is looked at again"
    faulty.write_text(PLANTED["b.py"] + "  # pragma: allowlist secret\n")
    assert leaks.main() == 0
