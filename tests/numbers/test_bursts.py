"""Several messages between two looks at a provider: whoever lists all loses none, whoever lists the last alone loses no
code; and however many look, push and repeat at once, each is kept once and one of them is paid."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from flask import Flask
from sqlalchemy import select

from namaskah.auth.models import User
from namaskah.db import db
from namaskah.numbers import polling
from namaskah.numbers.models import Activation, Message
from namaskah.providers.base import Sms
from tests.numbers import shop
from tests.support import Control
from tests.web.payloads import PAYLOADS


def bought(name: str, alice: User) -> Activation:
    shop.only(name)
    return shop.buy(alice)


def bodies(activation: Activation) -> list[str]:
    """What is kept of it, in the order it came."""
    db.session.rollback()
    wanted = select(Message.body).where(Message.activation_id == activation.id).order_by(Message.id)
    found = list(db.session.scalars(wanted))
    db.session.rollback()
    return found


def at_once(app: Flask, *verbs: Callable[[], object]) -> None:
    """All from one moment on, each in a context of its own."""
    start = threading.Barrier(len(verbs))

    def run(verb: Callable[[], object]) -> None:
        with app.app_context():
            start.wait(10)
            verb()
            db.session.remove()

    with ThreadPoolExecutor(len(verbs)) as pool:
        for done in [pool.submit(run, verb) for verb in verbs]:
            done.result()


def test_a_burst_between_two_looks_is_kept_whole_and_in_order(alice: User, control: Control) -> None:
    activation = bought("fivesim", alice)
    sent = [f"{payload} {100_000 + number}" for number, payload in enumerate(PAYLOADS)]
    for text in sent[:5]:
        control.sms("fivesim", activation.provider_ref or "", text)
    assert polling.poll("fivesim") == 5
    for text in sent[5:]:
        control.sms("fivesim", activation.provider_ref or "", text)
    assert polling.poll("fivesim") == len(sent) - 5
    assert bodies(activation) == sent
    assert polling.poll("fivesim") == 0
    assert shop.ledger_lines(activation).count("capture") == 1


def test_a_burst_that_several_read_while_it_comes_is_kept_whole_and_once(
    app: Flask, alice: User, control: Control
) -> None:
    activation = bought("fivesim", alice)
    ref = activation.provider_ref or ""
    sent = [f"Your code is {200_000 + number}" for number in range(24)]

    def send() -> None:
        for text in sent:
            control.sms("fivesim", ref, text)

    def poll() -> None:
        for _look in range(12):
            polling.poll("fivesim")

    def push() -> None:
        for text in sent[::3]:
            polling.receive_push("fivesim", ref, Sms(text=text, code=text[-6:]))

    at_once(app, send, poll, poll, push)
    polling.poll("fivesim")
    assert sorted(bodies(activation)) == sent
    assert shop.ledger_lines(activation).count("capture") == 1
    shop.assert_books_agree(control)


def test_what_says_the_same_is_one_message(alice: User, control: Control) -> None:
    """A code that a service sends twice is the same code: nobody is told of a new one that is none."""
    activation = bought("fivesim", alice)
    for text in ("Your code is 482913", "Your code is 482913", "482913 is your code", "Welcome!", "Welcome!"):
        control.sms("fivesim", activation.provider_ref or "", text)
    assert polling.poll("fivesim") == 2
    assert bodies(activation) == ["Your code is 482913", "Welcome!"]


def test_a_greeting_after_the_code_does_not_hide_it(alice: User, control: Control) -> None:
    """This protocol's list has the last message alone."""
    activation = bought("herosms", alice)
    for text in ("Your code is 482913", "Welcome aboard!"):
        control.sms("herosms", activation.provider_ref or "", text)
    assert polling.poll("herosms") == 2
    assert bodies(activation) == ["Your code is 482913", "Welcome aboard!"]
    assert polling.poll("herosms") == 0
    assert shop.ledger_lines(activation).count("capture") == 1


def test_a_code_is_there_without_another_question(alice: User, control: Control) -> None:
    activation = bought("herosms", alice)
    before = control.calls()["counts"].get("herosms/poll", 0)
    control.sms("herosms", activation.provider_ref or "", "Your code is 111222")
    control.sms("herosms", activation.provider_ref or "", "Your code is 482913")
    assert polling.poll("herosms") == 1
    assert bodies(activation) == ["Your code is 482913"], "of two codes the newest counts"
    assert control.calls()["counts"].get("herosms/poll", 0) == before


@pytest.mark.parametrize("kind", ["reset", "error", "html", "empty"])
def test_a_greeting_alone_is_shown_when_nothing_else_is_told(alice: User, control: Control, kind: str) -> None:
    activation = bought("herosms", alice)
    for text in ("Your code is 482913", "Welcome aboard!"):
        control.sms("herosms", activation.provider_ref or "", text)
    control.fault("herosms", "poll", kind)
    assert polling.poll("herosms") == 1
    assert bodies(activation) == ["Welcome aboard!"]
