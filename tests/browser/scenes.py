"""Every state a page can be in, made by the product's own verbs, for looking at."""

import json
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from unittest.mock import patch

from flask import current_app
from sqlalchemy import text, update

from namaskah.auth import accounts, audit, credentials, email_changes, sessions
from namaskah.auth.models import Session, User
from namaskah.auth.second_factor.models import Passkey, TotpSeed
from namaskah.db import db, transaction
from namaskah.numbers import activations, catalogue, closing
from namaskah.numbers.activations import receive
from namaskah.numbers.models import Activation
from namaskah.providers.base import Sms
from namaskah.reconciliation import findings
from namaskah.reconciliation.findings import Found
from namaskah.wallet import (
    auto_topups,
    auto_wishes,
    disputes,
    events,
    invoices,
    ledger,
    promo,
    refunds,
    topups,
    voucher_batches,
    vouchers,
)
from namaskah.wallet.card_models import SavedCard
from namaskah.wallet.models import TopUp
from namaskah.wallet.paystack_refunds import Refund
from tests import support
from tests.browser.stand import CODE, Stand

LONG_WORD = "Donaudampfschifffahrtselektrizitätenhauptbetriebswerkbauunterbeamtengesellschaft"
LONG_ADDRESS = f"https://example.com/confirm/{'a1b2c3d4' * 14}"
TOP_UP_STATES = ("opened", "pending", "failed", "abandoned", "mismatch")


@dataclass(frozen=True)
class Gallery:
    """Who looks (ids of users), and at what: by group, pairs of a name and a path."""

    people: dict[str, int]
    pages: dict[str, list[tuple[str, str]]]


def make(stand: Stand) -> Gallery:
    """All of it; takes a few seconds."""
    owner, newcomer = stand.person(), stand.person(money=0)
    unverified, admin = stand.person(money=0, verified=False), stand.person(role="admin")
    lives = [(name, f"/activations/{made.id}") for name, made in _activations(stand, owner)]
    _fill_history(stand, owner)
    with stand.app.test_request_context():
        email_changes.ask(unverified, f"{'long.' * 12}x@{LONG_WORD[:60].lower()}.example")
    secured = stand.person(money=0)
    _give_factors(secured)
    _fill_security(owner)
    of_paystack = [("not_credited", "NK-gallery", 0), ("unknown_payment", "T482913000731", None)]
    findings.keep(
        "paystack", [Found("paystack", kind, ref, "NGN", 2, 250_000, ours) for kind, ref, ours in of_paystack]
    )
    findings.keep("fivesim", [Found("fivesim", "balance", "fivesim", "USD", 6, 12_345_678, 12_000_000)])
    fresh, used = _gifts(owner)
    refund_pages, refunded = _refunds(owner)
    visitor_pages = [(path.strip("/") or "landing", path) for path in _PUBLIC]
    return Gallery(
        {
            "member": owner.id,
            "live": owner.id,
            "safe": owner.id,
            "newcomer": newcomer.id,
            "secured": secured.id,
            "unverified": unverified.id,
            "admin": admin.id,
        },
        {
            "visitor": [
                *visitor_pages,
                ("good link", f"/verify-email/{accounts.verification_token(unverified)}"),
                ("new password", f"/reset-password/{credentials.reset_token(owner)}"),
            ],
            "member": [*_member_pages(), *_top_ups(owner), *_receipts(owner), *refunded, *_cards(owner)],
            "live": lives,
            "safe": [
                ("security", "/account/security"),
                ("devices", "/account/sessions"),
                ("export", "/account/export"),
                ("delete", "/account/delete"),
            ],
            "newcomer": _NEWCOMER,
            "secured": _SECURED,
            "unverified": _UNVERIFIED,
            "admin": [
                ("admin", "/admin"),
                ("others' books", "/admin/reconciliation"),
                ("housekeeping", "/admin/housekeeping"),
                ("rates", "/admin/rates"),
                ("gifts", "/admin/promo"),
                ("codes", "/admin/vouchers"),
                ("codes, fresh", f"/admin/vouchers/{fresh}"),
                ("codes, used", f"/admin/vouchers/{used}"),
                ("refunds", "/admin/refunds"),
                ("refund, which top-up", "/admin/refunds/new?top_up=NK-nothing"),
                *refund_pages,
                *_desk(owner),
                *_unknown_payments(stand, newcomer),
                *_disputes(stand),
            ],
        },
    )


