"""A line says who, what, where and when, holds nothing that it must not, and is one line whatever is put into it."""

import io
import json
import logging
import re
import secrets
from collections.abc import Iterator
from typing import Any

import pytest
from flask import Flask

from namaskah import config, logs, redaction, tracing
from namaskah.auth.models import User
from namaskah.redaction import Redactor
from tests.support import log_in

CONFIG: dict[str, Any] = {
    "LOG_FORMAT": "json",
    "LOG_LEVEL": "INFO",
    "ENVIRONMENT": "production",
    "SECRET_KEY": secrets.token_hex(32),
    "DATABASE_URL": "postgresql+psycopg2://me:" + "hunter%2F22@db/x",
    "SMS_ACTIVATE_KEYS": {"hero": "abc-own-key"},
}


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> Iterator[io.StringIO]:
    """What this process logs, as production would; put back afterwards."""
    names = ["", *logs.OTHERS, *logs.QUIET]
    before = {
        name: (logger.handlers[:], logger.level, logger.propagate)
        for name in names
        if (logger := logging.getLogger(name or None))
    }
    out = io.StringIO()
    logs.configure(CONFIG, out)
    yield out
    for name, (handlers, level, propagate) in before.items():
        logger = logging.getLogger(name or None)
        logger.handlers[:], logger.propagate = handlers, propagate
        logger.setLevel(level)
    logging.captureWarnings(False)


def lines(written: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in written.getvalue().splitlines()]


def test_a_request_is_one_line_without_its_address(app: Flask, alice: User, written: io.StringIO) -> None:
    client = log_in(app.test_client(), alice)
    client.get("/reset-password/some-token-nobody-may-see?q=hush", headers={"X-Request-ID": "test-request-1"}).close()
    client.get("/account").close()
    found = [line for line in lines(written) if line["logger"] == "namaskah.access"]
    assert found[0]["request_id"] == "test-request-1"
    assert (found[0]["where"], found[0]["status"]) == ("GET /reset-password/<token>", 410)
    assert (found[1]["where"], found[1]["status"], found[1]["user"]) == ("GET /account", 200, alice.id)
    assert found[1]["ms"] > 0
    assert found[1]["at"].endswith("+00:00")
    assert "nobody-may-see" not in written.getvalue()
    assert "hush" not in written.getvalue()
    assert len(found) == 2


def test_methods_made_up_by_somebody_are_not_repeated(app: Flask, written: io.StringIO) -> None:
    app.test_client().open("/", method="EVIL\x1b[31m").close()
    assert lines(written)[-1]["where"].startswith("OTHER ")


def test_lines_inside_a_request_say_which_and_whose(app: Flask, alice: User, written: io.StringIO) -> None:
    app.view_functions["pages.terms"], before = speak, app.view_functions["pages.terms"]
    try:
        log_in(app.test_client(), alice).get("/terms", headers={"X-Request-ID": "test-request-2"})
    finally:
        app.view_functions["pages.terms"] = before
    [line] = [line for line in lines(written) if line["logger"] == "spoken"]
    assert (line["request_id"], line["where"], line["message"]) == ("test-request-2", "GET /terms", "a word")


def speak() -> str:
    logging.getLogger("spoken").warning("a %s", "word")
    return "said"


def test_the_worker_says_which_job(written: io.StringIO) -> None:
    with tracing.working("job send_mail", "test-request-3"):
        logging.getLogger("x").error("no luck")
    [line] = lines(written)
    assert (line["where"], line["request_id"], line["level"]) == ("job send_mail", "test-request-3", "ERROR")


def test_what_others_put_in_does_not_make_a_line(written: io.StringIO) -> None:
    logging.getLogger("x").warning("refused %s", 'a\n{"level": "INFO", "message": "all is well"}\r\x1b[2K\u2028b')
    [line] = lines(written)
    assert line["level"] == "WARNING"
    assert written.getvalue().isascii()
    text = logs.TextLines(Redactor({})).format(record("a\nERROR all is lost\x1b[2K\u202eb"))
    assert "\n" not in text
    assert "\x1b" not in text


def record(message: str, error: BaseException | None = None) -> logging.LogRecord:
    info = (type(error), error, error.__traceback__) if error else None
    return logging.LogRecord("x", logging.ERROR, "f.py", 1, message, (), info)


