"""What must hold of money that came over from the predecessor."""

CHECKS: tuple[tuple[str, str, str], ...] = (
    (
        "L1",
        "what came over of an account of the predecessor is in its owner's wallet, once, and nothing else came so",
        """
        SELECT coalesce('legacy_account:' || l.id, c.reference) AS reference, l.user_id, l.opened_minor,
               c.user_id AS credited_to, c.amount AS credited
          FROM (SELECT * FROM legacy_accounts WHERE opened_minor > 0) AS l
          FULL JOIN (SELECT t.reference, a.user_id, a.currency, e.amount
                       FROM ledger_transactions t
                       JOIN ledger_entries e ON e.transaction_id = t.id
                       JOIN ledger_accounts a ON a.id = e.account_id AND a.kind = 'user_available'
                      WHERE t.kind = 'opening_balance') AS c
            ON c.reference = 'legacy_account:' || l.id
         WHERE (l.user_id, l.opened_minor, l.currency) IS DISTINCT FROM (c.user_id, c.amount, c.currency)
        """,
    ),
)
