"""What a database holds, in figures: taken in a backup's own snapshot, and again when it is restored."""

import hashlib
import hmac
from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy import Connection, func, select, table, text

TABLES = r"""
    SELECT schemaname, tablename FROM pg_tables
     WHERE schemaname <> 'information_schema' AND schemaname NOT LIKE 'pg\_%' ORDER BY 1, 2
"""
GUARDS = """
    SELECT (SELECT count(*) FROM pg_trigger WHERE NOT tgisinternal AND tgenabled = 'O') AS triggers,
           (SELECT count(*) FROM pg_constraint c JOIN pg_namespace n ON n.oid = c.connamespace
             WHERE n.nspname = 'public' AND c.contype <> 'n') AS constraints,
           (SELECT count(*) FROM pg_indexes WHERE schemaname = 'public') AS indexes,
           (SELECT count(*) FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
             WHERE n.nspname = 'public') AS functions
"""
MONEY = """
    SELECT a.kind || ' ' || a.currency AS account, sum(e.amount)::text AS total
      FROM ledger_entries e JOIN ledger_accounts a ON a.id = e.account_id GROUP BY 1 ORDER BY 1
"""
AUDIT = "SELECT id || ' ' || encode(hash, 'hex') FROM audit_events ORDER BY id DESC LIMIT 1"


@dataclass(frozen=True)
class Facts:
    """`rows` by table; `guards`: how many triggers, constraints, indexes and functions there are; `money`: the sum of
    all entries by kind of account and currency; `audit_head`: number and hash of the newest event."""

    revision: str
    rows: dict[str, int]
    guards: dict[str, int]
    money: dict[str, str]
    audit_head: str

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def read(opened: Connection) -> Facts:
    """All figures of a database. Counting every row takes its time on a large one."""
    names = opened.execute(text(TABLES)).all()
    counts = {
        f"{schema}.{name}": int(opened.scalars(select(func.count()).select_from(table(name, schema=schema))).one())
        for schema, name in names
    }
    return Facts(
        revision=str(opened.scalar(text("SELECT version_num FROM alembic_version")) or ""),
        rows=counts,
        guards={name: int(count) for name, count in opened.execute(text(GUARDS)).mappings().one().items()},
        money={row.account: row.total for row in opened.execute(text(MONEY))},
        audit_head=str(opened.scalar(text(AUDIT)) or ""),
    )


def sizes(opened: Connection) -> dict[str, int]:
    """Bytes by table, to say how far a dump is."""
    rows = opened.execute(
        text(r"""
            SELECT schemaname || '.' || tablename AS name, pg_table_size((quote_ident(schemaname) || '.' ||
                   quote_ident(tablename))::regclass) AS bytes
              FROM pg_tables WHERE schemaname <> 'information_schema' AND schemaname NOT LIKE 'pg\_%'
        """)
    )
    return {row.name: int(row.bytes) for row in rows}


def differences(made: Facts, restored: Facts) -> list[str]:
    """What a restored database has otherwise than the one that was backed up, a sentence each."""
    found = []
    for what, before, after in (
        ("rows of", made.rows, restored.rows),
        ("number of", made.guards, restored.guards),
        ("sum of", made.money, restored.money),
    ):
        found += [
            f"{what} {name}: {before.get(name, 'none')} were backed up, {after.get(name, 'none')} are there"
            for name in sorted(before.keys() | after.keys())
            if before.get(name) != after.get(name)
        ]
    if made.revision != restored.revision:
        found.append(f"migration {made.revision} was backed up, {restored.revision} is there")
    if made.audit_head != restored.audit_head:
        found.append("the newest event of the audit log is another one")
    return found


def key_print(secret_key: str) -> str:
    """Tells whether two secret keys are the same, and nothing else of them."""
    return hmac.new(secret_key.encode(), b"namaskah: which secret key is this", hashlib.sha256).hexdigest()[:16]