_PUBLIC = (
    *("/", "/pricing", "/pricing?q=telegram", f"/pricing?q={LONG_WORD[:60]}", "/terms", "/privacy", "/acceptable-use"),
    "/status",
    *("/refunds", "/register", "/login", "/verify-email/expired", "/numbers", "/numbers?service=telegram"),
    *("/forgot-password", "/reset-password/expired", "/not-here", "/dev/components"),
)
_NEWCOMER = [
    ("second factor, off", "/account/second-factor"),
    ("buy, no money", "/numbers?service=telegram"),
    ("history, empty", "/activations"),
    ("wallet, empty", "/wallet"),
    ("statement, empty", "/wallet/statement"),
    ("receipts, none", "/wallet/invoices"),
    ("top-ups, none", "/wallet/top-ups"),
    ("cards, none", "/wallet/cards"),
    ("automatic top-up, no card", "/wallet/auto-top-up"),
]
_SECURED = [
    ("second factor", "/account/second-factor"),
    ("another app", "/account/second-factor/totp"),
    ("another passkey", "/account/second-factor/passkeys/new"),
    ("recovery codes", "/account/second-factor/recovery-codes"),
    ("remove", "/account/second-factor/totp/remove"),
    ("confirm by factor", "/confirm"),
]
_UNVERIFIED = [
    ("check mail", "/verify-email"),
    ("buy, unverified", "/numbers?service=telegram"),
    ("wallet, unverified", "/wallet"),
    ("account, unverified", "/account"),
    ("another address, waiting", "/account/email"),
]


def _gifts(user: User) -> tuple[int, int]:
    """Gifts of every kind; batches that wait to be downloaded, and that were used and revoked."""
    fresh, _codes = support.make_vouchers(name=LONG_WORD[:80], codes=20, note="Leaflets at the fair")
    used, [code] = support.make_vouchers()
    vouchers.redeem(user, code)
    voucher_batches.take_codes(used.id, "user:1")
    voucher_batches.revoke(used.id, "user:1")
    promo.give(user.email, 123_456, 9, f"Sorry for {LONG_WORD}", secrets.token_hex(16), "user:1")
    for _number in range(5):
        support.give(user, 1_000)
    return fresh.id, used.id


def _member_pages() -> list[tuple[str, str]]:
    return [
        ("buy", "/numbers"),
        ("buy, chosen", "/numbers?service=telegram&country=NG"),
        ("buy, found", "/numbers?q=te"),
        ("buy, nothing found", f"/numbers?q={LONG_WORD[:60]}"),
        ("history", "/activations"),
        ("history, none", "/activations?state=back&service=whatsapp"),
        ("wallet", "/wallet"),
        ("wallet, short of money", "/wallet?need=50000"),
        ("statement", "/wallet/statement"),
        ("statement, of a period", "/wallet/statement?since=2026-01-01&until=2100-01-01&words=telegram"),
        ("statement, nothing found", f"/wallet/statement?words={LONG_WORD[:60]}"),
        ("statement, no such day", "/wallet/statement?since=2026-02-30"),
        ("statement of gifts", "/wallet/statement?show=gifts"),
        ("gift code", "/wallet/voucher"),
        ("account", "/account"),
        ("billing", "/account/billing"),
        ("receipts", "/wallet/invoices"),
        ("top-ups", "/wallet/top-ups"),
        ("change password", "/account/password"),
        ("another address", "/account/email"),
        ("another address, dead link", "/account/email/expired"),
        ("not here", "/activations/999999999"),
    ]


