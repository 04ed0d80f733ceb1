"""Single calls to a provider keep their distance, whichever worker makes them."""

import os
import subprocess
import sys
import time

import pytest
from flask import Flask
from redis.exceptions import ConnectionError as RedisConnectionError

from namaskah.extensions import redis
from namaskah.numbers import pacing
from tests.support import ROOT

FOUR_CALLS = """
from namaskah import create_app
from namaskah.numbers import pacing
create_app()
print(*(pacing.seconds_to_wait("herosms", 5.0) for _ in range(4)))
"""


def test_calls_of_one_process_are_a_gap_apart(app: Flask) -> None:
    waits = [pacing.seconds_to_wait("herosms", 2.0) for _ in range(4)]
    assert waits == pytest.approx([0, 2, 4, 6], abs=0.3)
    assert pacing.seconds_to_wait("fivesim", 2.0) == pytest.approx(0, abs=0.3)  # each provider by itself
    assert pacing.seconds_to_wait("herosms", 0.0) == 0


def test_two_workers_share_the_pace(app: Flask, settings: dict[str, str]) -> None:
    began = time.monotonic()
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", FOUR_CALLS],
            cwd=ROOT,
            env=os.environ | settings | {"LOG_LEVEL": "ERROR"},
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    waits = sorted(float(wait) for process in processes for wait in process.communicate(timeout=60)[0].split())
    # Eight moments that are all five seconds from each other; who asked later has waited for part of them already.
    assert len(waits) == 8
    assert waits[-1] >= 7 * 5.0 - (time.monotonic() - began)
    assert len({round(wait / 2.5) for wait in waits}) >= 7


def test_what_was_reserved_is_forgotten(app: Flask) -> None:
    pacing.seconds_to_wait("herosms", 0.05)
    time.sleep(0.1)
    assert redis.client.exists("pace:herosms") == 0
    assert pacing.seconds_to_wait("herosms", 0.05) == 0


def test_without_redis_each_process_keeps_to_the_pace(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    def away(*_: object) -> None:
        raise RedisConnectionError("away")

    monkeypatch.setattr(redis.client, "eval", away)
    waits = [pacing.seconds_to_wait("herosms", 2.0) for _ in range(3)]
    assert waits == pytest.approx([0, 2, 4], abs=0.3)
