"""The worker's part of what a page has asked for, and many at once."""

import threading
from collections.abc import Callable
from typing import Any

from flask import Flask
from sqlalchemy import text

from namaskah import extensions, jobs, worker
from namaskah.db import db, transaction

LETTERS_WITH_LINKS = ("send_verification", "send_reset_link", "send_email_change")


def run_jobs(app: Flask) -> list[dict[str, Any]]:
    """Do the waiting jobs that make a letter's link, and give the letters they have sent."""
    with app.app_context():
        rows = db.session.execute(
            text("SELECT id, task_name, args FROM procrastinate_jobs WHERE task_name = ANY(:names) ORDER BY id"),
            {"names": list(LETTERS_WITH_LINKS)},
        ).all()
        with transaction():
            db.session.execute(
                text("DELETE FROM procrastinate_jobs WHERE id = ANY(:ids)"), {"ids": [r.id for r in rows]}
            )
        with extensions.mail.record_messages() as outbox:
            for row in rows:
                worker.TASKS[row.task_name](**jobs.split(row.args)[1])
        return [{"to": m.recipients[0], "subject": m.subject, "text": m.body, "html": m.html} for m in outbox]


def together(app: Flask, count: int, work: Callable[[], Any]) -> list[Any]:
    """What `count` threads got that began at the same moment: results, and errors where there was none."""
    barrier = threading.Barrier(count)
    found: list[Any] = []

    def one() -> None:
        with app.test_request_context():
            barrier.wait()
            try:
                found.append(work())
            except Exception as error:
                found.append(error)
            finally:
                db.session.remove()

    threads = [threading.Thread(target=one) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return found