def _buy(user: User, service: str = "telegram") -> Activation:
    offer = catalogue.offers(service, "price")[0]
    return activations.buy(user, service, offer.country, "any", offer.price_minor, secrets.token_hex(16))


def _activations(stand: Stand, user: User) -> Iterator[tuple[str, Activation]]:
    stand.sell_at("fivesim")
    sms = Sms(f"Your code: {CODE}", CODE, "Telegram")
    yield "waiting", _buy(user)
    yield "received", _received(user, sms)
    yield "received, long", _received(user, Sms(f"{LONG_WORD} {LONG_ADDRESS} {CODE}", None, LONG_WORD))
    yield "received, no code", _received(user, Sms("Welcome! Tap the link we have just sent you.", None, None))
    yield "asked again", _change(_received(user, sms), asked_again_at="now()")
    finished = _received(user, sms)
    closing.finish(finished)
    yield "finished", finished
    used = _buy(user)
    closing.cancel(used, "number_used", replace=True)
    yield "replaced", used
    yield "expired, late message", _expired(stand, user, sms)
    stand.control.fault("fivesim", "buy", "no_stock")
    yield "failed", _buy(user)
    stand.control.fault("fivesim", "buy", "reset")
    # The worker would settle it in a minute.
    yield "in doubt", _change(_buy(user), attempt_at="now() + interval '1 hour'")
    stand.sell_at("fivesim", "herosms")  # after which it would rest
    with patch.object(activations, "_try_providers"):
        yield "buying", _change(_buy(user), due_at="now() + interval '1 hour'", attempt_at="now() + interval '1 hour'")
    stand.sell_at("herosms")
    queued = _buy(user)
    closing.cancel(queued)
    yield "cancel queued", queued
    stand.sell_at("fivesim", "herosms")


def _received(user: User, sms: Sms) -> Activation:
    bought = _buy(user)
    receive(bought.id, [sms])
    return bought


def _expired(stand: Stand, user: User, sms: Sms) -> Activation:
    bought = _buy(user)
    stand.control.expire("fivesim", bought.provider_ref or "")
    _change(bought, expires_at="now() - interval '1 second'")
    closing.conclude(bought, closed_at_provider=True)
    receive(bought.id, [sms])
    return bought


def _change(activation: Activation, **columns: str) -> Activation:
    with transaction():
        values = {name: text(value) for name, value in columns.items()}
        db.session.execute(update(Activation).where(Activation.id == activation.id).values(**values))
    db.session.refresh(activation)
    db.session.rollback()
    return activation


def _fill_history(stand: Stand, user: User) -> None:
    """More than a page of it."""
    stand.control.fault("*", "buy", "no_stock", times=0)
    for _ in range(27):
        _buy(user, "whatsapp")
    stand.control.no_faults()


def _give_factors(user: User) -> None:
    """An app and passkeys, to look at."""
    keys = [
        Passkey(user_id=user.id, credential_id=secrets.token_bytes(16), public_key=b"key", sign_count=0, name=name)
        for name in ("My phone", LONG_WORD[:60])
    ]
    with transaction():
        db.session.add_all([*keys, TotpSeed(user_id=user.id, seed=b"seed", last_step=0)])


def _fill_security(user: User) -> None:
    """Other devices, and more than a page of events."""
    for name in (LONG_WORD, "Mozilla/5.0 (Linux; Android 14) Chrome/140.0 Mobile Safari/537.36"):
        token = support.open_session(user)
        with transaction():
            db.session.execute(
                update(Session)
                .where(Session.id == sessions.find_user(token).session.id)  # type: ignore[union-attr]
                .values(device=name, address="2001:0db8:85a3:0000:0000:8a2e:0370:7334")
            )
    headers = {"User-Agent": "Mozilla/5.0 (iPhone; CPU iPhone OS 17_0 like Mac OS X) Version/17.0 Safari/604.1"}
    with current_app.test_request_context(
        headers=headers, environ_base={"REMOTE_ADDR": "2001:db8:85a3::8a2e:370:7334"}
    ):
        for kind in (*audit.SENTENCES, *audit.SENTENCES):
            with transaction():
                audit.record(kind, user.id, "operator" if kind == "banned" else "")


