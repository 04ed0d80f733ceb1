"""Every route declares who may reach it, and this table says what each of the cast gets at it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import pytest
from flask import Blueprint, Flask
from sqlalchemy import func, select, update

from namaskah.account.models import DataExport
from namaskah.auth import accounts, encryption, sessions
from namaskah.auth.models import User
from namaskah.auth.second_factor.models import Passkey, TotpSeed
from namaskah.db import db, transaction
from namaskah.extensions import csrf, redis
from namaskah.numbers import activations
from namaskah.numbers.models import Offer
from namaskah.wallet import events, topups
from namaskah.wallet.card_models import SavedCard
from namaskah.wallet.dispute_models import Dispute, DisputePaper
from tests.support import log_in, make_receipt, make_user, make_vouchers

RULES = {"public", "customer", "verified", "stepped up", "admin", "signed"}
ACTORS = ("visitor", "carol", "alice", "bob", "banned", "admin")

# What a request ends in: a status, or where a 303 leads: "login", "mail" (confirm your address first), "on" (anywhere
# else, so it was done). The test client has no socket to upgrade, so 500 at /live is past the door.
# Whatever is in braces belongs to alice.
#  visitor carol alice bob banned admin
ANYBODY = "200 200 200 200 200 200"
CUSTOMERS = "login 200 200 200 login 200"
ALICE_ALONE = "login 404 200 404 login 404"
ADMINS = "login 404 404 404 login 200"
TABLE: dict[tuple[str, str], str] = {
    ("GET", "/static/<path:filename>"): ANYBODY,
    ("GET", "/"): ANYBODY,
    ("GET", "/pricing"): ANYBODY,
    ("GET", "/terms"): ANYBODY,
    ("GET", "/privacy"): ANYBODY,
    ("GET", "/acceptable-use"): ANYBODY,
    ("GET", "/refunds"): ANYBODY,
    ("GET", "/dev/components"): ANYBODY,
    ("GET", "/language/<code>"): "on on on on on on",
    ("POST", "/language/<code>"): "on on on on on on",
    ("POST", "/theme"): "on on on on on on",
    ("GET", "/register"): "200 on on on 200 on",
    ("POST", "/register"): "422 on on on 422 on",
    ("POST", "/account/sessions/<int:session_id>/end"): "login 404 on 404 login 404",
    ("POST", "/account/sessions/end-others"): "login on on on login on",
    ("GET", "/login"): "200 on on on 200 on",
    ("POST", "/login"): "422 on on on 422 on",
    ("GET", "/confirm"): CUSTOMERS,
    ("POST", "/confirm"): "login 422 422 422 login 422",
    ("GET", "/login/second-factor"): "login on on on login on",
    ("POST", "/login/second-factor"): "login on on on login on",
    ("POST", "/login/passkey/options"): ANYBODY,
    ("POST", "/login/passkey"): "422 422 422 422 422 422",
    ("POST", "/confirm/passkey/options"): CUSTOMERS,
    ("POST", "/confirm/passkey"): "login 422 422 422 login 422",
    ("GET", "/account/second-factor"): CUSTOMERS,
    ("GET", "/account/second-factor/totp"): CUSTOMERS,
    ("POST", "/account/second-factor/totp"): "login 422 422 422 login 422",
    ("GET", "/account/second-factor/totp/qr.svg"): "login 404 404 404 login 404",
    ("GET", "/account/second-factor/passkeys/new"): CUSTOMERS,
    ("POST", "/account/second-factor/passkeys/options"): CUSTOMERS,
    ("POST", "/account/second-factor/passkeys"): "login 422 422 422 login 422",
    ("GET", "/account/second-factor/recovery-codes"): "login on 200 on login on",
    ("POST", "/account/second-factor/recovery-codes"): "login on 200 on login on",
    ("POST", "/account/second-factor/recovery-codes/file"): "login 410 410 410 login 410",
    ("GET", "/account/second-factor/totp/remove"): ALICE_ALONE,
    ("POST", "/account/second-factor/totp/remove"): "login 404 on 404 login 404",
    ("GET", "/account/second-factor/passkeys/<int:passkey_id>/remove"): ALICE_ALONE,
    ("POST", "/account/second-factor/passkeys/<int:passkey_id>/remove"): "login 404 on 404 login 404",
    ("POST", "/logout"): "on on on on on on",
    ("GET", "/verify-email"): "login 200 on on login on",
    ("POST", "/verify-email/resend"): "login mail mail mail login mail",
    ("GET", "/verify-email/<token>"): ANYBODY,
    ("POST", "/verify-email/<token>"): "login login on login login login",
    ("GET", "/account"): CUSTOMERS,
    ("POST", "/account"): "login 422 422 422 login 422",
    ("GET", "/forgot-password"): ANYBODY,
    ("POST", "/forgot-password"): "422 on on on 422 on",
    ("GET", "/forgot-password/sent"): "on on on on on on",
    ("GET", "/reset-password/<token>"): "410 410 410 410 410 410",
    ("POST", "/reset-password/<token>"): "410 410 410 410 410 410",
    ("POST", "/password-strength"): ANYBODY,
    ("GET", "/account/password"): CUSTOMERS,
    ("POST", "/account/password"): "login 422 422 422 login 422",
    ("GET", "/account/email"): CUSTOMERS,
    ("POST", "/account/email"): "login 422 422 422 login 422",
    ("POST", "/account/email/resend"): "login on on on login on",
    ("POST", "/account/email/cancel"): "login on on on login on",
    ("GET", "/account/email/<token>"): "login 410 410 410 login 410",
    ("POST", "/account/email/<token>"): "login 410 410 410 login 410",
    ("GET", "/account/billing"): CUSTOMERS,
    ("POST", "/account/billing"): "login on on on login on",
    ("GET", "/account/security"): CUSTOMERS,
    ("GET", "/account/sessions"): CUSTOMERS,
    ("GET", "/account/export"): CUSTOMERS,
    ("POST", "/account/export"): "login on on on login on",
    ("GET", "/account/export/<int:export_id>/file"): ALICE_ALONE,
    ("GET", "/account/delete"): CUSTOMERS,
    ("POST", "/account/delete"): "login 422 422 422 login 422",
    ("GET", "/accept-policies"): "login on on on login on",
    ("POST", "/accept-policies"): "login on on on login on",
    ("GET", "/wallet"): CUSTOMERS,
    ("POST", "/wallet/top-up"): "login mail 422 422 login 422",
    ("GET", "/wallet/top-up/cost"): CUSTOMERS,
    ("GET", "/wallet/top-up/return"): "login 404 on 404 login 404",
    ("GET", "/wallet/top-ups"): CUSTOMERS,
    ("GET", "/wallet/top-ups/<reference>"): ALICE_ALONE,
    ("GET", "/wallet/cards"): CUSTOMERS,
    ("POST", "/wallet/cards/<int:card_id>/pay"): "login mail 422 404 login 404",
    ("POST", "/wallet/cards/<int:card_id>/remove"): "login 404 on 404 login 404",
    ("GET", "/wallet/auto-top-up"): "login mail 200 200 login 200",
    ("POST", "/wallet/auto-top-up"): "login mail 422 422 login 422",
    ("POST", "/wallet/auto-top-up/off"): "login on on on login on",
    ("POST", "/wallet/low-balance"): "login on on on login on",
    ("GET", "/wallet/statement"): CUSTOMERS,
    ("GET", "/wallet/statement.<any(csv, pdf):kind>"): CUSTOMERS,
    ("GET", "/wallet/voucher"): "login mail 200 200 login 200",
    ("POST", "/wallet/voucher"): "login mail 422 422 login 422",
    ("GET", "/wallet/invoices"): CUSTOMERS,
    ("GET", "/wallet/invoices/<number>"): ALICE_ALONE,
    ("GET", "/wallet/invoices/<number>.pdf"): ALICE_ALONE,
    ("GET", "/numbers"): ANYBODY,
    ("GET", "/numbers/search"): ANYBODY,
    ("GET", "/numbers/offers"): ANYBODY,
    ("POST", "/numbers/favourite"): "login on on on login on",
    ("GET", "/activations"): CUSTOMERS,
    ("POST", "/activations"): "login mail 400 400 login 400",
    ("GET", "/activations/<int:id>"): ALICE_ALONE,
    ("GET", "/activations/<int:id>/live"): ALICE_ALONE,
    ("POST", "/activations/<int:id>/cancel"): "login 404 on 404 login 404",
    ("POST", "/activations/<int:id>/replace"): "login mail on 404 login 404",
    ("POST", "/activations/<int:id>/again"): "login 404 on 404 login 404",
    ("POST", "/activations/<int:id>/finish"): "login 404 on 404 login 404",
    ("GET", "/admin/"): ADMINS,
    ("POST", "/admin/books"): "login 404 404 404 login on",
    ("GET", "/admin/reconciliation"): ADMINS,
    ("POST", "/admin/reconciliation"): "login 404 404 404 login on",
    ("POST", "/admin/reconciliation/<int:difference_id>/explain"): "login 404 404 404 login 422",
    ("GET", "/admin/housekeeping"): ADMINS,
    ("POST", "/admin/housekeeping/<name>/run"): "login 404 404 404 login on",
    ("GET", "/admin/rates"): ADMINS,
    ("POST", "/admin/rates"): "login 404 404 404 login 422",
    ("GET", "/admin/promo"): ADMINS,
    ("POST", "/admin/promo"): "login 404 404 404 login 422",
    ("GET", "/admin/vouchers"): ADMINS,
    ("POST", "/admin/vouchers"): "login 404 404 404 login 422",
    ("GET", "/admin/vouchers/<int:batch_id>"): ADMINS,
    ("POST", "/admin/vouchers/<int:batch_id>/codes"): "login 404 404 404 login 200",
    ("POST", "/admin/vouchers/<int:batch_id>/revoke"): "login 404 404 404 login on",
    ("GET", "/admin/refunds"): ADMINS,
    ("GET", "/admin/refunds/new"): ADMINS,
    ("POST", "/admin/refunds/new"): "login 404 404 404 login 422",
    ("GET", "/admin/refunds/<reference>"): "login 404 404 404 login 404",
    ("POST", "/admin/refunds/<reference>/ask"): "login 404 404 404 login 404",
    ("POST", "/admin/refunds/<reference>/withdraw"): "login 404 404 404 login 404",
    ("POST", "/admin/refunds/<reference>/attach"): "login 404 404 404 login 404",
    ("POST", "/admin/refunds/<reference>/account"): "login 404 404 404 login 404",
    ("POST", "/admin/refunds/<reference>/settle"): "login 404 404 404 login 404",
    ("GET", "/admin/gateway-events"): ADMINS,
    ("GET", "/admin/gateway-events/<int:event_id>"): ADMINS,
    ("GET", "/admin/gateway-events/<int:event_id>/raw"): ADMINS,
    ("POST", "/admin/gateway-events/<int:event_id>/try-again"): "login 404 404 404 login on",
    ("POST", "/admin/gateway-events/<int:event_id>/close"): "login 404 404 404 login 422",
    ("GET", "/admin/top-ups"): ADMINS,
    ("GET", "/admin/top-ups/<reference>"): ADMINS,
    ("POST", "/admin/top-ups/<reference>/ask"): "login 404 404 404 login on",
    ("POST", "/admin/top-ups/<reference>/explain"): "login 404 404 404 login 422",
    ("POST", "/admin/top-ups/<reference>/accept"): "login 404 404 404 login 422",
    ("POST", "/admin/top-ups/<reference>/close"): "login 404 404 404 login 422",
    ("GET", "/admin/unknown-payments/<reference>"): ADMINS,
    ("POST", "/admin/unknown-payments/<reference>"): "login 404 404 404 login 422",
    ("GET", "/admin/disputes"): "login 404 404 404 login 200",
    ("GET", "/admin/disputes/<int:dispute_id>"): "login 404 404 404 login 200",
    ("POST", "/admin/disputes/<int:dispute_id>/refresh"): "login 404 404 404 login 503",
    ("GET", "/admin/disputes/<int:dispute_id>/evidence.pdf"): "login 404 404 404 login 200",
    ("GET", "/admin/disputes/<int:dispute_id>/sent/<int:paper_id>.pdf"): "login 404 404 404 login 200",
    ("POST", "/admin/disputes/<int:dispute_id>/answer"): "login 404 404 404 login 422",
    ("POST", "/admin/disputes/<int:dispute_id>/write-off"): "login 404 404 404 login 422",
    ("GET", "/health/live"): ANYBODY,
    ("GET", "/health"): ANYBODY,
    ("GET", "/health/ready"): ANYBODY,
    ("GET", "/metrics"): "404 404 404 404 404 404",
    ("GET", "/status"): ANYBODY,
    ("GET", "/live"): "401 500 500 500 401 500",
    ("POST", "/webhooks/paystack"): "401 401 401 401 401 401",
    ("POST", "/webhooks/providers/<provider>"): "404 404 404 404 404 404",
}


@dataclass(frozen=True)
class Scene:
    """The cast, and what belongs to alice."""

    app: Flask
    cast: dict[str, User | None]
    values: dict[str, str]

    def request(self, actor: str, method: str, rule: str) -> str:
        redis.client.flushdb()  # no limit is what this is about
        user = self.cast[actor]
        client = log_in(self.app.test_client(), user) if user else self.app.test_client()
        path = rule
        for name, value in self.values.items():
            path = path.replace(f"<{name}>", value)
        query = {"service": self.values["service"], "reference": self.values["reference"]}
        options: dict[str, Any] = (
            {"query_string": query} if method == "GET" else {"data": {"service": query["service"]}}
        )
        headers = {"Origin": "http://localhost"}
        if rule == "/live":
            headers |= {"Connection": "Upgrade", "Upgrade": "websocket"}
        answer = client.open(path, method=method, headers=headers, **options)
        if answer.status_code != 303:
            return str(answer.status_code)
        return {"/login": "login", "/verify-email": "mail"}.get(answer.location.partition("?")[0], "on")


@pytest.fixture
def scene(app: Flask, carol: User, alice: User, bob: User, admin: User) -> Scene:
    offer = db.session.scalars(select(Offer).where(Offer.stock > 5).order_by(Offer.price_minor)).first()
    assert offer is not None
    bought = activations.buy(alice, offer.service_code, offer.country_code, "any", 10**9, key=uuid4().hex)
    topped = topups.open_top_up(alice, 100_000, uuid4().hex)
    with transaction():
        elsewhere = sessions.open_session(alice).session
        export = DataExport(user_id=alice.id, state="ready", content=b"zip", size=3, ended_at=func.now())
        db.session.add(export)
    paper = _disputed(alice)
    values = {
        "int:dispute_id": str(paper.dispute_id),
        "int:paper_id": str(paper.id),
        "int:id": str(bought.id),
        "int:passkey_id": str(_factors_of(alice)),
        "int:session_id": str(elsewhere.id),
        "int:export_id": str(export.id),
        "int:difference_id": "1",
        "int:batch_id": str(make_vouchers()[0].id),
        "int:event_id": str(events.receive_event(b'{"event": "charge.failed"}').id),
        "int:card_id": str(_card_of(alice)),
        "reference": topped.reference,
        "number": make_receipt(alice).full_number,
        "token": accounts.verification_token(alice),
        "service": offer.service_code,
        "name": "messages",
        "any(csv, pdf):kind": "csv",
        "code": "en",
        "provider": bought.provider_name,
        "path:filename": "app.css",
    }
    cast = {"visitor": None, "carol": carol, "alice": alice, "bob": bob, "banned": _banned(app), "admin": admin}
    return Scene(app, cast, values)


def _disputed(user: User) -> DisputePaper:
    """A dispute of a payment of this user, decided for us before anything was booked, and a paper about it."""
    top_up_id = make_receipt(user).top_up_id
    dispute = Dispute(
        gateway_id="1", top_up_id=top_up_id, user_id=user.id, state="resolved", outcome="won", resolved_at=func.now(),
        currency="NGN", claimed_minor=1,
    )  # fmt: skip
    with transaction():
        db.session.add(dispute)
        db.session.flush()
        paper = DisputePaper(dispute_id=dispute.id, user_id=user.id, content=b"%PDF", sha256="0" * 64)
        db.session.add(paper)
    return paper


def _factors_of(user: User) -> int:
    """Give the user an app and a passkey; returns the passkey's id."""
    key = Passkey(user_id=user.id, credential_id=b"id", public_key=b"key", sign_count=0, name="Phone")
    with transaction():
        db.session.add_all([key, TotpSeed(user_id=user.id, seed=b"seed", last_step=0)])
    return key.id


