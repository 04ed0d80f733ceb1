"""Many at the same moment."""

import threading
from collections.abc import Callable, Sequence

from flask import Flask


def at_once(app: Flask, *acts: Callable[[], object]) -> Sequence[object]:
    """What each of the acts gave, or the error it ended in; all begin together, each with a connection of its own."""
    start, results = threading.Barrier(len(acts)), list[object]([None] * len(acts))

    def run(place: int, act: Callable[[], object]) -> None:
        with app.app_context():
            start.wait()
            try:
                results[place] = act()
            except Exception as error:
                results[place] = error

    threads = [threading.Thread(target=run, args=each) for each in enumerate(acts)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results
