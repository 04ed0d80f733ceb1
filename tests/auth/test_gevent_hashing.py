"""A hash takes some 200 ms; under gevent nobody else may wait for it."""

import subprocess
import sys
from pathlib import Path

PROGRAM = """
from gevent import monkey; monkey.patch_all()
import time, gevent
from namaskah.auth import passwords
passwords.hashed("warm up")
gaps = []
def tick():
    while True:
        before = time.perf_counter()
        gevent.sleep(0.001)
        gaps.append(time.perf_counter() - before)
ticker = gevent.spawn(tick)
stored = passwords.hashed("purple tuba river")
assert passwords.matches(stored, "purple tuba river")
ticker.kill()
print(len(gaps))
"""


def test_the_loop_turns_while_a_password_is_hashed() -> None:
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", PROGRAM], cwd=root, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) >= 5
