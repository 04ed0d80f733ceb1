"""Calls the sandbox makes: Paystack's events with retries, and the handler_api providers' SMS webhook."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import urllib3

from .books import Order, Sms
from .charges import signature, webhook_body
from .faults import Fault, Faults
from .till import Till, Transaction

if TYPE_CHECKING:
    from .world import Config

TRIES = 10
SMS_TRIES = 3


class Webhooks:
    """Every delivery runs in a thread of its own and ends with the sandbox."""

    def __init__(self, config: Config, till: Till, faults: Faults) -> None:
        self._config = config
        self._till = till
        self._faults = faults
        self._http = urllib3.PoolManager(maxsize=100, retries=False, timeout=urllib3.Timeout(30))

    def _send(self, url: str, body: bytes, headers: dict[str, str]) -> int:
        """The HTTP status that came back, 0 when none did."""
        headers = {"Content-Type": "application/json", **headers}
        try:
            return self._http.request("POST", url, body=body, headers=headers, redirect=False).status
        except urllib3.exceptions.HTTPError:
            return 0

    def _start(self, work: Callable[[], None]) -> None:
        threading.Thread(target=work, daemon=True).start()

    def announce(self, transaction: Transaction) -> None:
        """Send charge.success until it is answered with 200, in the background. Nobody to call: nothing happens."""
        if self._config.paystack_webhook_url:
            self._start(lambda: self._announce(transaction))

    def tell(self, event: str, data: dict[str, Any], noted: Callable[[int], bool], tried: int = 0) -> None:
        """Send any event until it is answered with 200, in the background. `noted` writes each status down and says
        whether to go on; `tried` is how often it was sent before."""
        if self._config.paystack_webhook_url:
            body = json.dumps({"event": event, "data": data}, separators=(",", ":")).encode()
            self._start(lambda: self._tell(body, noted, TRIES - tried))

    def _tell(self, body: bytes, noted: Callable[[int], bool], left: int) -> None:
        for _ in range(left):
            status = self._deliver(body)
            if not noted(status) or status == 200 or self._faults.stopping.wait(self._config.webhook_retry_seconds):
                return

    def resume(self) -> None:
        """After a restart: go on with what nobody acknowledged."""
        for transaction in self._till.unacknowledged():
            if len(transaction.webhook_deliveries) < TRIES:
                self.announce(transaction)

    def _announce(self, transaction: Transaction) -> None:
        while len(transaction.webhook_deliveries) < TRIES:
            if self._till.find(transaction.reference) is not transaction:
                return  # the books were emptied meanwhile
            status = self._deliver(webhook_body(transaction, self._till.domain))
            self._till.record_delivery(transaction, status)
            if status == 200 or self._faults.stopping.wait(self._config.webhook_retry_seconds):
                return

    def _deliver(self, body: bytes) -> int:
        fault = self._faults.take("paystack", "webhook")
        sign = signature(body, self._config.paystack_secret_key)
        if fault is None:
            return self._post(body, sign)
        return self._deliver_badly(fault, body, sign)

    def _deliver_badly(self, fault: Fault, body: bytes, sign: str) -> int:
        """slow: later; duplicate_id: twice; bad_key: under a wrong signature; cut_json: half a body, rightly signed;
        anything else: lost on the way, to be tried again."""
        if fault.kind == "slow":
            self._faults.stopping.wait(3 if fault.seconds is None else fault.seconds)
            return self._post(body, sign)
        if fault.kind == "duplicate_id":
            self._post(body, sign)
            return self._post(body, sign)
        if fault.kind == "bad_key":
            return self._post(body, signature(body, "another key"))
        if fault.kind == "cut_json":
            half = body[: len(body) // 2]
            return self._post(half, signature(half, self._config.paystack_secret_key))
        return 0

    def _post(self, body: bytes, sign: str) -> int:
        url = self._config.paystack_webhook_url
        return self._send(url, body, {"x-paystack-signature": sign}) if url else 0

    def copies(self, transaction: Transaction, count: int, parallel: bool) -> list[int]:
        """Send that many rightly signed copies now and wait; the statuses, also written to the books."""
        body = webhook_body(transaction, self._till.domain)
        sign = signature(body, self._config.paystack_secret_key)
        with ThreadPoolExecutor(max_workers=min(count, 100) if parallel else 1) as pool:
            statuses = list(pool.map(lambda _: self._post(body, sign), range(count)))
        for status in statuses:
            self._till.record_delivery(transaction, status)
        return statuses

    def sms_notifier(self, provider: str) -> Callable[[Order, Sms], None]:
        """What to call when a message comes in at this provider."""

        def notify(order: Order, sms: Sms) -> None:
            if self._config.provider_webhook_url:
                self._start(lambda: self._tell_sms(provider, order, sms))

        return notify

    def _tell_sms(self, provider: str, order: Order, sms: Sms) -> None:
        # Unsigned, as the real ones are. HeroSMS gives the id as a string, the classic flavour as a number.
        message = {
            "activationId": str(order.id) if provider == "herosms" else order.id,
            "service": order.service,
            "text": sms.text,
            "code": sms.code or "",
            "country": int(order.country),
            "receivedAt": sms.received_at.strftime("%Y-%m-%d %H:%M:%S"),
        }
        for _ in range(SMS_TRIES):
            lost = self._faults.take(provider, "webhook")
            url = self._config.provider_webhook_url or ""
            if not lost and self._send(url, json.dumps(message).encode(), {}) == 200:
                return
            if self._faults.stopping.wait(self._config.webhook_retry_seconds):
                return
