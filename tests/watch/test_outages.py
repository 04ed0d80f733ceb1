"""What customers, the operator and whoever watches are told when something that we stand on fails, and when it is back.

Redis and PostgreSQL going away under several processes are in test_processes.py.
"""

from typing import Any

import pytest
from flask import Flask
from sqlalchemy import text, update

from namaskah.auth.models import User
from namaskah.backups import making, schedule
from namaskah.backups.folder_store import FolderStore
from namaskah.db import db, transaction
from namaskah.numbers import activations
from namaskah.numbers.models import Provider
from namaskah.watch import health, heartbeats, measuring, status
from tests.backups.conftest import Place, alone, place
from tests.backups.test_harm import FullStore
from tests.numbers import shop
from tests.support import Control, log_in
from tests.watch.conftest import Page
from tests.watch.test_metrics import scraped, value

__all__ = ["alone", "place", "scraped"]  # fixtures


def measure_anew() -> None:
    """A minute has passed, a worker is there, and nobody remembers what was told before."""
    db.session.rollback()
    with transaction():
        db.session.execute(text("UPDATE measurements SET minute = minute - interval '1 minute'"))
    heartbeats.beat()
    assert measuring.measure_due() == 1
    health.forget()
    status.forget()


def test_a_provider_that_swallows_everything(
    app: Flask, alice: User, bob: User, admin: User, control: Control, page: Page, scraped: Any
) -> None:
    shop.prefer("fivesim")
    control.fault("fivesim", "*", "hang", times=0, seconds=0.1)
    lost = [shop.buy(who) for who in (alice, bob, alice)]
    assert [each.state for each in lost] == ["in_doubt"] * 3
    # Whoever comes next is not sent there any more, and nobody is while its list cannot be read.
    after = activations.buy(bob, "whatsapp", "NG", "any", 10**9, shop.key())
    assert (after.state, after.provider_name) == ("waiting", "herosms")

    customer, operator = log_in(app.test_client(), alice), log_in(app.test_client(), admin)
    said = customer.get(f"/activations/{lost[0].id}").text
    assert "the provider has not answered clearly" in said
    assert "Within 3 minutes it becomes a number or comes back by itself" in said
    assert customer.get("/wallet").status_code == 200
    seen = operator.get("/admin/").text
    assert seen.count("Resting") == 1
    assert "no_answer" in seen
    for _again in range(2):
        shop.poll("fivesim")
    measure_anew()
    found = scraped()
    assert value(found, "namaskah_provider_resting", provider="fivesim") == 1
    assert value(found, "namaskah_provider_resting", provider="herosms") == 0
    assert value(found, "namaskah_activations_open", state="in_doubt") == 3
    assert value(found, "namaskah_oldest_doubt_seconds") >= 0
    told = app.test_client().get("/health")
    assert (told.status_code, told.json["status"]) == (200, "ok"), "others sell"  # type: ignore[index]

    # The other one is away as well: nothing can be bought, and everybody is told so. No server is taken out for it.
    with transaction():
        db.session.execute(
            update(Provider).where(Provider.name == "herosms").values(paused_until=text("now() + interval '1 minute'"))
        )
    measure_anew()
    told = app.test_client().get("/health")
    assert (told.status_code, told.json["status"], told.json["degraded"]) == (200, "degraded", ["buying"])  # type: ignore[index]
    assert app.test_client().get("/health/ready").status_code == 200
    assert value(scraped(), "namaskah_part_state", part="buying") == 0
    assert "No number can be bought just now. Nobody is charged." in app.test_client().get("/status").text
    assert "No numbers for WhatsApp now" in customer.get("/numbers?service=whatsapp").text

    # It is back: what it never sold comes back to whoever was waiting, and it sells again.
    control.no_faults()
    shop.later(200)
    shop.work(rounds=3)
    assert {shop.fresh(each).state for each in lost} == {"failed"}
    assert activations.buy(bob, "whatsapp", "NG", "any", 10**9, shop.key()).provider_name == "fivesim"
    measure_anew()
    assert app.test_client().get("/health").json["degraded"] == []  # type: ignore[index]
    assert "Numbers can be bought." in app.test_client().get("/status").text
    shop.assert_books_agree(control)


def test_one_that_only_stumbles_goes_on_selling(alice: User, control: Control) -> None:
    """Doubts that its list settles are no silence."""
    shop.prefer("fivesim")
    for _ in range(4):
        control.fault("fivesim", "buy", "reset_after")
        assert shop.buy(alice).state == "in_doubt"
        shop.poll("fivesim")
    assert shop.buy(alice).provider_name == "fivesim"


def test_no_room_for_backups(
    app: Flask, alice: User, admin: User, place: Place, page: Page, scraped: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Customers notice nothing, so health and status stay as they are; the operator is told in four places."""
    full = FullStore(str(place.root))
    monkeypatch.setattr(making.place, "store", lambda: full)
    assert schedule.create_due() == 0
    measure_anew()
    seen = log_in(app.test_client(), admin).get("/admin/").text
    assert "is full: make room" in seen
    assert value(scraped(), "namaskah_last_success_age_seconds", of="backup") == float("inf")
    told = app.test_client().get("/health")
    assert (told.status_code, told.json["status"]) == (200, "ok")  # type: ignore[index]
    assert "Everything works." in app.test_client().get("/status").text
    assert log_in(app.test_client(), alice).get("/wallet").status_code == 200
    letters = [arguments["to"] for _id, name, arguments in shop.jobs() if name == "send_mail"]
    assert letters == [admin.email]

    monkeypatch.setattr(making.place, "store", lambda: FolderStore(str(place.root)))
    assert schedule.create_due() == 0, "not at once again: in half an hour"
    with transaction():
        db.session.execute(text("UPDATE backup_runs SET ended_at = ended_at - interval '31 minutes' WHERE NOT ok"))
    assert schedule.create_due() == 1
    assert value(scraped(), "namaskah_last_success_age_seconds", of="backup") < 60
    assert "is full: make room" not in log_in(app.test_client(), admin).get("/admin/").text
