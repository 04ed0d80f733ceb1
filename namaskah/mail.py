"""One function per e-mail. Each makes the letter in its reader's language and leaves it in the job queue, inside the
caller's transaction: no letter about something that was rolled back, none lost once it is committed.

`send()` is the other end: the worker's, and the only place that talks to the mail server.
"""

import smtplib
import ssl
from datetime import UTC, datetime
from email.utils import make_msgid
from typing import Any
from urllib.parse import urlsplit

from flask import current_app, render_template
from flask_babel import gettext as _
from flask_mail import Connection, Message

from namaskah import jobs
from namaskah.auth.models import User
from namaskah.filters import money_text
from namaskah.language import reading_as

# A mail server that does not answer must not hold a worker's thread for good.
SMTP_SECONDS = 20


def verify_email(user: User, link: str, hours: int) -> None:
    """`link` proves, when it is opened, that the address is the user's; it works for so many `hours`."""
    _leave("verify_email", user, link=link, hours=hours)


def already_registered(user: User) -> None:
    """Somebody tried to open a second account with the user's address."""
    _leave("already_registered", user, login_link=_page("login"))


def new_device(user: User, device: str, address: str) -> None:
    """Somebody logged in with a browser that never did so before. `device` is what it calls itself, `address` its IP
    address."""
    with reading_as(user):
        _notice(user, _("A new device logged in to your account."), device, address)


def reset_password(user: User, link: str, minutes: int) -> None:
    """`link` lets whoever opens it choose a new password. Sent at once, by the worker: it lies in no job's arguments.
    Raises what send() does."""
    send(**_letter("reset_password", user, link=link, minutes=minutes))


def confirm_new_address(user: User, address: str, link: str, hours: int) -> None:
    """`link` makes `address` the account's, for whoever is logged in to it. Sent at once, like reset_password()."""
    send(**_letter("confirm_new_address", user, link=link, hours=hours) | {"to": address})


def address_in_use(owner: User) -> None:
    """Somebody wanted to move another account to the owner's address."""
    _leave("address_in_use", owner)


def password_changed(user: User, device: str, origin: str) -> None:
    """The account has a new password. `device` and `origin` (an IP address) are where that was done."""
    with reading_as(user):
        _notice(user, _("The password of your account was changed."), device, origin)


def email_change_asked(user: User, device: str, origin: str) -> None:
    """To the present address: somebody wants another one for the account."""
    with reading_as(user):
        what = _("Somebody asked to change the e-mail address of your account. Until they confirm it, this one stays.")
        _notice(user, what, device, origin)


def email_changed(user: User, device: str, origin: str) -> None:
    """To the address the account has had until now. Call it before the change."""
    with reading_as(user):
        what = _("The e-mail address of your account was changed. From now on we write to the new one.")
        _notice(user, what, device, origin)


def factor_notice(user: User, what: Any, device: str, address: str) -> None:
    """Something happened to the user's second factor: `what`, a sentence that is translated when it is shown."""
    _notice(user, what, device, address)


def account_closed(user: User) -> None:
    """We have closed the account, for breaking the rules."""
    _leave("account_closed", user)


def account_deleted(user: User) -> None:
    """The last letter to an address: call it before the address is erased."""
    _leave("account_deleted", user, at=datetime.now(UTC))


def top_up_paid(user: User, amount_minor: int, balance_minor: int, receipt: str) -> None:
    """Money has arrived: the amount and the balance after it, in minor units of the wallet's currency, and the number
    of the receipt."""
    with reading_as(user):
        amount, balance = money_text(amount_minor), money_text(balance_minor)
    link = _page(f"wallet/invoices/{receipt}")
    _leave("top_up_paid", user, name=user.name, amount=amount, balance=balance, receipt=receipt, receipt_link=link)


def gift_ends(user: User, left_minor: int, until: datetime) -> None:
    """So much of a gift, in minor units of the wallet's currency, is left and runs out then."""
    with reading_as(user):
        amount = money_text(left_minor)
    _leave("gift_ends", user, name=user.name, amount=amount, until=until, page=_page("numbers"))


def refund_started(user: User, amount_minor: int, top_up: str) -> None:
    """So much of a top-up (its reference) is on its way back to where it was paid from."""
    _about_refund("refund_started", user, amount_minor, top_up)


def refund_processed(user: User, amount_minor: int, top_up: str, credit_note: str) -> None:
    """It has gone back; `credit_note` is the number of the paper that says so."""
    link = _page(f"wallet/invoices/{credit_note}")
    _about_refund("refund_processed", user, amount_minor, top_up, credit_note=credit_note, credit_note_link=link)


def refund_failed(user: User, amount_minor: int, top_up: str, wallet_minor: int) -> None:
    """It could not be paid back; `wallet_minor` of it is in the wallet again."""
    with reading_as(user):
        wallet = money_text(wallet_minor)
    _about_refund("refund_failed", user, amount_minor, top_up, in_wallet=wallet)


def _about_refund(letter: str, user: User, amount_minor: int, top_up: str, **context: object) -> None:
    with reading_as(user):
        amount = money_text(amount_minor)
    link = _page(f"wallet/top-ups/{top_up}")
    _leave(letter, user, name=user.name, amount=amount, reference=top_up, link=link, **context)


