"""Two web servers and two workers behind nginx, on one PostgreSQL and one Redis: any of them is killed in the middle of
somebody's way from opening an account to the receipt, and it ends as if nothing had been."""

import re
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from subprocess import Popen

import psutil
import pytest
from sqlalchemy import func, select, text

from dev.process import free_port
from namaskah.auth.models import User
from namaskah.db import db, transaction
from namaskah.numbers.models import Activation
from namaskah.wallet import ledger
from namaskah.wallet.models import Invoice, TopUp
from namaskah.watch import heartbeats
from tests.chaos.stand import Stand, stand
from tests.deploy.proxy import nginx, programs
from tests.deploy.shopper import PAID_MINOR, Shopper
from tests.support import broken_invariants, wait_until

BACK_WITHIN = 5.0
PROVIDERS = ("fivesim", "herosms")
Process = Popen[bytes]


@dataclass
class Site:
    """What is killed comes back while the next customer is on their way, as systemd would have it."""

    stand: Stand
    webs: dict[int, Process]
    workers: list[Process]
    helpers: ThreadPoolExecutor
    coming: list[Future[None]] = field(default_factory=list)

    def shopper(self) -> Shopper:
        return Shopper(self.stand.installation.url, self.stand.control)

    def all_are_up(self) -> None:
        for future in self.coming:
            future.result()
        if self.coming:
            time.sleep(1.2)  # for so long nginx leaves a server alone that was away (fail_timeout)
        self.coming.clear()

    def kill_web(self, port: int) -> None:
        self.stand.installation.kill(self.webs[port])
        self.coming.append(self.helpers.submit(self._start_web, port))

    def _start_web(self, port: int) -> None:
        self.webs[port] = self.stand.installation.start_web(port)

    def kill_worker(self, number: int) -> None:
        """The other one alone is left until `start_worker()`."""
        self.stand.installation.kill(self.workers[number])

    def start_worker(self, number: int) -> None:
        self.workers[number] = self.stand.installation.start_worker()

    def answering(self) -> list[int]:
        """Ports of servers that have somebody's connection just now."""
        return [port for port, web in self.webs.items() if any(map(_is_taken, _family(web)))]


def _family(web: Process) -> list[psutil.Process]:
    return psutil.Process(web.pid).children()


def _is_taken(process: psutil.Process) -> bool:
    listens = {each.laddr for each in process.net_connections("tcp") if each.status == psutil.CONN_LISTEN}
    taken = {each.laddr for each in process.net_connections("tcp") if each.status == psutil.CONN_ESTABLISHED}
    return bool(listens & taken)


