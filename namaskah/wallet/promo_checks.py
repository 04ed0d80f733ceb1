"""What must hold of gifts and codes at every instant, each as a query that gives the offenders: no row, no fault."""

_IN_ACCOUNT = """
    SELECT e.transaction_id, a.user_id, a.currency, sum(e.amount) AS amount
      FROM ledger_entries e JOIN ledger_accounts a ON a.id = e.account_id AND a.kind = 'user_promo'
     GROUP BY e.transaction_id, a.user_id, a.currency
"""

CHECKS: tuple[tuple[str, str, str], ...] = (
    (
        "P1",
        "what is left of a customer's gifts is what their account of gifts holds",
        """
        SELECT coalesce(a.user_id, g.user_id) AS user_id, a.balance, g.left_minor
          FROM (SELECT user_id, currency, balance FROM ledger_accounts WHERE kind = 'user_promo') AS a
          FULL JOIN (SELECT user_id, currency, sum(left_minor) AS left_minor
                       FROM promo_grants GROUP BY user_id, currency) AS g USING (user_id, currency)
         WHERE coalesce(a.balance, 0) <> coalesce(g.left_minor, 0)
        """,
    ),
    (
        "P2",
        "each gift is left, gone back to the house, or in holds that did not end in money back",
        """
        SELECT g.id AS grant_id, g.amount_minor, g.left_minor, g.expired_minor, p.taken
          FROM promo_grants g
          LEFT JOIN (SELECT grant_id, sum(amount_minor) AS taken FROM promo_parts p
                      WHERE NOT EXISTS (SELECT FROM ledger_transactions t
                                         WHERE t.idempotency_key = 'release:' || p.reference)
                      GROUP BY grant_id) AS p ON p.grant_id = g.id
         WHERE g.amount_minor <> g.left_minor + g.expired_minor + coalesce(p.taken, 0)
        """,
    ),
    (
        "P3",
        "a hold took from gifts just what its parts say, and a release or refund gave just that back",
        f"""
        SELECT t.kind, coalesce(t.reference, p.reference) AS reference, g.amount, p.taken
          FROM (SELECT reference, sum(amount_minor) AS taken FROM promo_parts GROUP BY reference) AS p
          FULL JOIN (SELECT * FROM ledger_transactions WHERE kind IN ('hold', 'release', 'refund')) AS t
            ON t.reference = p.reference
          LEFT JOIN ({_IN_ACCOUNT}) AS g ON g.transaction_id = t.id
         WHERE t.id IS NULL
            OR coalesce(g.amount, 0) <> coalesce(p.taken, 0) * CASE t.kind WHEN 'hold' THEN -1 ELSE 1 END
        """,  # noqa: S608 (words of ours)
    ),
    (
        "P4",
        "each gift was booked once, of its amount to its customer, and so was what ran out of it",
        f"""
        SELECT coalesce(g.id, t.grant_id) AS grant_id, g.given, t.given AS booked, g.expired_minor, t.expired
          FROM (SELECT id, user_id, expired_minor,
                       CASE source WHEN 'refund' THEN 0 ELSE amount_minor END AS given FROM promo_grants) AS g
          FULL JOIN (SELECT split_part(t.reference, ':', 2)::bigint AS grant_id, min(b.user_id) AS user_id,
                            coalesce(sum(b.amount) FILTER (WHERE t.kind = 'promo_granted'), 0) AS given,
                            coalesce(-sum(b.amount) FILTER (WHERE t.kind = 'promo_expired'), 0) AS expired
                       FROM ledger_transactions t LEFT JOIN ({_IN_ACCOUNT}) AS b ON b.transaction_id = t.id
                      WHERE t.kind IN ('promo_granted', 'promo_expired') GROUP BY 1) AS t ON t.grant_id = g.id
         WHERE (g.given, g.expired_minor) IS DISTINCT FROM (coalesce(t.given, 0), coalesce(t.expired, 0))
            OR t.user_id <> g.user_id
        """,  # noqa: S608 (words of ours)
    ),
    (
        "P5",
        "each use of a code is one gift, of the batch's amount to the same customer, and each such gift is a use",
        """
        SELECT r.id AS redemption_id, g.id AS grant_id, g.user_id, g.amount_minor
          FROM (SELECT r.*, b.amount_minor FROM voucher_redemptions r JOIN voucher_batches b ON b.id = r.batch_id
                  JOIN vouchers v ON v.id = r.voucher_id AND v.batch_id = r.batch_id) AS r
          FULL JOIN (SELECT * FROM promo_grants WHERE source = 'voucher') AS g ON g.id = r.grant_id
         WHERE (r.user_id, r.amount_minor) IS DISTINCT FROM (g.user_id, g.amount_minor)
        """,
    ),
    (
        "P6",
        "codes were used as often as is counted, in each batch and of each code",
        """
        SELECT v.batch_id, v.id AS voucher_id, b.uses_each, v.uses_left, count(r.id) AS uses
          FROM vouchers v JOIN voucher_batches b ON b.id = v.batch_id
          LEFT JOIN voucher_redemptions r ON r.voucher_id = v.id
         GROUP BY v.id, b.id HAVING b.uses_each - v.uses_left <> count(r.id)
        UNION ALL
        SELECT b.id, NULL, NULL, b.redeemed, count(r.id)
          FROM voucher_batches b LEFT JOIN voucher_redemptions r ON r.batch_id = b.id
         GROUP BY b.id HAVING b.redeemed <> count(r.id)
        """,
    ),
)