def test_errors_are_redacted_too_and_their_lines_cannot_pass_for_records(written: io.StringIO) -> None:
    try:
        try:
            raise ValueError("for jane@example.com\n12:00:00 INFO x: all is well")
        except ValueError as error:
            raise RuntimeError("Bearer abcdefghijk") from error
    except RuntimeError as error:
        caught = error
        logging.getLogger("x").exception("it failed")
    [line] = lines(written)
    assert line["error"] == "RuntimeError"
    assert "ValueError" in line["trace"]
    assert "jane@example.com" not in line["trace"]
    assert "abcdefghijk" not in line["trace"]
    rows = logs.TextLines(Redactor({})).format(record("it failed", caught)).split("\n")
    assert len(rows) > 5
    assert all(row.startswith("    | ") for row in rows[1:])


def test_a_line_with_the_wrong_values_is_still_a_line() -> None:
    broken = logging.LogRecord("x", logging.ERROR, "f.py", 1, "one %s two %s", ("only one",), None)
    assert json.loads(logs.JsonLines(Redactor({})).format(broken))["message"] == "one %s two %s"


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        ("letter to jane.doe+x@mail.example.com failed", "letter to [e-mail] failed"),
        ("no answer from +234 803 555 0142", "no answer from [phone …0142]"),
        ("number 2348035550142 taken", "number [phone …0142] taken"),
        ("Authorization: Bearer abc.def-ghi", "Authorization: [secret] [token]"),
        ("sent Bearer abcdef.ghi-jkl", "sent Bearer [token]"),
        (
            "at postgresql://me:pw@db.example/x",  # pragma: allowlist secret
            "at postgresql://[credentials]@db.example/x",
        ),
        ("password=hunter22&x=1", "password=[secret]&x=1"),
        ('{"api_key": "k-1", "a": 1}', '{"api_key": [secret], "a": 1}'),
        ("your code is 739154", "your code is [code]"),
        ("G-code: 12 34 56", "G-code: [code]"),
        ("{'text': 'Your Telegram \\'thing\\'', 'id': 3}", "{'text': [text], 'id': 3}"),
        (f"token eyJhbGciOi.{'p' * 20}.{'s' * 30}", "token [token]"),
        (f"key {'ab12' * 10}", "key [token]"),
        ("sk_" + "live_" + "0123456789", "[key]"),
        # what stays: numbers of ours, references, names of functions, request ids are a field of their own
        ("activation 4711: order 98765432 of fivesim, 3 in 2.5 s", None),
        ("top-up NK-0123456789abcdef0123: the gateway does not answer", None),
        ('File "/srv/app/namaskah/numbers/activations.py", line 203, in _try_providers', None),
        ("violates uq_ledger_entries_account_id_sequence at 12:30:45", None),
    ],
)
def test_personal_data_and_secrets_go_class_by_class(said: str, kept: str | None) -> None:
    redact = Redactor({})
    assert redact(said) == (said if kept is None else kept)


def test_the_secrets_of_this_installation_go_wherever_they_are() -> None:
    redact = Redactor(CONFIG)
    for secret in (CONFIG["SECRET_KEY"], "hunter%2F22", "hunter/22", "abc-own-key"):
        assert redact(f"x{secret}y") == "x[secret]y"


def test_no_secret_setting_is_forgotten() -> None:
    """By their names and kinds: whoever adds one adds it to what is blanked out."""
    secret = re.compile(r"(SECRET|TOKEN|PASSWORD|DSN|KEYS?|KEYS_OLD)$")
    known = {*redaction.SECRETS, "SECRET_KEYS_OLD", "SMS_ACTIVATE_KEYS"}
    assert {setting.name for setting in config.SETTINGS if secret.search(setting.name)} - known == set()
    addresses = {setting.name for setting in config.SETTINGS if setting.parse is config.database_url}
    assert addresses - set(redaction.ADDRESSES) == set()


def test_development_is_for_people_and_production_for_programs() -> None:
    assert logs._usual({"ENVIRONMENT": "production"}) == "json"
    assert logs._usual({"ENVIRONMENT": "development"}) == "text"
