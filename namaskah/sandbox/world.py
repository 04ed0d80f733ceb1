"""Everything one sandbox consists of, and the door every provider request goes through."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import cast

from flask import Response, current_app

from .books import Account
from .cards import Cards
from .catalogue import PROVIDERS, shelf
from .dials import Dials
from .disputes import Disputes
from .faults import Calls, Faults, Reset
from .journal import Journal
from .mailbox import Mailbox
from .phones import Numbering
from .refunds import Refunds
from .till import Till
from .webhooks import Webhooks


@dataclass
class Config:
    """Where the sandbox keeps its books, which credentials it takes and whom it calls. Ports may be 0: any free one."""

    port: int = 8001
    smtp_port: int = 8025
    data: str | None = None
    # Not secrets: what this sandbox takes unless it is told otherwise.
    fivesim_token: str = "sandbox-fivesim"  # noqa: S105
    herosms_key: str = "sandbox-herosms"
    smsactivate_key: str = "sandbox-smsactivate"
    paystack_secret_key: str = "sandbox-paystack"  # noqa: S105
    paystack_webhook_url: str | None = None
    provider_webhook_url: str | None = None
    auto_sms_seconds: float = 0
    webhook_retry_seconds: float = 2

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] = os.environ) -> Config:
        """SMS-Activate's key is HeroSMS's unless it is given: one key is enough for a demonstration of both."""
        get = environ.get
        herosms_key = get("HEROSMS_KEY") or cls.herosms_key
        return cls(
            port=int(get("SANDBOX_PORT") or cls.port),
            smtp_port=int(get("SANDBOX_SMTP_PORT") or cls.smtp_port),
            data=get("SANDBOX_DATA") or None,
            fivesim_token=get("FIVESIM_TOKEN") or cls.fivesim_token,
            herosms_key=herosms_key,
            smsactivate_key=get("SMSACTIVATE_KEY") or herosms_key,
            paystack_secret_key=get("PAYSTACK_SECRET_KEY") or cls.paystack_secret_key,
            paystack_webhook_url=get("PAYSTACK_WEBHOOK_URL") or None,
            provider_webhook_url=get("PROVIDER_WEBHOOK_URL") or None,
            auto_sms_seconds=float(get("SANDBOX_AUTO_SMS_SECONDS") or 0),
            webhook_retry_seconds=float(get("SANDBOX_WEBHOOK_RETRY_SECONDS") or cls.webhook_retry_seconds),
        )


class World:
    """One sandbox's state. All books share the journal's lock; nothing sleeps while holding it."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.dials = Dials(auto_sms_seconds=config.auto_sms_seconds)
        self.journal = Journal(config.data)
        self.faults = Faults()
        self.calls = Calls()
        self.mailbox = Mailbox(self.journal)
        numbering = Numbering()
        self.accounts = {p: Account(shelf(p), self.journal, self.dials, numbering) for p in PROVIDERS}
        self.till = Till(self.journal, config.paystack_secret_key)
        self.cards = Cards(self.journal)
        self.webhooks = Webhooks(config, self.till, self.faults)
        self.refunds = Refunds(self.journal, self.till, self.webhooks)
        self.disputes = Disputes(self.journal, self.till, self.webhooks)
        for provider in ("smsactivate", "herosms"):
            self.accounts[provider].on_sms = self.webhooks.sms_notifier(provider)

    def reset(self) -> None:
        """Back to the start: no orders, mails, transactions, faults or calls; default settings."""
        self.faults.reset()
        for account in self.accounts.values():
            account.reset()
        self.disputes.reset()
        self.till.reset()
        self.refunds.reset()
        self.cards.reset()
        self.mailbox.reset()
        self.calls.reset()
        self.dials.reset(self.config.auto_sms_seconds)

    def serve(
        self, provider: str, operation: str, work: Callable[[], Response], refusals: dict[str, Response]
    ) -> Response:
        """Answer one provider request: count it, be as slow as set, let a fault strike if one is due."""
        with self.faults.answering() as over:
            fault = self.faults.take(provider, operation)
            self.calls.record(provider, operation, fault)
            if self.dials.latency_ms and over.wait(self.dials.latency_ms / 1000):
                return Reset()
            return work() if fault is None else self.faults.strike(fault, over, work, refusals)


def world() -> World:
    """The world of the app that answers the current request."""
    return cast(World, current_app.extensions["sandbox"])
