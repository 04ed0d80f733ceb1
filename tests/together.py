"""Many at the same moment."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from flask import Flask

from namaskah.db import db


def at_once(app: Flask, *acts: Callable[[], Any], most: int = 40) -> list[Any]:
    """What each of the acts gave, or the error it ended in, in their order. `most` of them begin together, each in a
    thread and with a connection of its own; those beyond follow as others end."""
    start = threading.Barrier(min(len(acts), most))

    def run(place: int, act: Callable[[], Any]) -> Any:
        with app.app_context():
            try:
                if place < start.parties:
                    start.wait(10)
                return act()
            except Exception as error:
                return error
            finally:
                db.session.remove()

    with ThreadPoolExecutor(start.parties) as pool:
        return [done.result() for done in [pool.submit(run, *each) for each in enumerate(acts)]]