def _card_of(user: User) -> int:
    """Give the user a kept card; returns its id."""
    card = SavedCard(
        user_id=user.id, authorization_code=encryption.encrypt(b"code", f"card:{user.id}"), email=user.email,
        signature="SIG", brand="visa", last4="4081", exp_month=12, exp_year=2040,
    )  # fmt: skip
    with transaction():
        db.session.add(card)
    return card.id


def _banned(app: Flask) -> User:
    user = make_user("mallory@example.com", money=500_000)
    with transaction():
        db.session.execute(update(User).where(User.id == user.id).values(banned_at=func.now()))
    return user


def routes(app: Flask) -> set[tuple[str, str]]:
    """Every method and rule of the URL map that does something of its own."""
    return {
        (method, rule.rule)
        for rule in app.url_map.iter_rules()
        for method in (rule.methods or {"GET"}) - {"HEAD", "OPTIONS"}
    }


def undeclared(app: Flask) -> list[str]:
    """Endpoints whose view says nothing about access; static files are for everybody."""
    return sorted(
        name
        for name, view in app.view_functions.items()
        if name != "static" and getattr(view, "access", None) not in RULES
    )


def test_every_route_declares_who_may_reach_it(app: Flask) -> None:
    assert undeclared(app) == []


def test_every_route_is_in_the_table(app: Flask) -> None:
    assert routes(app) ^ set(TABLE) == set()


