"""What must hold of disputes and debts at every instant; checks.py has them among the others."""

DISPUTE_CHECKS: tuple[tuple[str, str, str], ...] = (
    (
        "D1",
        "what stands as disputed is what open disputes have booked",
        """
        SELECT user_id, currency, a.balance, d.booked
          FROM (SELECT user_id, currency, balance FROM ledger_accounts WHERE kind = 'user_disputed') AS a
          FULL JOIN (SELECT user_id, currency, sum(amount_minor) AS booked FROM disputes
                      WHERE outcome IS NULL GROUP BY user_id, currency) AS d USING (user_id, currency)
         WHERE coalesce(a.balance, 0) <> coalesce(d.booked, 0)
        """,
    ),
    (
        "D2",
        "what a customer owes is what disputes have made, less what was paid and given up",
        """
        SELECT user_id, currency, a.balance, d.owed
          FROM (SELECT user_id, currency, balance FROM ledger_accounts WHERE kind = 'user_debt') AS a
          FULL JOIN (SELECT user_id, currency, sum(debt_minor - debt_paid_minor - written_off_minor) AS owed
                       FROM disputes WHERE outcome IS DISTINCT FROM 'won' GROUP BY user_id, currency) AS d
         USING (user_id, currency)
         WHERE coalesce(a.balance, 0) <> -coalesce(d.owed, 0)
        """,
    ),
    (
        "D3",
        "an open dispute is opened in the books, and one that has ended is closed there the way it ended",
        """
        SELECT gateway_id, d.round, d.outcome, d.amount_minor, b.opened, b.closed
          FROM disputes d
          FULL JOIN (SELECT split_part(split_part(reference, ':', 2), '.', 1) AS gateway_id,
                            count(*) FILTER (WHERE kind = 'dispute_open') AS opened,
                            count(*) FILTER (WHERE kind <> 'dispute_open') AS closed
                       FROM ledger_transactions WHERE kind IN ('dispute_open', 'dispute_won', 'dispute_lost')
                      GROUP BY 1) AS b USING (gateway_id)
         WHERE d.id IS NULL
            OR coalesce(b.opened, 0) - coalesce(b.closed, 0)
               <> CASE WHEN d.outcome IS NULL AND d.amount_minor > 0 THEN 1 ELSE 0 END
            OR d.amount_minor > 0 AND d.outcome IS NOT NULL AND NOT EXISTS (
               SELECT FROM ledger_transactions t
                WHERE t.idempotency_key = 'dispute_' || d.outcome || ':dispute:' || gateway_id || '.' || d.round)
        """,
    ),
    (
        "D4",
        "no more of a payment is disputed or lost than was credited",
        """
        SELECT t.reference, t.paid_minor, sum(d.amount_minor) AS disputed
          FROM disputes d JOIN top_ups t ON t.id = d.top_up_id
         WHERE d.outcome IS DISTINCT FROM 'won'
         GROUP BY t.id HAVING sum(d.amount_minor) > coalesce(t.paid_minor, 0)
        """,
    ),
)