def _top_ups(user: User) -> list[tuple[str, str]]:
    rows = [
        TopUp(
            reference=f"gallery-{secrets.token_hex(8)}",
            user_id=user.id,
            key=secrets.token_hex(16),
            amount_minor=200_000,
            currency="NGN",
            state=state,
            checkout_url="http://127.0.0.1/checkout",
        )
        for state in TOP_UP_STATES
    ]
    with transaction():
        db.session.add_all(rows)
    return [(f"top-up {row.state}", f"{topups.PAGE_PATH}{row.reference}") for row in rows]


def _refunds(user: User) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
    """A top-up of which parts went back, in every state: the operator's pages and the customer's."""
    top_up = support.make_receipt(user).top_up
    pages = []
    for number, state in enumerate(
        ("asked", "doubt", "pending", "processing", "needs-attention", "processed", "failed")
    ):
        key = secrets.token_hex(16)
        refund = refunds.start(top_up.reference, 20_000, reason=LONG_WORD, key=key, who=f"user:{user.id}")
        if state == "doubt":
            refunds.claim_call(refund.reference, "asked", 0)
        elif state != "asked":
            refunds.note(refund.reference, Refund(str(number), state, 20_000, "NGN", refund.reference))
        if state == "failed":
            refunds.note(refund.reference, Refund(str(number), "processed", 20_000, "NGN", refund.reference))
        pages.append((f"refund, {state}", f"/admin/refunds/{refund.reference}"))
    with transaction():
        ledger.adjust(user.id, "gallery", -10_000, "gallery", "for a look")
    new = ("refund, new", f"/admin/refunds/new?top_up={top_up.reference}")
    return [new, *pages], [("top-up sent back", f"{topups.PAGE_PATH}{top_up.reference}")]


def _desk(user: User) -> list[tuple[str, str]]:
    """What the operator looks at: reports of Paystack of all kinds, and a payment that differs."""
    differs = TopUp(
        reference=f"NK-{secrets.token_hex(10)}",
        user_id=user.id,
        key=secrets.token_hex(16),
        amount_minor=200_000,
        currency="NGN",
        state="mismatch",
        gateway_status="success",
        difference="underpaid",
        seen_minor=150_000,
        seen_currency="NGN",
        gateway_message=LONG_WORD,
    )
    with transaction():
        db.session.add(differs)
    told = {"event": "charge.success", "data": {"reference": differs.reference, "note": LONG_ADDRESS}}
    stored = events.receive_event(json.dumps(told).encode())
    rubbish = events.receive_event(f"{LONG_WORD} {LONG_WORD}".encode())
    return [
        ("reports", "/admin/gateway-events"),
        ("reports, none", f"/admin/gateway-events?reference={LONG_WORD[:60]}"),
        ("a report", f"/admin/gateway-events/{stored.id}"),
        ("a report that is none", f"/admin/gateway-events/{rubbish.id}"),
        ("all top-ups", "/admin/top-ups"),
        ("a payment that differs", f"/admin/top-ups/{differs.reference}"),
    ]


def _unknown_payments(stand: Stand, user: User) -> list[tuple[str, str]]:
    """One that could be credited, to the payer or to somebody else, and one that Paystack does not know."""
    reference, address = "T482913000731", "https://example.com/"
    topups.gateway().initialize(reference, user.email, 250_000, "NGN", address, address)
    stand.control.payment(reference, status="success", paid_amount=250_000, fees=13_750)
    page = f"/admin/unknown-payments/{reference}"
    return [
        ("top-ups, not found", f"/admin/top-ups?words={reference}"),
        ("unknown payment", page),
        ("unknown payment, whose", f"{page}?account={user.id}"),
        ("unknown payment, somebody else's", f"{page}?account={stand.person().id}"),
        ("unknown payment, nobody's", f"{page}?account={LONG_WORD}"),
        ("unknown payment, not paid", "/admin/unknown-payments/T1"),
    ]


