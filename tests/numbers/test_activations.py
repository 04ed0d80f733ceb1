"""Buying and what comes of it, against the sandbox's real wire: every ending, with the books on both sides."""

import uuid

import pytest

from namaskah.auth.models import User
from namaskah.numbers import activations, polling
from namaskah.wallet import ledger
from tests.support import Control


def key() -> str:
    return uuid.uuid4().hex


def buy(user: User, **more: object) -> activations.Activation:
    wanted = {"service": "whatsapp", "country": "NG", "operator": "any", "max_price_minor": 10**9, "key": key()}
    return activations.buy(user, **(wanted | more))  # type: ignore[arg-type]


def test_a_bought_number_waits_with_its_price_held(alice: User, control: Control) -> None:
    activation = buy(alice)
    assert activation.state == "waiting"
    assert activation.phone and activation.phone.startswith("+234")
    balance = ledger.balance(alice.id)
    assert balance.held_minor == activation.price_minor
    assert balance.available_minor == 1_000_000 - activation.price_minor
    [order] = control.orders(activation.provider_name)
    assert str(order["id"]) == activation.provider_ref


def test_the_code_is_captured_once_however_often_it_is_polled(alice: User, control: Control) -> None:
    activation = buy(alice)
    control.sms(activation.provider_name, activation.provider_ref or "", "Your WhatsApp code is 482-913")
    assert polling.poll(activation.provider_name) == 1
    assert polling.poll(activation.provider_name) == 0
    again = activations.get_activation(activation.id, alice.id)
    assert again.state == "received"
    balance = ledger.balance(alice.id)
    assert (balance.available_minor, balance.held_minor) == (1_000_000 - activation.price_minor, 0)
