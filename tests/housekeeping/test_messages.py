"""Messages lose their words when their time has come, and never have any again."""

import csv
import io
import json
import zipfile
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import func, select, text
from sqlalchemy.exc import IntegrityError

from namaskah.account import export_sheets
from namaskah.auth.models import User
from namaskah.db import db, transaction, violated
from namaskah.extensions import redis
from namaskah.housekeeping import reading, running
from namaskah.numbers import activations, closing, message_retention, messages, polling, proofs
from namaskah.numbers.models import Activation, Message
from namaskah.providers.base import Sms
from namaskah.watch import totals
from tests.housekeeping.stand import HOUR, SMS, books, closed, only_message, rows
from tests.numbers import shop
from tests.support import Control, log_in
from tests.together import at_once


def test_words_go_a_day_after_the_number_was_closed_and_nothing_else_does(app: Flask, alice: User) -> None:
    bought = closed(alice)
    received_at = only_message(bought).received_at
    waiting = shop.buy(alice)
    activations.receive(waiting.id, [SMS])  # not closed: its words stay however long it is
    shop.later(24 * HOUR - 60)
    assert running.run("messages") == 0
    assert only_message(bought).code == "482913"
    shop.later(120)
    before = books()
    assert running.run("messages") == 1
    message = only_message(bought)
    assert (message.body, message.code, message.sender, message.erased_at is None) == ("", None, None, False)
    assert (message.received_at, message.is_late) == (received_at, False)
    assert only_message(waiting).body == SMS.text
    assert books() == before
    assert rows("SELECT count(*) FROM messages WHERE messages::text ~ 'Canary|482913'") == [(1,)]
    assert running.run("messages") == 0
    closing.finish(shop.fresh(waiting))