def _disputes(stand: Stand) -> list[tuple[str, str]]:
    """One that waits for an answer, of money that was spent; one that was lost."""
    pages = []
    for category, end in (("fraud", ""), ("chargeback", "lost")):
        payer = stand.person(money=0)
        reference = topups.open_top_up(payer, 250_000, secrets.token_hex(16)).reference
        stand.control.payment(reference, status="success", paid_amount=250_000, fees=13_750)
        topups.settle(reference)
        with transaction():
            ledger.adjust(payer.id, f"spent:{payer.id}", -100_000, "gallery", LONG_WORD)
        number = stand.control.dispute(reference, category=category)
        dispute = disputes.refresh(number)
        if end:
            stand.control.dispute_becomes(number, end)
            dispute = disputes.refresh(number)
        pages.append((f"dispute, {end or 'open'}", f"/admin/disputes/{dispute.id}"))
    return [("disputes", "/admin/disputes"), *pages]


def _cards(user: User) -> list[tuple[str, str]]:
    """Two kept cards, one of them expired; an automatic top-up that a bank has ended; charges that wait or failed."""
    common = {"user_id": user.id, "authorization_code": b"sealed", "email": user.email, "brand": "mastercard"}
    card = SavedCard(**common, signature="a", last4="8877", exp_month=8, exp_year=2040, bank=LONG_WORD)
    old = SavedCard(**common, signature="b", last4="4081", exp_month=1, exp_year=2020)
    with transaction():
        db.session.add_all([card, old])
    auto_topups.switch_on(user, card.id, 100_000, 200_000, 1_000_000)
    states = (("opened", None, None), ("opened", "http://127.0.0.1/confirm", None), ("failed", None, "card_refused"))
    rows = [
        TopUp(
            reference=f"gallery-{secrets.token_hex(8)}", user_id=user.id, key=secrets.token_hex(16), currency="NGN",
            amount_minor=200_000, origin="card", card_id=card.id, state=state, checkout_url=address,
            gateway_status=status, gateway_message=status and f"Do not honour {LONG_WORD}",
        )
        for state, address, status in states
    ]  # fmt: skip
    with transaction():
        db.session.add_all(rows)
        auto_wishes.stop(user.id, "failed", detail=f"Do not honour {LONG_WORD}")
    charges = [(f"charge {n}", f"{topups.PAGE_PATH}{row.reference}") for n, row in enumerate(rows)]
    return [("cards", "/wallet/cards"), ("automatic top-up", "/wallet/auto-top-up"), *charges]


def _receipts(user: User) -> list[tuple[str, str]]:
    """A receipt with all there can be on it, the notes, and the top-up that leads to them."""
    details = {"company": LONG_WORD[:80], "address": f"{LONG_WORD[:60]}\nLagos", "tax_id": "TIN 1234-5678"}
    invoices.set_buyer_details(user, name="شركة النور", **details)
    taxed = {"TAX_RATE": 750, "SELLER_ADDRESS": f"2 Broad Street\n{LONG_WORD[:60]}", "SELLER_TAX_ID": "TIN 9876-5432"}
    with patch.dict(current_app.config, taxed):
        receipt = support.make_receipt(user)
        with transaction():
            note = invoices.credit_note(receipt.top_up, "refund:gallery", 100_000)
            back = invoices.debit_note(receipt.top_up, "refund:gallery:returned", 100_000)
    return [
        ("receipt", f"/wallet/invoices/{receipt.full_number}"),
        ("credit note", f"/wallet/invoices/{note.full_number}"),
        ("debit note", f"/wallet/invoices/{back.full_number}"),
        ("top-up paid", f"{topups.PAGE_PATH}{receipt.top_up.reference}"),
    ]
