"""Secrets that can be recognised go through everything, errors included, and come out nowhere they should not."""

import contextlib
import json
import os
import re
import secrets
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest

from namaskah.crashes import without_values
from tests.support import wait_until
from tests.web.canary_stand import Person, Place, canary, place

KEYS = {
    name: canary(name)
    for name in ("FIVESIM_TOKEN", "HEROSMS_KEY", "PAYSTACK_SECRET_KEY", "PROVIDER_WEBHOOK_TOKEN", "METRICS_TOKEN")
}
MINE = {name: canary(name) for name in ("password", "wrong-password", "sms")}
CODE = "739154"
EMAIL = "canary@example.com"


@pytest.fixture(scope="module")
def stand(worker_number: int, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    with place(f"namaskah_canary_{worker_number}", tmp_path_factory.mktemp("canary"), KEYS) as made:
        yield made


def flask(stand: Place, *command: str) -> None:
    with (stand.logs / "commands.log").open("ab") as log:
        subprocess.run(
            [sys.executable, "-m", "flask", "--app", "wsgi", *command],
            env=os.environ | stand.site.environment | {"BASE_URL": "http://127.0.0.1"},
            stdout=log,
            stderr=log,
            check=True,
        )


def push(stand: Place, order: str, text: str) -> None:
    """The provider's webhook, as often as it takes no notice of what comes back."""
    address = f"{stand.site.url}/webhooks/providers/herosms?token={KEYS['PROVIDER_WEBHOOK_TOKEN']}"
    body = json.dumps({"activationId": order, "text": text, "code": CODE}).encode()
    request = urllib.request.Request(address, body, {"Content-Type": "application/json"})
    try:
        urllib.request.urlopen(request, timeout=20).close()
    except urllib.error.HTTPError as error:
        stand.errors.append(error.read().decode())


def test_no_secret_comes_out_anywhere(stand: Place) -> None:
    flask(stand, "catalogue", "load")
    flask(stand, "catalogue", "sync")
    stand.site.start_web()
    stand.site.start_worker()
    person = Person(stand)
    wanted = KEYS | MINE | {"link": _open_an_account(stand, person)}
    _fail_to_log_in(stand, person)
    _log_in_while_the_database_refuses(stand, person)
    assert person.open("/login", {"email": EMAIL, "password": MINE["password"]})[0] == 303
    _top_up(stand, person)
    _buy(stand, person)
    stand.note_jobs()
    wait_until(lambda: len(stand.reports) >= 3, 30, "reports at Sentry")
    # The flows did happen, and what is looked at is where it would be.
    assert any("CheckViolation" in report or "IntegrityError" in report for report in stand.reports)
    assert "unhandled error" in (stand.logs / "web.log").read_text()
    assert "send_mail" in (stand.logs / "worker.log").read_text()
    assert any("LIMITS" in command for command in stand.commands)
    assert len(stand.errors) >= 4
    stand.note_what_is_told(KEYS["METRICS_TOKEN"])
    assert len(stand.told) == 4
    assert any('"type":"transaction"' in report for report in stand.reports), "times are reported, too"
    assert any('"where": "job send_mail"' in line for line in (stand.logs / "worker.log").read_text().splitlines())
    leaks = stand.leaks(wanted)
    assert leaks == [], "\n".join(leaks)
    phones = [re.escape(phone) for (phone,) in stand.sql("SELECT DISTINCT phone FROM activations WHERE phone <> ''")]
    assert phones
    personal = stand.personal(re.escape(EMAIL), rf"(?<![\w.-]){CODE}(?![\w.-])", *phones)
    assert personal == [], "\n".join(personal)
    wait_until(lambda: not stand.sql("SELECT 1 FROM procrastinate_jobs WHERE task_name = 'send_mail'"), 30, "letters")


def _open_an_account(stand: Place, person: Person) -> str:
    """Returns the token in the letter, which is let out by the letter alone."""
    person.open("/register")
    form = {"email": EMAIL, "password": MINE["password"], "accept": "y"}
    assert person.open("/register", form)[0] == 303
    stand.note_jobs()
    [mail] = wait_until(lambda: stand.control.mails(EMAIL), 30, "the letter")
    token = str(mail["text"]).split("/verify-email/")[1].split()[0]
    person.open(f"/verify-email/{token}")
    assert person.open(f"/verify-email/{token}", {})[0] == 303
    assert person.open(f"/verify-email/{token}x", {})[0] == 410
    return token


def _fail_to_log_in(stand: Place, person: Person) -> None:
    person.open("/login")
    assert person.open("/login", {"email": EMAIL, "password": MINE["wrong-password"]})[0] == 422
    assert person.open("/login", {"email": MINE["wrong-password"], "password": MINE["wrong-password"]})[0] == 422
    stand.errors[:] = [page for page in stand.errors if "email" not in page or MINE["wrong-password"] not in page]


def _log_in_while_the_database_refuses(stand: Place, person: Person) -> None:
    """A 500 in the middle of a log-in, the password on its stack."""
    stand.sql("ALTER TABLE audit_events ADD CONSTRAINT broken CHECK (kind NOT LIKE 'login%') NOT VALID")
    person.open("/login")
    for headers in ({}, {"HX-Request": "true"}):
        form = {"email": EMAIL, "password": MINE["password"]}
        assert person.open("/login", form, **headers)[0] == 500
    stand.sql("ALTER TABLE audit_events DROP CONSTRAINT broken")


def _top_up(stand: Place, person: Person) -> None:
    """Through errors of the gateway to money."""
    person.open("/wallet")
    for kind in ("error_500", "html", "cut_json"):
        stand.control.fault("paystack", "initialize", kind)
        person.open("/wallet/top-up", {"preset": "1000000", "key": secrets.token_urlsafe(24)})
    assert person.open("/wallet/top-up", {"preset": "1000000", "key": secrets.token_urlsafe(24)})[0] == 303
    [(reference, checkout)] = stand.sql("SELECT reference, checkout_url FROM top_ups ORDER BY id DESC LIMIT 1")
    stand.control.fault("paystack", "verify", "error_500")
    pay = urllib.request.Request(checkout, b"action=pay")
    with contextlib.suppress(urllib.error.HTTPError):  # the payer's browser has no session of ours
        urllib.request.urlopen(pay, timeout=20).close()
    assert person.open(f"/wallet/top-up/return?reference={reference}")[0] == 303
    assert person.open(f"/wallet/top-up/return?reference={reference}")[0] == 303
    assert stand.sql("SELECT state FROM top_ups WHERE reference = %s", reference) == [("paid",)]


def _buy(stand: Place, person: Person) -> None:
    """A number of each provider: with errors of the provider, and of ours while a message is being kept."""
    for provider in ("fivesim", "herosms"):
        for kind in ("error_500", "html", "cut_json", "bad_key"):
            stand.control.fault(provider, "*", kind, times=2)
            _order(stand, person, provider)
        stand.control.no_faults()
        assert "/activations/" in _order(stand, person, provider)
        [(number, order)] = stand.sql(
            "SELECT id, provider_ref FROM activations WHERE state = 'waiting' ORDER BY id DESC LIMIT 1"
        )
        before = _log(stand).count("CheckViolation")
        stand.sql("ALTER TABLE messages ADD CONSTRAINT broken CHECK (body NOT LIKE '%CNRY%') NOT VALID")
        stand.control.sms(provider, order, f"{MINE['sms']} {CODE}")
        if provider == "herosms":
            push(stand, order, f"{MINE['sms']} {CODE}")
        wait_until(lambda: _log(stand).count("CheckViolation") > before, 30, "the error of keeping it")  # noqa: B023
        stand.sql("ALTER TABLE messages DROP CONSTRAINT broken")
        _wait_for_message(person, number)


def _sell_at(stand: Place, name: str) -> None:
    """Only this provider sells now, whatever it has just done."""
    stand.sql(
        "UPDATE providers SET paused_until = CASE WHEN name = %s THEN NULL ELSE now() + interval '1 hour' END", name
    )


def _order(stand: Place, person: Person, provider: str) -> str:
    """Buys what this provider offers first; where that led. The worker meets the provider's errors too, and may have it
    rest between our look and our purchase."""
    return wait_until(lambda: _try_to_order(stand, person, provider), 30, "an order")


def _try_to_order(stand: Place, person: Person, provider: str) -> str | None:
    _sell_at(stand, provider)
    page = person.open("/numbers?service=telegram")[1]
    form = re.search(r'<form[^>]*action="/activations".*?</form>', page, re.DOTALL)
    if form is None:
        return None
    fields = dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)"', form[0]))
    status, body = person.open("/activations", fields | {"operator": ""})
    return body if status == 303 else None


