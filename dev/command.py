"""`python -m dev.command db upgrade`: a flask command with the servers and settings of `make run`, running or not."""

import os
import subprocess
import sys

from dev.process import StartError
from dev.run import DATA, FLASK, ROOT
from dev.servers import shared_servers
from dev.settings import development


def main(args: list[str]) -> int:
    """Run it and give its exit code; 1 when the servers won't start."""
    try:
        settings = development(os.environ, ROOT, DATA)
        with shared_servers(DATA, settings) as running:
            settings |= {"DATABASE_URL": running.database_url, "REDIS_URL": running.redis_url}
            return subprocess.run([*FLASK, *args], env=settings, cwd=ROOT, check=False).returncode
    except StartError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