def dispute_opened(user: User, amount_minor: int, owed_minor: int, reference: str) -> None:
    """A payer's bank wants this much of a top-up back; `owed_minor` of it was spent already."""
    _dispute_letter("dispute_opened", user, amount_minor, owed_minor, reference)


def dispute_ended(user: User, is_won: bool, amount_minor: int, owed_minor: int, reference: str) -> None:
    """The bank has decided: the payment stands (`is_won`) or is gone. `owed_minor` is what is still owed."""
    _dispute_letter("dispute_ended", user, amount_minor, owed_minor, reference, is_won=is_won)


def dispute_waits(operator: User, dispute_id: int, number: str, amount_minor: int, due_at: datetime | None) -> None:
    """To whoever runs the place: a dispute is lost unless somebody answers it in time."""
    with reading_as(operator):
        amount = money_text(amount_minor)
    page = _page(f"admin/disputes/{dispute_id}")
    _leave("dispute_waits", operator, number=number, amount=amount, due_at=due_at, page=page)


def auto_top_up_paid(user: User, amount_minor: int, balance_minor: int, receipt: str, card: str) -> None:
    """The same for money that came by itself, from `card`; it says how that is stopped."""
    with reading_as(user):
        amount, balance = money_text(amount_minor), money_text(balance_minor)
    links = {"receipt_link": _page(f"wallet/invoices/{receipt}"), "cards_link": _page("wallet/cards")}
    _leave(
        "auto_top_up_paid", user, name=user.name, amount=amount, balance=balance, receipt=receipt, card=card, **links
    )


def auto_top_up_off(user: User, why: Any, said: str, page: str | None, *, to_confirm: bool) -> None:
    """The automatic top-up is switched off. `why` is a sentence that is translated when it is shown, `said` the bank's
    own words or nothing, `page` that of the payment: `to_confirm`, if it can still be paid there."""
    links = {"page_link": page and _page(page), "settings_link": _page("wallet/auto-top-up")}
    _leave("auto_top_up_off", user, name=user.name, why=why, said=said, to_confirm=to_confirm, **links)


def low_balance(user: User, balance_minor: int, below_minor: int) -> None:
    """Less than `below_minor` can be spent, as the user wanted to be told."""
    with reading_as(user):
        balance, below = money_text(balance_minor), money_text(below_minor)
    links = {"wallet_link": _page("wallet"), "settings_link": _page("wallet/auto-top-up")}
    _leave("low_balance", user, name=user.name, balance=balance, below=below, **links)


def send(to: str, subject: str, text: str, html: str) -> None:
    """Hand one letter to the mail server. Raises OSError or smtplib.SMTPException when it does not take it."""
    config = current_app.config
    message = Message(
        subject,
        recipients=[to],
        body=text,
        html=html,
        sender=config["MAIL_FROM"],
        # RFC 3834: out-of-office programs do not answer what says it was sent by a program.
        extra_headers={"Auto-Submitted": "auto-generated", "X-Auto-Response-Suppress": "All"},
    )
    message.msgId = make_msgid(domain=urlsplit(config["BASE_URL"]).hostname)
    with _Connection(current_app.extensions["mail"]) as connection:
        connection.send(message)


class _Connection(Connection):
    """Flask-Mail's connection, which waits for ever and takes any certificate, made to do neither."""

    def configure_host(self) -> smtplib.SMTP:
        host = smtplib.SMTP(self.mail.server, self.mail.port, timeout=SMTP_SECONDS)
        if self.mail.use_tls:
            host.starttls(context=ssl.create_default_context())
        if self.mail.username and self.mail.password:
            host.login(self.mail.username, self.mail.password)
        return host


def _page(path: str) -> str:
    """A page's whole address: from the setting, never from the Host header of the request that caused the mail."""
    return f"{current_app.config['BASE_URL']}/{path}"


def _notice(user: User, what: Any, device: str, origin: str) -> None:
    page = _page("account/security")
    _leave("security_notice", user, what=what, device=device, address=origin, at=datetime.now(UTC), page=page)


def _dispute_letter(letter: str, user: User, amount_minor: int, owed_minor: int, reference: str, **more: Any) -> None:
    with reading_as(user):
        amount, owed = money_text(amount_minor), money_text(owed_minor) if owed_minor else ""
    page = _page(f"wallet/top-ups/{reference}")
    _leave(letter, user, name=user.name, amount=amount, owed=owed, reference=reference, page=page, **more)


def _leave(letter: str, user: User, **context: object) -> None:
    if user.deleted_at is not None:
        return  # nobody reads it
    jobs.defer("send_mail", **_letter(letter, user, **context))


def _letter(letter: str, user: User, **context: object) -> dict[str, str]:
    """What send() takes."""
    with reading_as(user):
        subject, text, html = (
            render_template(f"emails/{letter}/{part}", **context) for part in ("subject.txt", "body.txt", "body.html")
        )
    return {"to": user.email, "subject": " ".join(subject.split()), "text": text, "html": html}