def test_the_setting_says_when(app: Flask, alice: User, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(app.config, "MESSAGE_RETENTION_HOURS", 2)
    bought = closed(alice)
    shop.later(2 * HOUR + 1)
    assert message_retention.overdue_seconds() == pytest.approx(1, abs=30)
    assert message_retention.erase_due() == 1
    assert message_retention.overdue_seconds() == 0
    assert only_message(bought).erased_at is not None


def test_the_buyer_sees_what_becomes_of_it(app: Flask, alice: User, client: FlaskClient) -> None:
    bought = closed(alice)
    browser = log_in(client, alice)
    for path in (f"/activations/{bought.id}", f"/activations/{bought.id}/live"):
        page = browser.get(path).text
        assert "Your code is 482913" in page and "Canary" in page
        assert "The text of its messages is erased on" in page
    shop.later(25 * HOUR)
    message_retention.erase_due()
    for path in (f"/activations/{bought.id}", f"/activations/{bought.id}/live"):
        page = browser.get(path).text
        assert "482913" not in page and "482 913" not in page and "Canary" not in page
        assert "A message came. Its text was erased on" in page
        assert "we keep texts for 24 hours after a number is closed" in page
        assert "You paid" in page and "The text of its messages" not in page


def test_a_late_message_is_shown_and_erased_too(app: Flask, alice: User, client: FlaskClient, control: Control) -> None:
    shop.only("herosms")
    control.settings(early_cancel_seconds=0)
    bought = shop.buy(alice)
    shop.later(200)
    closing.cancel(shop.fresh(bought))
    activations.receive(bought.id, [SMS])
    browser = log_in(client, alice)
    assert "Your code is 482913" in browser.get(f"/activations/{bought.id}").text
    shop.later(25 * HOUR)
    assert message_retention.erase_due() == 1
    page = browser.get(f"/activations/{bought.id}").text
    assert "Its text was erased on" in page and "This message came late" in page and "482913" not in page


def push(activation: Activation, sms: Sms) -> int:
    db.session.rollback()
    return polling.receive_push(activation.provider_name, activation.provider_ref or "", sms)


@pytest.mark.parametrize("is_erased", [False, True])
def test_the_same_message_sent_again_brings_nothing_back(app: Flask, alice: User, is_erased: bool) -> None:
    bought = closed(alice)
    shop.later(25 * HOUR)
    if is_erased:
        message_retention.erase_due()
    before = books()
    for again in (SMS, Sms("482913 is your code", "482913", "Other"), Sms("", "482913", None)):
        assert push(bought, again) == 0
    assert message_retention.erase_due() == (0 if is_erased else 1)
    assert push(bought, SMS) == 0
    assert only_message(bought).body == ""
    assert books() == before


def test_another_message_after_that_is_known_to_have_come_and_no_more(
    app: Flask, alice: User, client: FlaskClient
) -> None:
    bought = closed(alice)
    shop.later(25 * HOUR)
    message_retention.erase_due()
    before = books()
    assert push(bought, Sms("Another one: 775522", "775522", "Canary")) == 1
    assert push(bought, Sms("Another one: 775522", "775522", "Canary")) == 0
    newest = messages.of_activation(bought.id)[0]
    assert (newest.body, newest.code, newest.sender) == ("", None, None) and newest.erased_at is not None
    assert log_in(client, alice).get(f"/activations/{bought.id}").text.count("A message came. Its text") == 2
    assert books() == before


def test_words_stay_gone_when_the_setting_is_raised(app: Flask, alice: User, monkeypatch: pytest.MonkeyPatch) -> None:
    bought = closed(alice)
    shop.later(25 * HOUR)
    message_retention.erase_due()
    monkeypatch.setitem(app.config, "MESSAGE_RETENTION_HOURS", 48)
    assert push(bought, SMS) == 0
    assert push(bought, Sms("Another one: 775522", "775522", "Canary")) == 1
    assert [message.body for message in messages.of_activation(bought.id)] == ["", ""]


def test_no_print_gives_a_code_away_and_an_old_key_still_knows_it(
    app: Flask, alice: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = closed(alice), closed(alice)
    plain = sha256(b"482913").hexdigest()
    assert only_message(first).fingerprint == only_message(second).fingerprint == plain
    shop.later(25 * HOUR)
    message_retention.erase_due()
    prints = {only_message(bought).fingerprint for bought in (first, second)}
    assert len(prints) == 2 and plain not in prints
    guessed = {sha256(f"{n:06}".encode()).hexdigest() for n in range(482_000, 483_000)}
    assert not prints & guessed
    monkeypatch.setitem(app.config, "SECRET_KEYS_OLD", (app.config["SECRET_KEY"],))
    monkeypatch.setitem(app.config, "SECRET_KEY", "another key, as long as it has to be")  # pragma: allowlist secret
    assert push(first, SMS) == 0
    assert only_message(first).erased_at is not None


CHANGES = (
    "UPDATE messages SET erased_at = NULL",
    "UPDATE messages SET erased_at = NULL, body = 'it is back'",
    "UPDATE messages SET fingerprint = 'x'",
    "INSERT INTO messages (activation_id, fingerprint, body) SELECT activation_id, 'x', 'it is back' FROM messages",
)


@pytest.mark.parametrize("statement", CHANGES)
def test_postgresql_keeps_them_erased(app: Flask, alice: User, statement: str) -> None:
    closed(alice)
    shop.later(25 * HOUR)
    message_retention.erase_due()
    with pytest.raises(IntegrityError) as refused, transaction():
        db.session.execute(text(statement))
    assert violated(refused.value) == "message_stays_erased"


def test_two_workers_share_the_work(app: Flask, alice: User) -> None:
    for _number in range(4):
        closed(alice)
    shop.later(25 * HOUR)

    def work() -> int:
        return sum(message_retention.erase_due(1) for _turn in range(4))

    found = at_once(app, work, work)
    assert all(isinstance(count, int) for count in found), found
    assert sum(found) + message_retention.erase_due() == 4  # type: ignore[arg-type]
    assert rows("SELECT count(*) FROM messages WHERE erased_at IS NULL") == [(0,)]


def test_what_another_has_in_hand_is_left_for_the_next_turn(app: Flask, alice: User) -> None:
    """A message that is being stored holds its activation's row: nobody waits, and nothing is erased under it."""
    held, free = closed(alice), closed(alice)
    shop.later(25 * HOUR)
    with db.engine.connect() as other, other.begin():
        other.execute(text("SELECT FROM activations WHERE id = :id FOR UPDATE"), {"id": held.id})
        assert message_retention.erase_due() == 1
        assert only_message(free).erased_at is not None
        assert only_message(held).erased_at is None
        db.session.rollback()
    assert message_retention.erase_due() == 1


class Killed(BaseException):
    """What nothing of ours catches: as good as SIGKILL to whatever comes after."""


def test_a_worker_killed_after_a_batch_leaves_the_rest_to_the_next(
    app: Flask, alice: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _number in range(3):
        closed(alice)
    shop.later(25 * HOUR)
    done: list[int] = []

    def batch() -> int:
        if done:
            with transaction():
                db.session.execute(text("UPDATE messages SET body = 'half done' WHERE erased_at IS NULL"))
                raise Killed
        done.append(message_retention.erase_due(1))
        return done[-1]

    before = books()
    with monkeypatch.context() as patched:
        patched.setattr(running.registry, "get", lambda _name: _job(batch))
        with pytest.raises(Killed):
            running.run("messages")
    assert rows("SELECT count(*) FROM messages WHERE erased_at IS NULL AND body LIKE 'Your code%'") == [(2,)]
    assert running.run("messages") is None, "nobody knows yet that it was killed"
    with transaction():
        db.session.execute(text("UPDATE housekeeping_jobs SET due_at = now()"))
    assert {each.state for each in reading.standings() if each.job.name == "messages"} == {"cut_off"}
    assert running.run("messages") == 2
    assert rows("SELECT erased_last, erased_total FROM housekeeping_jobs WHERE name = 'messages'") == [(2, 3)]
    assert books() == before


def _job(batch: Any) -> Any:
    [job] = [job for job in running.registry.JOBS if job.name == "messages"]
    return type(job)(job.name, job.what, job.kept, batch, job.every)


def test_an_open_page_is_told(app: Flask, alice: User) -> None:
    bought = closed(alice)
    shop.later(24 * HOUR + 60)
    listening = redis.client.pubsub()
    listening.subscribe(f"live:{alice.id}")
    listening.get_message(timeout=1)
    message_retention.erase_due()
    told = listening.get_message(timeout=2)
    listening.close()
    assert told is not None and json.loads(told["data"]) == ["activation", bought.id]


def test_the_file_of_everything_says_so(app: Flask, alice: User) -> None:
    closed(alice)

    def sheet() -> list[dict[str, str]]:
        db.session.rollback()
        packed = zipfile.ZipFile(io.BytesIO(export_sheets.pack(alice, lambda _done: None)))
        [name] = [name for name in packed.namelist() if name.endswith("messages.csv")]
        return list(csv.DictReader(io.StringIO(packed.read(name).decode("utf-8-sig"))))

    [before] = sheet()
    assert (before["body"], before["code"], before["erased_at"]) == ("Your code is 482913", "482913", "")
    shop.later(25 * HOUR)
    message_retention.erase_due()
    [after] = sheet()
    assert (after["body"], after["code"], after["sender"]) == ("", "", "")
    assert after["erased_at"] != "" and after["received_at"] == before["received_at"]


def test_a_bank_is_told_the_same_before_and_after(app: Flask, alice: User) -> None:
    closed(alice)
    shop.later(25 * HOUR)
    since = datetime.now(UTC) - timedelta(days=3)
    before = proofs.purchases(alice.id, since, 10)
    message_retention.erase_due()
    assert proofs.purchases(alice.id, since, 10) == before
    assert before[0].delivered_at is not None


def test_what_is_counted_stays(app: Flask, alice: User) -> None:
    totals.advance()
    closed(alice)
    shop.later(25 * HOUR)
    message_retention.erase_due()
    with transaction():
        db.session.execute(text("SET LOCAL session_replication_role = replica"))
        for table, column in (("ledger_transactions", "created_at"), ("messages", "received_at")):
            db.session.execute(text(f"UPDATE {table} SET {column} = {column} - interval '2 minutes'"))
    totals.advance()
    assert totals.now()["transactions"]["capture"] == 1
    newest = db.session.scalar(select(func.max(Message.id)))
    assert rows("SELECT message_id FROM running_totals") == [(newest,)]
