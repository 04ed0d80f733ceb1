"""What must hold between activations and the ledger, each as a query that gives the offenders: no row, no fault."""

from namaskah.numbers.models import CAPTURED, HOLDING, OPEN, RELEASED
from namaskah.wallet.models import one_of

_MONEY = "(SELECT 1 FROM ledger_transactions t WHERE t.idempotency_key = '{kind}:activation:' || a.id)"
_HELD, _CAPTURED, _RELEASED = (_MONEY.format(kind=kind) for kind in ("hold", "capture", "release"))

CHECKS: tuple[tuple[str, str, str], ...] = (
    (
        "I6",
        "what is held for a customer is the sum of the prices of activations that hold money",
        f"""
        SELECT l.user_id, l.balance AS held, coalesce(sum(a.price_minor), 0) AS prices
          FROM ledger_accounts l
          LEFT JOIN activations a ON a.user_id = l.user_id AND a.{one_of("state", HOLDING)}
         WHERE l.kind = 'user_held' GROUP BY l.id HAVING l.balance <> coalesce(sum(a.price_minor), 0)
        """,  # noqa: S608 (words of ours)
    ),
    (
        "I7",
        "each activation is held once and ends in the one of captured or released that its state says",
        f"""
        SELECT a.id, a.state FROM activations a
         WHERE NOT EXISTS {_HELD}
            OR EXISTS {_CAPTURED} <> (a.{one_of("state", CAPTURED)})
            OR EXISTS {_RELEASED} <> (a.{one_of("state", RELEASED)})
        """,  # noqa: S608 (words of ours)
    ),
    (
        "I11",
        "what a provider charged, owes and returned is explained by its orders",
        """
        SELECT l.provider, l.kind, sum(e.amount) AS micros FROM ledger_accounts l
          JOIN ledger_entries e ON e.account_id = l.id
         WHERE l.kind = 'provider_receivable' GROUP BY l.id, l.provider, l.kind HAVING sum(e.amount) > 0
        """,
    ),
    (
        "I12",
        "nothing is open ten minutes after it should have ended",
        f"""
        SELECT a.id, a.state, a.expires_at FROM activations a
         WHERE a.{one_of("state", OPEN)}
           AND coalesce(a.expires_at, a.attempt_at) < now() - interval '10 minutes'
        """,  # noqa: S608 (words of ours)
    ),
)
