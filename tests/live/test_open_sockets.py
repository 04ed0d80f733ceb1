"""How many pages are open is counted over all processes of the server, and no more once they are closed."""

import http.client
import os
import re
from pathlib import Path

from tests.live.conftest import OpenAccount
from tests.live.stand import Stand, serve
from tests.support import wait_until

TOKEN = "a-token-of-this-test-alone"


def test_open_pages_are_counted_over_all_processes(stand: Stand, user: OpenAccount) -> None:
    web = serve(stand, workers=2, METRICS_TOKEN=TOKEN)
    try:

        def counted() -> float:
            connection = http.client.HTTPConnection("127.0.0.1", web.port, timeout=10)
            connection.request("GET", "/metrics", headers={"Authorization": f"Bearer {TOKEN}", "Connection": "close"})
            found = re.search(r"^namaskah_open_sockets (\S+)$", connection.getresponse().read().decode(), re.MULTILINE)
            return float(found[1]) if found else 0.0

        viewer = user()
        pages = [web.page(viewer) for _ in range(6)]
        assert {counted() for _ in range(6)} == {6.0}
        pages.pop().close()
        wait_until(lambda: counted() == 5, 10, "one page less")
        # A process that is killed cannot count down; its pages are gone all the same.
        children = Path(f"/proc/{web.process.pid}/task/{web.process.pid}/children").read_text()
        for child in children.split():
            os.kill(int(child), 9)
        wait_until(lambda: counted() == 0, 20, "no page left")
    finally:
        web.stop()
