"""Deleting an account: everything personal goes, the books stay right, and it happens once."""

import threading
from datetime import timedelta

import pytest
from flask import Flask
from sqlalchemy import func, select, text, update

from namaskah.account import deletion, erasing, exports
from namaskah.account.models import DeletedAccount
from namaskah.auth import accounts, audit
from namaskah.auth.models import AuditEvent, Session, User
from namaskah.db import db, transaction
from namaskah.errors import UserError
from namaskah.numbers import activations, closing
from namaskah.numbers.models import Activation, Message
from namaskah.papers.printer import printed
from namaskah.providers.base import Sms
from namaskah.wallet import events, invoice_papers, invoices, ledger, refunds, topups
from namaskah.wallet.models import LedgerTransaction
from namaskah.wallet.paystack_refunds import Refund
from namaskah.wallet.promo_models import PromoGrant
from tests.account import life
from tests.account.conftest import Open
from tests.auth.people import Browser
from tests.support import give, make_receipt, make_user, open_session
from tests.together import at_once

DEVICE = "Canary-Phone/1"


def fresh(user: User) -> User:
    db.session.rollback()
    return db.session.get_one(User, user.id, populate_existing=True)


def balance(user: User) -> int:
    db.session.rollback()
    return ledger.balance(user.id).available_minor


def delete(browser: Browser, user: User, **more: str) -> int:
    """Fill the form in as it should be, but for `more`; the status of the answer."""
    agreed = {"email": user.email, "give_up": "y", "amount": str(balance(user))}
    return browser.submit("/account/delete", **(agreed | more)).status_code


def tables_with(*words: str) -> dict[str, list[str]]:
    """Which tables hold one of these words anywhere."""
    db.session.rollback()
    names = db.session.scalars(text("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")).all()
    found: dict[str, list[str]] = {}
    for word in words:
        for name in names:
            query = text(f"SELECT count(*) FROM {name} t WHERE lower(to_jsonb(t)::text) LIKE lower(:word)")
            if db.session.scalar(query, {"word": f"%{word}%"}):
                found.setdefault(word, []).append(name)
    return found


def letters_sent() -> None:
    """The worker has delivered what waited."""
    with transaction():
        db.session.execute(text("DELETE FROM procrastinate_jobs"))


def letters(to: str) -> list[str]:
    jobs = "SELECT args->>'subject' FROM procrastinate_jobs WHERE task_name = 'send_mail' AND args->>'to' = :to"
    return list(db.session.scalars(text(jobs), {"to": to}))


def test_every_table_that_names_an_account_is_decided_about(app: Flask) -> None:
    naming = {table.name for table in db.metadata.sorted_tables if "user_id" in table.c}
    assert naming == {*erasing.ERASED, *erasing.KEPT}
    assert not set(erasing.ERASED) & erasing.KEPT.keys()


def test_nothing_personal_is_left_anywhere(app: Flask, enter: Open, alice: User) -> None:
    life.live(alice)
    browser = enter(alice, DEVICE)
    address = browser.client.environ_base["REMOTE_ADDR"]
    browser.submit("/account/sessions/end-others", page="/account/sessions")
    browser.submit("/accept-policies", page="/account")
    exports.make(exports.ask(alice).id)
    with transaction():  # a letter that could not be delivered
        db.session.execute(
            text(
                "INSERT INTO procrastinate_jobs (queue_name, task_name, args, status) VALUES"
                " ('default', 'send_mail', jsonb_build_object('to', 'alice@example.com'), 'failed')"
            )
        )
    words = ("alice@example.com", life.NAME, "canary", address)
    assert tables_with(*words).keys() == set(words), "else this test proves nothing"
    assert delete(browser, alice) == 303
    assert letters("alice@example.com") == ["Your account at Namaskah is deleted"]
    letters_sent()
    assert tables_with(*words) == {}
    assert (fresh(alice).email, alice.password_hash) == (f"deleted-{alice.id}@deleted.invalid", "!")


def test_the_books_stay_right_and_under_the_bare_number(app: Flask, enter: Open, alice: User) -> None:
    bought = life.live(alice)
    left = balance(alice)
    assert delete(enter(alice), alice) == 303
    assert balance(alice) == 0
    row = db.session.scalars(select(LedgerTransaction).where(LedgerTransaction.reference.like("deletion:%"))).one()
    assert (row.kind, row.actor) == ("adjustment", f"user:{alice.id}")
    assert left > 0
    kept = db.session.get_one(Activation, bought.id, populate_existing=True)
    assert (kept.user_id, kept.state, kept.phone) == (alice.id, "finished", bought.phone)
    assert db.session.scalar(select(func.count()).select_from(Message)) == 0
    assert audit.breaks() == []


