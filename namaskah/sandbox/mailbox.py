"""The mailbox: a real SMTP listener that keeps every mail, to be read by people and by programs."""

from __future__ import annotations

import email
import email.policy
import html
import re
import socket
from email.message import EmailMessage
from typing import Any

from aiosmtpd.controller import Controller

from .books import now
from .journal import Journal

_URL = re.compile(r"""https?://[^\s"'<>]+""")


def links(text: str | None, markup: str | None) -> list[str]:
    """Every address in a mail, in order, each once. Full stops and brackets that end a sentence are not part of it."""
    found = _URL.findall(f"{text or ''}\n{html.unescape(markup or '')}")
    return list(dict.fromkeys(link.rstrip(".,;:!?)]") for link in found))


def _body(message: EmailMessage, kind: str) -> str | None:
    part = message.get_body((kind,))
    return part.get_content() if part is not None else None


def parse(raw: bytes, sender: str, recipients: list[str]) -> dict[str, Any]:
    """A mail as the mailbox keeps it, without its number."""
    message = email.message_from_bytes(raw, policy=email.policy.default)
    text, markup = _body(message, "plain"), _body(message, "html")
    return {
        "from": str(message["From"] or sender),
        "to": recipients,
        "subject": str(message["Subject"] or ""),
        "text": text,
        "html": markup,
        "links": links(text, markup),
        "received_at": now().isoformat(),
    }


class Mailbox:
    """Mails in the order they came; on disk before the sender is told 250."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._mails = journal.all("mail")
        self._last_id = max((mail["id"] for mail in self._mails), default=0)

    async def handle_DATA(self, _server: Any, _session: Any, envelope: Any) -> str:  # noqa: N802 (aiosmtpd's name)
        """Called by the SMTP listener for every mail."""
        self.keep(parse(envelope.content, envelope.mail_from or "", list(envelope.rcpt_tos)))
        return "250 Message accepted for delivery"

    def keep(self, mail: dict[str, Any]) -> None:
        with self._journal.writing():
            self._last_id += 1
            kept = {"id": self._last_id, **mail}
            self._mails.append(kept)
            self._journal.put("mail", kept["id"], kept)

    def mails(self, to: str | None = None) -> list[dict[str, Any]]:
        """Newest first; `to` is compared without regard to case."""
        with self._journal.lock:
            return [m for m in reversed(self._mails) if not to or to.lower() in (t.lower() for t in m["to"])]

    def find(self, mail_id: int) -> dict[str, Any] | None:
        return next((mail for mail in self.mails() if mail["id"] == mail_id), None)

    def reset(self) -> None:
        with self._journal.writing():
            self._journal.forget("mail")
            self._mails.clear()


class SmtpListener(Controller):
    """aiosmtpd's controller on a socket bound beforehand, so that port 0 means any free port."""

    def __init__(self, mailbox: Mailbox, port: int) -> None:
        self._socket = socket.create_server(("127.0.0.1", port))
        super().__init__(mailbox, hostname="127.0.0.1", port=self._socket.getsockname()[1], enable_SMTPUTF8=True)

    def _create_server(self) -> Any:
        return self.loop.create_server(self._factory_invoker, sock=self._socket)
