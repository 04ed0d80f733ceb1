"""A real sandbox on free ports, shared by these tests and emptied before each."""

from __future__ import annotations

import secrets
from collections.abc import Iterator

import pytest
from sandbox_help import Client, Receiver

from namaskah.sandbox import Config, Sandbox


@pytest.fixture(scope="session")
def running() -> Iterator[tuple[Sandbox, Receiver]]:
    receiver = Receiver()
    config = Config(
        port=0,
        smtp_port=0,
        fivesim_token=secrets.token_hex(8),
        herosms_key=secrets.token_hex(8),
        smsactivate_key=secrets.token_hex(8),
        paystack_secret_key=secrets.token_hex(8),
        paystack_webhook_url=receiver.url,
        provider_webhook_url=receiver.url,
        webhook_retry_seconds=0.05,
    )
    with Sandbox(config) as sandbox:
        yield sandbox, receiver
    receiver.server.shutdown()


@pytest.fixture
def client(running: tuple[Sandbox, Receiver]) -> Client:
    made = Client(running[0])
    made.control("reset")
    return made


@pytest.fixture
def receiver(running: tuple[Sandbox, Receiver], client: Client) -> Receiver:
    running[1].requests.clear()
    running[1].answers.clear()
    return running[1]