def test_gifts_are_lost_with_the_account_and_that_is_said_before(app: Flask, enter: Open, alice: User) -> None:
    gift, over = give(alice, 30_000), give(alice, 200, days=-1)
    browser = enter(alice)
    assert "Of what we gave you, <b>" in browser.get("/account/delete").text
    assert delete(browser, alice) == 303
    db.session.rollback()
    for each, amount in ((gift, 30_000), (over, 200)):
        now = db.session.get_one(PromoGrant, each.id, populate_existing=True)
        assert (now.left_minor, now.expired_minor, now.note) == (0, amount, "")
    lines = db.session.scalars(select(LedgerTransaction).filter_by(kind="promo_expired")).all()
    assert {(line.note, line.actor) for line in lines} == {("account deleted", f"user:{alice.id}")}


def test_who_has_no_gift_is_told_nothing_of_gifts(enter: Open, alice: User) -> None:
    assert "Of what we gave you" not in enter(alice).get("/account/delete").text


def test_every_browser_is_out_at_once_and_the_password_opens_nothing(enter: Open, alice: User) -> None:
    here, there = enter(alice), enter(alice)
    answer = here.submit("/account/delete", email=alice.email, give_up="y", amount="1000000")
    assert answer.location == "/"
    assert "Your account is deleted." in here.get("/").text
    assert not here.sees_account()
    assert not there.sees_account()
    assert db.session.scalar(select(func.count()).select_from(Session)) == 0
    assert accounts.find_by_email("alice@example.com") is None


def test_the_same_address_may_open_an_account_anew(enter: Open, alice: User) -> None:
    delete(enter(alice), alice)
    accounts.register("alice@example.com", "purple tuba river", "en")
    new = accounts.find_by_email("alice@example.com")
    assert new is not None
    assert new.id != alice.id
    assert accounts.parse_email(fresh(alice).email) is None, "nobody can register what stands in the old row"


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"email": "alice@example.co"}, "Type the address of this account"),
        ({"email": ""}, "Type the address of this account"),
        ({"give_up": ""}, "say that you agree"),
        ({"amount": "999999"}, "say that you agree"),
        ({"amount": "-1"}, "say that you agree"),
        ({"amount": "9" * 30}, "say that you agree"),
        ({"amount": "٣"}, "say that you agree"),
    ],
)
def test_nothing_is_deleted_before_all_was_agreed_to(
    enter: Open, alice: User, wrong: dict[str, str], said: str
) -> None:
    agreed = {"email": alice.email, "give_up": "y", "amount": "1000000"}
    answer = enter(alice).submit("/account/delete", **(agreed | wrong))
    assert (answer.status_code, said in answer.text) == (422, True)
    assert fresh(alice).deleted_at is None
    assert balance(alice) == 1_000_000


def test_the_address_may_be_typed_in_any_case_and_an_empty_wallet_needs_no_tick(enter: Open) -> None:
    poor = make_user("poor@example.com")
    page = enter(poor).get("/account/delete").text
    assert "give up" not in page.lower().replace("given up", "")
    assert delete(enter(poor), poor, email=" POOR@example.com ", give_up="") == 303
    assert fresh(poor).deleted_at is not None


def test_money_that_came_meanwhile_is_not_given_up(enter: Open, alice: User) -> None:
    browser = enter(alice)
    with transaction():
        ledger.adjust(alice.id, "late", 500, "test", "came meanwhile")
    answer = browser.submit("/account/delete", email=alice.email, give_up="y", amount="1000000")
    assert (answer.status_code, "1,000,500" in answer.text or "10,005" in answer.text) == (422, True)
    with pytest.raises(deletion.NotYet):
        deletion.delete(alice, 1_000_000)
    with pytest.raises(deletion.NotYet):
        deletion.delete(alice, 2_000_000)
    assert (fresh(alice).deleted_at, balance(alice)) == (None, 1_000_500)


def test_a_number_that_waits_stands_in_the_way_until_it_is_over(app: Flask, enter: Open, alice: User) -> None:
    life.shop.only("fivesim")
    bought = life.shop.buy(alice)
    browser = enter(alice)
    page = browser.get("/account/delete").text
    assert f'href="/activations/{bought.id}"' in page
    assert "Delete my account" not in page
    with pytest.raises(deletion.NotYet):
        deletion.delete(alice, balance(alice))
    assert browser.post("/account/delete").status_code == 400, "there is not even a form to send"
    closing.cancel(bought)
    assert delete(browser, alice) == 303
    assert fresh(alice).deleted_at is not None


