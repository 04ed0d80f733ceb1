"""How long a backup takes, how large it is, and how long it takes to have it back and checked.

    python -m bench.backups [--activations 100000]

The ledger is the one of big_ledger.py. Pipes, encryption and disk are real; PostgreSQL runs without fsync.
"""

import argparse
import time
from pathlib import Path

from pyrage import x25519
from sqlalchemy import text

from bench.big_ledger import fill
from bench.shop import customers, goods, shop
from dev.binaries import find_postgres
from namaskah.backups import drills, making
from namaskah.db import db

MIB = 1 << 20


def main() -> None:
    parser = argparse.ArgumentParser(description="A backup and its drill beside a large ledger.")
    parser.add_argument("--activations", type=int, default=100_000)
    count = parser.parse_args().activations
    with shop() as ground:
        [(heavy, _cookie)] = customers(ground, 1)
        fill(ground.app, count, max(count // 100, 1), heavy, goods(ground.app, 8))
        key = x25519.Identity.generate()
        folder = Path(ground.logs) / "backups"
        folder.mkdir()
        ground.app.config.update(
            BACKUP_STORE=str(folder), BACKUP_RECIPIENTS=(str(key.to_public()),), BACKUP_PROGRAMS=str(find_postgres())
        )
        with ground.app.app_context():
            size = int(db.session.scalars(text("SELECT pg_database_size(current_database())")).one())
            db.session.remove()
            started = time.perf_counter()
            made = making.create("bench")
            assert made is not None and made.size is not None
            took = time.perf_counter() - started
            print(f"{count:,} activations, {size / MIB:,.0f} MiB: backup of {made.size / MIB:,.1f} MiB in {took:.1f} s")
            report = drills.drill(made.name, [key], "bench", lambda _step, _size: None)
            steps = ", ".join(f"{step} {seconds:.1f} s" for step, seconds in report.seconds.items())
            print(f"{report.rows:,} rows back in {report.total_seconds:.1f} s: {steps}")


if __name__ == "__main__":
    main()