def _log(stand: Place) -> str:
    return "".join(path.read_text(errors="replace") for path in stand.logs.glob("*.log"))


def _wait_for_message(person: Person, number: int) -> None:
    wait_until(lambda: MINE["sms"] in person.open(f"/activations/{number}")[1], 60, "the message on its owner's page")


def test_sentry_is_told_kinds_and_places_alone() -> None:
    event: dict[str, Any] = {
        "event_id": "1",
        "request": {"url": "https://x/verify-email/CNRY", "headers": {"Referer": "CNRY"}, "query_string": "token=CNRY"},
        "user": {"email": "CNRY"},
        "breadcrumbs": {"values": [{"message": "CNRY"}]},
        "extra": {"job": "CNRY"},
        "logentry": {"message": "could not send %s", "params": ["CNRY"], "formatted": "could not send CNRY"},
        "exception": {
            "values": [
                {
                    "type": "ValueError",
                    "module": "builtins",
                    "value": "CNRY",
                    "stacktrace": {"frames": [{"function": "send", "lineno": 3, "vars": {"password": "CNRY"}}]},
                }
            ]
        },
    }
    kept = without_values(event, {})
    assert "CNRY" not in json.dumps(kept)
    [error] = kept["exception"]["values"]
    assert (error["type"], error["stacktrace"]["frames"]) == ("ValueError", [{"function": "send", "lineno": 3}])
    assert kept["logentry"] == {"message": "could not send %s"}
