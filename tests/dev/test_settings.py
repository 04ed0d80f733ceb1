"""Where `make run` takes its settings from."""

from pathlib import Path

import pytest

from dev.process import StartError
from dev.run import accounts_in
from dev.settings import SECRETS, development, kept_secrets, read_env_file


def test_env_files_may_have_comments_quotes_and_empty_values(tmp_path: Path) -> None:
    file = tmp_path / ".env"
    file.write_text("# words\n\nPORT=8100\nexport HOST = 0.0.0.0\nMAIL_FROM='A <a@b.test>'\nSENTRY_DSN=\nA=b=c\n")
    assert read_env_file(file) == {"PORT": "8100", "HOST": "0.0.0.0", "MAIL_FROM": "A <a@b.test>", "A": "b=c"}
    file.write_text("PORT=1\nnonsense\n")
    with pytest.raises(StartError, match="line 2"):
        read_env_file(file)


def test_secrets_are_random_made_once_and_private(tmp_path: Path) -> None:
    first = kept_secrets(tmp_path / "new/dev.env")
    assert set(first) == set(SECRETS)
    assert len(set(first.values())) == len(SECRETS)
    assert min(map(len, first.values())) >= 32
    assert kept_secrets(tmp_path / "new/dev.env") == first
    assert (tmp_path / "new/dev.env").stat().st_mode & 0o777 == 0o600


def test_the_environment_wins_over_env_file_and_that_over_the_defaults(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("PORT=8100\nSANDBOX_PORT=8101\nMAIL_SERVER=mail.test\n")
    chosen = development({"PORT": "8200", "SANDBOX_PORT": ""}, tmp_path, tmp_path / "data")
    assert chosen["PORT"] == "8200"
    assert chosen["SANDBOX_PORT"] == "8101"
    assert chosen["ADMIN_SECOND_FACTOR"] == "no", "the demo admin works at once"
    assert chosen["MAIL_SERVER"] == "mail.test"
    assert chosen["BASE_URL"] == "http://localhost:8200"
    assert chosen["FIVESIM_BASE_URL"] == "http://127.0.0.1:8101/5sim/v1"
    assert chosen["SMS_ACTIVATE_KEYS"] == f"herosms={chosen['HEROSMS_KEY']}"
    assert chosen["PROVIDER_WEBHOOK_URL"].endswith(
        f":8200/webhooks/providers/herosms?token={chosen['PROVIDER_WEBHOOK_TOKEN']}"
    )


@pytest.mark.parametrize("port", ["http", "0", "65536", "-1"])
def test_a_port_that_is_none_is_named(tmp_path: Path, port: str) -> None:
    with pytest.raises(StartError, match=f"SANDBOX_PORT={port} is no port"):
        development({"SANDBOX_PORT": port}, tmp_path, tmp_path / "data")


def test_demo_accounts_are_found_between_log_lines() -> None:
    account = {"role": "admin", "email": "admin@namaskah.test", "password": "four words"}
    lines = [
        '{"event": "connected"}',
        "INFO hello",
        f'{{"role": "admin", "email": "{account["email"]}", "password": "four words"}}',
    ]
    assert accounts_in(lines) == [account]
    assert accounts_in(["already there"]) == []