@pytest.mark.parametrize(
    ("state", "is_free"), [("pending", False), ("opened", True), ("failed", True), ("mismatch", True)]
)
def test_a_payment_on_its_way_stands_in_the_way(alice: User, state: str, is_free: bool) -> None:
    life.top_up(alice, "NK-1", "opened")
    with transaction():
        db.session.execute(update(topups.TopUp).values(state=state))
    assert deletion.standing(alice).is_free == is_free


def test_money_on_its_way_back_stands_in_the_way(app: Flask, enter: Open, alice: User) -> None:
    top_up = make_receipt(alice).top_up
    refund = refunds.start(top_up.reference, 250_000, reason="x", key="key-of-a-form", who="user:1")
    assert not deletion.standing(alice).is_free
    browser = enter(alice)
    assert "Refund of ₦2,500" in browser.get("/account/delete").text
    with pytest.raises(deletion.NotYet):
        deletion.delete(alice, balance(alice))
    refunds.note(refund.reference, Refund("1", "processed", 250_000, "NGN", refund.reference))
    with transaction():
        db.session.execute(text("UPDATE gateway_refunds SET account_last4 = '6789'"))
    assert delete(browser, alice) == 303
    assert db.session.scalar(text("SELECT account_last4 FROM gateway_refunds")) is None


def test_a_refund_cannot_slip_in(app: Flask, alice: User) -> None:
    """It begins first, and then nothing is deleted; or it finds the wallet empty."""
    reference, amount, user_id = make_receipt(alice).top_up.reference, balance(alice), alice.id
    results = at_once(
        app,
        lambda: deletion.delete(db.session.get_one(User, user_id), amount),
        lambda: refunds.start(reference, 250_000, reason="x", key="key-of-a-form", who="user:1"),
    )
    failed = [result for result in results if isinstance(result, Exception)]
    assert len(failed) == 1
    assert isinstance(failed[0], UserError)


def test_an_admin_and_a_banned_customer_are_not_deleted(enter: Open, admin: User, bob: User) -> None:
    assert "Another admin must take that" in enter(admin).get("/account/delete").text
    accounts.ban(bob, "operator", "fraud")
    for user in (admin, bob):
        with pytest.raises(deletion.NotYet):
            deletion.delete(user, balance(user))
        assert fresh(user).deleted_at is None
    accounts.register("bob@example.com", "purple tuba river", "en")
    found = accounts.find_by_email("bob@example.com")
    assert found and found.id == bob.id, "the address of a banned account is not opened anew"


def test_it_asks_who_one_is(enter: Open, alice: User) -> None:
    browser = enter(alice)
    life.columns_later("sessions", "confirmed_at", timedelta(minutes=6))
    assert browser.get("/account/delete").location == "/confirm?next=/account/delete"
    assert browser.submit("/account/delete", page="/account", email=alice.email).location.startswith("/confirm")


def test_two_tabs_at_once_are_one_deletion(app: Flask, alice: User) -> None:
    open_session(alice)
    ready, failures = threading.Barrier(2), []

    def tab() -> None:
        with app.app_context():
            user = db.session.get_one(User, alice.id)
            ready.wait()
            try:
                deletion.delete(user, 1_000_000)
            except Exception as error:
                failures.append(error)
            finally:
                db.session.remove()

    tabs = [threading.Thread(target=tab) for _number in range(2)]
    for thread in tabs:
        thread.start()
    for thread in tabs:
        thread.join()
    assert failures == []
    db.session.rollback()
    told = select(func.count()).where(AuditEvent.kind == "deleted", AuditEvent.user_id == alice.id)
    assert db.session.scalar(told) == 1
    assert letters("alice@example.com") == ["Your account at Namaskah is deleted"]
    assert balance(alice) == 0


def test_a_purchase_cannot_slip_in(app: Flask, alice: User) -> None:
    stale = alice
    deletion.delete(alice, 1_000_000)
    with pytest.raises(activations.TooMany):
        life.shop.buy(stale)


