"""`python -m namaskah.sandbox`: serve until SIGTERM or SIGINT; one JSON line with the ports says it is ready."""

from __future__ import annotations

import json
import signal
import sys
import threading

from .app import create_sandbox
from .world import Config


def main() -> None:
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    with create_sandbox(Config.from_environment()) as sandbox:
        ports = {"port": sandbox.port, "smtp_port": sandbox.smtp_port}
        sys.stdout.write(json.dumps(ports, separators=(",", ":")) + "\n")
        sys.stdout.flush()
        stop.wait()


if __name__ == "__main__":
    main()