@pytest.mark.no_cover
def test_each_of_the_cast_gets_what_the_table_says(scene: Scene) -> None:
    found = {row: mismatches(scene, *row, expected) for row, expected in TABLE.items()}
    assert {row: wrong for row, wrong in found.items() if wrong} == {}


def mismatches(scene: Scene, method: str, rule: str, expected: str) -> list[str]:
    """Who got something else than expected; alice comes last, because what she may do changes what there is."""
    found = []
    for actor, outcome in sorted(zip(ACTORS, expected.split(), strict=True), key=lambda pair: pair[0] == "alice"):
        if (got := scene.request(actor, method, rule)) != outcome:
            found.append(f"{actor}: {got} instead of {outcome}")
    return found


def test_only_signed_webhooks_take_forms_without_our_token(app: Flask) -> None:
    views = {
        f"{view.__module__}.{view.__name__}": view for view in app.view_functions.values() if hasattr(view, "__name__")
    }
    assert {getattr(views[name], "access", None) for name in csrf._exempt_views} == {"signed"}
    assert csrf._exempt_blueprints == set()


def planted(app: Flask, view: Callable[[], str]) -> Flask:
    other = Flask("planted")
    blueprint = Blueprint("planted", __name__)
    blueprint.get("/planted")(view)
    other.register_blueprint(blueprint)
    return other


def test_a_route_without_a_rule_and_one_without_a_row_are_seen(app: Flask) -> None:
    faulty = planted(app, lambda: "open to all")
    assert undeclared(faulty) == ["planted.<lambda>"]
    assert ("GET", "/planted") in routes(faulty) - set(TABLE)


def test_a_page_that_lets_in_too_many_is_seen(scene: Scene) -> None:
    assert mismatches(scene, "GET", "/pricing", ALICE_ALONE) == [
        "visitor: 200 instead of login",
        "carol: 200 instead of 404",
        "bob: 200 instead of 404",
        "banned: 200 instead of login",
        "admin: 200 instead of 404",
    ]
