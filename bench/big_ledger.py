"""A ledger of any size in minutes: years of top-ups and purchases, written by a few statements on a throwaway server.

Every fifth purchase is one customer's; the others are spread over thousands. A customer tops up before each fiftieth
purchase, so nobody is ever below zero; seven in ten get their code, the others their money back; half were bought since
providers' costs are booked. The ledger's triggers are off for this session alone: the balances and numbers they would
have written are worked out by window functions, and every invariant must hold afterwards (bench.ledger runs them).
"""

from flask import Flask
from sqlalchemy import text

from namaskah.db import db, transaction
from namaskah.wallet import house

DAYS = 730
HEAVY_SHARE = 5  # every fifth purchase

_STEPS = (
    "SET LOCAL session_replication_role = replica",
    "SET LOCAL statement_timeout = 0",
    "SET LOCAL work_mem = '512MB'",
    # Who: the heavy customer is there; so many others.
    """
    CREATE TEMP TABLE who ON COMMIT DROP AS
    WITH made AS (
        INSERT INTO users (email, password_hash, policy_version, policy_accepted_at, email_verified_at)
        SELECT 'big' || n || '@example.test', '!', 'bench', now(), now() FROM generate_series(1, :others) n
        RETURNING id)
    SELECT row_number() OVER (ORDER BY id) - 1 AS place, id AS user_id FROM made
    """,
    "CREATE UNIQUE INDEX ON who (place)",
    "ANALYZE who",
    """
    INSERT INTO ledger_accounts (kind, user_id, currency, scale, balance)
    SELECT kind, user_id, 'NGN', 2, 0 FROM (SELECT user_id FROM who UNION ALL SELECT :heavy) AS owner,
           (VALUES ('user_available'), ('user_held')) AS kinds (kind)
    ON CONFLICT DO NOTHING
    """,
    """
    INSERT INTO ledger_accounts (kind, provider, currency, scale)
    SELECT kind, p.name, p.currency, 6 FROM providers p, (VALUES ('provider_float'), ('provider_cost')) AS kinds (kind)
     UNION ALL SELECT kind, NULL, 'NGN', 2
      FROM (VALUES ('revenue'), ('gateway_clearing'), ('gateway_fees'), ('promo')) AS kinds (kind)
    ON CONFLICT DO NOTHING
    """,
    # What was bought: n is the order in time, k that of the customer's own.
    """
    CREATE TEMP TABLE bought ON COMMIT DROP AS
    SELECT *, row_number() OVER (PARTITION BY user_id ORDER BY n) AS k
      FROM (SELECT n, CASE n % :share WHEN 0 THEN :heavy ELSE w.user_id END AS user_id,
                   50000 + n % 7 * 1000 AS price, n % 10 < 7 AS got_code,
                   now() - interval '2 hours' - (:count - n) * interval '1 day' * :days / :count AS at
              FROM generate_series(CAST(1 AS bigint), :count) n
              JOIN who w ON w.place = n * 7919 % :others) AS purchases
    """,
    """
    INSERT INTO activations (id, user_id, key, service_code, country_code, operator, state, end_reason, price_minor,
                             currency, provider_name, provider_ref, cost_micros, phone, attempt_at, due_at, created_at,
                             expires_at, received_at, ended_at)
    OVERRIDING SYSTEM VALUE
    SELECT n, user_id, 'big-' || n, g.services[1 + n % array_length(g.services, 1)],
           g.countries[1 + n / 7 % array_length(g.countries, 1)], 'any',
           CASE WHEN got_code THEN 'finished' ELSE 'expired' END, CASE WHEN NOT got_code THEN 'no_code' END, price,
           'NGN', (SELECT min(name) FROM providers), 'big-' || n, 200000, '+2348030000000', at, at, at,
           at + interval '20 minutes', CASE WHEN got_code THEN at + interval '1 minute' END, at + interval '1 minute'
      FROM bought, (SELECT CAST(:services AS text[]) AS services, CAST(:countries AS text[]) AS countries) AS g
     ORDER BY n
    """,
    """
    INSERT INTO top_ups (reference, user_id, key, amount_minor, currency, state, paid_minor, fees_minor, created_at,
                         settled_at)
    SELECT 'big-' || n, user_id, 'big-' || n, 3000000, 'NGN', 'paid', 3000000, 45000, at - interval '2 minutes',
           at - interval '1 minute' FROM bought WHERE k % 50 = 1 ORDER BY n
    """,
    "INSERT INTO receipts_due SELECT id FROM top_ups ON CONFLICT DO NOTHING",
    """
    CREATE TEMP TABLE accounts ON COMMIT DROP AS
    SELECT id, balance, sequence, concat_ws(':', kind, user_id) AS owner FROM ledger_accounts
     WHERE provider IS NULL OR provider = (SELECT min(name) FROM providers)
    """,
    # What moved: four steps a purchase at most, numbered in order of time.
    """
    CREATE TEMP TABLE moved ON COMMIT DROP AS
    SELECT b.n, b.user_id, b.price, s.step, :first + b.n * 4 + s.step AS id,
           CASE s.step WHEN 0 THEN 'top_up' WHEN 1 THEN 'hold' WHEN 2 THEN 'provider_charge'
                       ELSE CASE WHEN b.got_code THEN 'capture' ELSE 'release' END END AS kind,
           b.at + interval '1 minute' * CASE s.step WHEN 0 THEN -1 WHEN 3 THEN 1 ELSE 0 END AS at
      FROM bought b, generate_series(0, 3) AS s (step)
     WHERE (s.step <> 0 OR b.k % 50 = 1) AND (s.step <> 2 OR b.n > :count / 2)
    """,
    """
    INSERT INTO ledger_transactions (id, kind, idempotency_key, reference, note, created_at)
    OVERRIDING SYSTEM VALUE
    SELECT id, kind, kind || ':' || reference, reference, CASE kind WHEN 'release' THEN 'no_code' ELSE '' END, at
      FROM (SELECT *, CASE kind WHEN 'top_up' THEN 'top_up:big-' ELSE 'activation:' END || n AS reference FROM moved)
        AS named ORDER BY id
    """,
    """
    INSERT INTO ledger_entries (id, transaction_id, account_id, amount, balance_after, sequence)
    OVERRIDING SYSTEM VALUE
    SELECT :first_entry + row_number() OVER (ORDER BY m.id, a.id), m.id, a.id, e.amount,
           a.balance + sum(e.amount) OVER own,
           CASE WHEN a.balance IS NOT NULL THEN a.sequence + row_number() OVER own END
      FROM moved m
      JOIN LATERAL (VALUES
           ('top_up', 'user_available:' || m.user_id, 3000000), ('top_up', 'gateway_clearing', -2955000),
           ('top_up', 'gateway_fees', -45000),
           ('hold', 'user_available:' || m.user_id, -m.price), ('hold', 'user_held:' || m.user_id, m.price),
           ('provider_charge', 'provider_cost', -200000), ('provider_charge', 'provider_float', 200000),
           ('capture', 'user_held:' || m.user_id, -m.price), ('capture', 'revenue', m.price),
           ('release', 'user_held:' || m.user_id, -m.price), ('release', 'user_available:' || m.user_id, m.price)
           ) AS e (kind, account, amount) ON e.kind = m.kind
      JOIN accounts a ON a.owner = e.account
    WINDOW own AS (PARTITION BY a.id ORDER BY m.id)
    """,
    """
    UPDATE ledger_accounts a SET balance = s.balance, sequence = s.count
      FROM (SELECT account_id, sum(amount) AS balance, count(*) FROM ledger_entries GROUP BY account_id) AS s
     WHERE s.account_id = a.id AND a.balance IS NOT NULL
    """,
    "SELECT setval(pg_get_serial_sequence('ledger_entries', 'id'), (SELECT max(id) FROM ledger_entries))",
    "SELECT setval(pg_get_serial_sequence('ledger_transactions', 'id'), (SELECT max(id) FROM ledger_transactions))",
    "SELECT setval(pg_get_serial_sequence('activations', 'id'), (SELECT max(id) FROM activations))",
)


def fill(app: Flask, activations: int, others: int, heavy: int, goods: list[tuple[str, str]]) -> None:
    """So many activations, about five entries each, for user `heavy` and so many other customers, then what a night
    does to such a database: statistics, and snapshots of the house's balances."""
    with app.app_context():
        values = {
            "count": activations,
            "others": others,
            "heavy": heavy,
            "share": HEAVY_SHARE,
            "days": DAYS,
            "services": sorted({service for service, _country in goods}),
            "countries": sorted({country for _service, country in goods}),
            "first": _next_id("ledger_transactions"),
            "first_entry": _next_id("ledger_entries"),
        }
        with transaction():
            for step in _STEPS:
                named = {name: value for name, value in values.items() if f":{name}" in step}
                db.session.execute(text(step), named)
        with db.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(text("SET statement_timeout = 0"))
            connection.execute(text("VACUUM ANALYZE"))
            connection.execute(text("CHECKPOINT"))
            connection.invalidate()
        while house.take_snapshots_due():
            pass
        db.session.remove()


def _next_id(table: str) -> int:
    found = db.session.scalar(text(f"SELECT coalesce(max(id), 0) + 1000 FROM {table}"))
    db.session.rollback()
    return int(found or 0)
