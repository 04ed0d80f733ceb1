"""A web server is told to stop, as at every release: who is in it gets the answer, and what was begun is ended."""

import signal
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from uuid import uuid4

from sqlalchemy import select

from namaskah.db import db
from namaskah.numbers.models import Activation
from namaskah.wallet import ledger
from tests import support
from tests.chaos.stand import Browser, stand

AT_ONCE = 6


def test_a_web_server_that_is_told_to_stop_finishes_its_purchases(
    settings: dict[str, str], worker_number: int, tmp_path: Path
) -> None:
    with stand(settings, f"namaskah_stopping_{worker_number}", tmp_path) as made:
        users = [support.make_user(f"stops{number}@example.com", money=100_000) for number in range(AT_ONCE)]
        browsers = [Browser(made, user) for user in users]
        for provider in ("fivesim", "herosms"):
            made.control.fault(provider, "buy", "slow", seconds=2, times=0)
        web = made.installation.start_web(made.installation.port, workers=2)

        def buy(browser: Browser) -> int:
            form = {
                "service": "whatsapp",
                "country": "NG",
                "operator": "",
                "max_price_minor": 10**9,
                "key": uuid4().hex,
            }
            return browser.post("/activations", **form).status

        with ThreadPoolExecutor(AT_ONCE) as pool:
            answers = [pool.submit(buy, browser) for browser in browsers]
            time.sleep(1)
            web.send_signal(signal.SIGTERM)
            assert [answer.result() for answer in answers] == [303] * AT_ONCE
        assert web.wait(30) == 0
        made.installation.processes.remove(web)
        assert db.session.scalars(select(Activation.state)).all() == ["waiting"] * AT_ONCE
        assert all(ledger.balance(user.id).held_minor > 0 for user in users)
        db.session.rollback()
        assert support.broken_invariants() == []