def test_what_comes_late_is_erased_too(app: Flask, alice: User) -> None:
    bought = life.live(alice)
    deletion.delete(alice, balance(alice))
    assert erasing.erase_late_due() == 0
    activations.receive(bought.id, [Sms("a late one", None, "somebody")])
    stored = events.receive_event(b'{"event": "charge.success", "data": {"reference": "NK-life", "email": "x@y"}}')
    assert erasing.erase_late_due() == 2
    assert db.session.scalar(select(func.count()).select_from(Message)) == 0
    db.session.refresh(stored)
    assert (stored.body, stored.raw, stored.reference) == ({}, None, "NK-life")


def test_nobody_is_written_to_any_more(app: Flask, alice: User) -> None:
    deletion.delete(alice, 1_000_000)
    letters_sent()
    with transaction():
        topups.mail.top_up_paid(fresh(alice), 100, 100, "NK-2026-000001")
    assert db.session.scalar(text("SELECT count(*) FROM procrastinate_jobs")) == 0


def restored(user: User, email: str) -> None:
    """A backup from before the deletion was brought back: the account is as it was, its tombstone is not there."""
    with transaction():
        db.session.execute(text("DELETE FROM deleted_accounts"))
        db.session.execute(update(User).where(User.id == user.id).values(email=email, name=life.NAME, deleted_at=None))
    open_session(user)


def test_deletions_are_done_again_after_a_restore(app: Flask, alice: User, bob: User, tmp_path: object) -> None:
    life.live(alice)
    deletion.delete(alice, balance(alice))
    run = app.test_cli_runner().invoke
    kept_outside = run(args=["account", "deletions"]).output
    assert kept_outside.startswith(f"{alice.id} 2")
    restored(alice, "alice@example.com")
    answer = run(args=["account", "reapply-deletions", "-"], input=kept_outside)
    assert answer.output == "1 deletions, 1 accounts were there again and are deleted.\n"
    letters_sent()
    assert tables_with("alice@example.com", life.NAME) == {}
    assert db.session.scalar(select(func.count()).select_from(Session)) == 0
    assert fresh(bob).deleted_at is None
    again = run(args=["account", "reapply-deletions"])
    assert again.output == "1 deletions, 0 accounts were there again and are deleted.\n"
    assert run(args=["account", "deletions"]).output == kept_outside, "since when stays as it was"
    assert audit.breaks() == []


def test_what_stands_in_the_way_of_its_owner_does_not_stand_in_the_way_of_a_restore(app: Flask, alice: User) -> None:
    life.shop.only("fivesim")
    waiting = life.shop.buy(alice)
    assert deletion.reapply([deletion.Tombstone(alice.id)], "operator") == [alice.id]
    assert (fresh(alice).email, balance(alice)) == (f"deleted-{alice.id}@deleted.invalid", 0)
    closing.cancel(life.shop.fresh(waiting))
    assert life.shop.fresh(waiting).state == "cancelled", "its money goes the way it always goes"
    assert balance(alice) == waiting.price_minor
    assert [deletion.take_leftovers_due() for _ in range(2)] == [1, 0]
    assert balance(alice) == 0, "and then to the house: nobody can spend it there"


def test_somebody_who_got_the_number_anew_is_not_deleted(app: Flask, alice: User) -> None:
    before = alice.created_at - timedelta(seconds=1)
    assert deletion.reapply([deletion.Tombstone(alice.id, before), deletion.Tombstone(10**9)], "operator") == []
    assert fresh(alice).email == "alice@example.com"


def test_a_list_that_is_none_is_refused_whole(app: Flask, alice: User) -> None:
    answer = app.test_cli_runner().invoke(args=["account", "reapply-deletions", "-"], input=f"{alice.id}\n\nnonsense\n")
    assert (answer.exit_code, "line 3" in answer.output) == (1, True)
    assert fresh(alice).deleted_at is None
    assert db.session.scalar(select(func.count()).select_from(DeletedAccount)) == 0


def test_receipts_stay_whole_and_nowhere_else_is_anything_of_them(app: Flask, enter: Open, alice: User) -> None:
    invoices.set_buyer_details(
        alice, name="Canary Obi", company="Canary Ltd", address="1 Canary Road", tax_id="canary-9"
    )
    receipt = make_receipt(alice)
    before = printed(invoice_papers.paper(receipt))
    assert set(tables_with("canary")["canary"]) == {"users", "buyer_details", "invoices"}
    assert delete(enter(alice), alice) == 303
    letters_sent()
    assert tables_with("canary", "alice@example.com") == {"canary": ["invoices"]}
    db.session.expire_all()
    assert printed(invoice_papers.paper(receipt)) == before