@pytest.fixture(scope="module")
def site(settings: dict[str, str], worker_number: int, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    programs("nginx")
    folder: Path = tmp_path_factory.mktemp("scale")
    ports = [free_port(), free_port()]
    with ExitStack() as stack:
        made = stack.enter_context(stand(settings, f"namaskah_scale_{worker_number}", folder))
        made.installation.environment["PROXY_HOPS"] = "1"
        made.control.settings(early_cancel_seconds=0, listing_lag_seconds=0)
        helpers = stack.enter_context(ThreadPoolExecutor(2))
        workers = [made.installation.start_worker() for _ in range(2)]
        webs = dict(zip(ports, helpers.map(made.installation.start_web, ports), strict=True))
        stack.enter_context(nginx(folder / "nginx", made.installation.port, ports))
        wait_until(lambda: len(heartbeats.workers()) == 2 or db.session.rollback(), 30, "both workers")
        db.session.rollback()
        yield Site(made, webs, workers, helpers)


def test_the_web_server_that_holds_the_page_is_killed(site: Site) -> None:
    shopper = ready_to_buy(site)
    page = shopper.buy()
    holder = int(shopper.open_page().rpartition(":")[2])
    site.all_are_up()
    site.kill_web(holder)
    send_code(site, page)
    assert shopper.waits_for('data-state="received"') < BACK_WITHIN
    ends_well(site, shopper, page)


def test_a_web_server_is_killed_while_the_customer_is_at_the_gateway(site: Site) -> None:
    """Its webhook and the customer come back to the other one."""
    site.all_are_up()
    shopper = site.shopper()
    shopper.sign_up()
    checkout = shopper.begin_to_pay()
    site.kill_web(min(site.webs))
    shopper.pay(checkout)
    page = shopper.buy()
    shopper.open_page()
    send_code(site, page)
    shopper.waits_for('data-state="received"')
    ends_well(site, shopper, page)


@pytest.mark.parametrize("number", [0, 1])
def test_a_worker_is_killed_and_both_servers_push_what_the_other_reads(site: Site, number: int) -> None:
    shopper = ready_to_buy(site)
    site.all_are_up()
    page = shopper.buy()
    # For two seconds nginx leaves a server alone that was away a moment ago.
    holders: set[str] = set()
    wait_until(lambda: holders.add(shopper.open_page()) or time.sleep(0.5) or len(holders) == 2, 8, "a page of each")
    site.kill_worker(number)
    send_code(site, page)
    shopper.waits_for('data-state="received"')
    ends_well(site, shopper, page)
    site.start_worker(number)


def test_the_server_nginx_has_chosen_is_killed_in_the_middle_of_a_purchase(site: Site) -> None:
    """The provider has sold and nobody has heard of it; the customer sees the proxy's error and presses again."""
    shopper = ready_to_buy(site)
    site.all_are_up()
    for provider in PROVIDERS:
        site.stand.control.fault(provider, "buy", "slow_after", seconds=8)
    buying = site.helpers.submit(shopper.buy)
    wait_until(lambda: sold(site) > activations(), 10, "the sale")
    [chosen] = site.answering()
    site.kill_web(chosen)
    page = buying.result()
    site.stand.control.no_faults()
    assert shopper.presses == 1
    shopper.open_page()
    half_a_minute_goes_by()
    shopper.waits_for('data-state="waiting"')
    send_code(site, page)
    shopper.waits_for('data-state="received"')
    ends_well(site, shopper, page)


def ready_to_buy(site: Site) -> Shopper:
    site.all_are_up()
    shopper = site.shopper()
    shopper.sign_up()
    shopper.pay(shopper.begin_to_pay())
    return shopper


def sold(site: Site) -> int:
    return sum(len(site.stand.control.orders(provider)) for provider in PROVIDERS)


def activations() -> int:
    """Those that know their order."""
    db.session.rollback()
    known = select(func.count()).where(Activation.provider_ref.is_not(None))
    return db.session.scalar(known) or 0


def half_a_minute_goes_by() -> None:
    """After which a purchase that nobody goes on with is in doubt, and looked for at the provider."""
    moved = "due_at = now(), attempt_at = attempt_at - interval '30 s'"
    with transaction():
        db.session.execute(text(f"UPDATE activations SET {moved} WHERE state = 'buying'"))


def two_minutes_go_by(page: str) -> None:
    """After which a number may be given back, and the worker does."""
    id = {"id": int(page.rpartition("/")[2])}
    with transaction():
        db.session.execute(text("UPDATE activations SET cancel_from = now(), due_at = now() WHERE id = :id"), id)


def bought_on(page: str) -> Activation:
    db.session.rollback()
    found = db.session.get(Activation, int(page.rpartition("/")[2]), populate_existing=True)
    assert found is not None
    db.session.rollback()
    return found


def send_code(site: Site, page: str) -> None:
    activation = bought_on(page)
    site.stand.control.sms(activation.provider_name, str(activation.provider_ref), "Your code is 482-913")


def ends_well(site: Site, shopper: Shopper, page: str) -> None:
    """Another number is bought and given back, the receipt is read, and all books are right."""
    assert 'data-code="482 913"' in shopper.look(page).body
    other = shopper.buy()
    assert shopper.press(f"{other}/cancel").status == 303
    two_minutes_go_by(other)
    wait_until(lambda: bought_on(other).state == "cancelled", 30, "the money back")
    [number] = set(re.findall(r'href="/wallet/invoices/([\w-]+)"', shopper.look("/wallet/invoices").body))
    assert shopper.look(f"/wallet/invoices/{number}").status == 200
    assert shopper.look(f"/wallet/invoices/{number}.pdf").body.startswith("%PDF")
    shopper.leave()
    assert [status for status in shopper.statuses if status >= 400] == []
    _is_charged_once(site, shopper, bought_on(page), bought_on(other))
    _every_job_was_done_once(shopper)
    assert broken_invariants() == []


def _is_charged_once(site: Site, shopper: Shopper, kept: Activation, returned: Activation) -> None:
    user_id = db.session.scalars(select(User.id).where(User.email == shopper.email)).one()
    balance = ledger.balance(user_id)
    assert (balance.available_minor, balance.held_minor) == (PAID_MINOR - kept.price_minor, 0)
    assert db.session.scalars(select(TopUp.state).where(TopUp.user_id == user_id)).all() == ["paid"]
    assert len(db.session.scalars(select(Invoice.id).where(Invoice.user_id == user_id)).all()) == 1
    mine = db.session.scalars(select(Activation).where(Activation.user_id == user_id).order_by(Activation.id)).all()
    assert [(each.id, each.state) for each in mine] == [(kept.id, "received"), (returned.id, "cancelled")]
    assert len({(each.provider_name, each.provider_ref) for each in mine}) == 2
    # Their books: no order that is not one of ours, and what was given back was given back there.
    assert sold(site) == activations()
    ended = {str(order["id"]): order["status"] for order in site.stand.control.orders(returned.provider_name)}
    assert ended[str(returned.provider_ref)] in {"canceled", "cancelled", "refunded"}, ended


def _every_job_was_done_once(shopper: Shopper) -> None:
    open_jobs = text(
        "SELECT task_name, status, attempts FROM procrastinate_jobs WHERE task_name <> 'take_up_lost_jobs'"
    )
    # One that a killed worker had in hand is taken up by the other half a minute after its heart stopped.
    wait_until(lambda: (db.session.rollback(), not db.session.execute(open_jobs).all())[1], 75, "the last job")
    letters = Counter(mail["subject"] for mail in shopper.control.mails(shopper.email))
    assert set(letters.values()) == {1} and len(letters) >= 2, letters
