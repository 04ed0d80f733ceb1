"""What must hold at every instant, each as a query that gives the offenders: no row, no fault.

Numbered as in the project's list of money invariants, R for receipts, G for money that goes back to where it was paid
from, D for disputes (dispute_checks.py), P for gifts (promo_checks.py), K for cards, L for what came over from the
predecessor (opening_checks.py); those about activations stand with the activations.
"""

from namaskah.wallet import opening_checks, promo_checks
from namaskah.wallet.dispute_checks import DISPUTE_CHECKS

CHECKS: tuple[tuple[str, str, str], ...] = (
    (
        "I1",
        "every ledger transaction has entries and sums to zero",
        """
        SELECT t.id AS transaction_id, a.currency, a.scale, coalesce(sum(e.amount), 0) AS sum, count(e.id) AS entries
          FROM ledger_transactions t
          LEFT JOIN ledger_entries e ON e.transaction_id = t.id
          LEFT JOIN ledger_accounts a ON a.id = e.account_id
         GROUP BY t.id, a.currency, a.scale
        HAVING count(e.id) = 0 OR sum(e.amount) <> 0
        """,
    ),
    (
        "I2",
        "all accounts of a currency together are zero",
        """
        SELECT a.currency, a.scale, sum(e.amount) AS sum
          FROM ledger_entries e JOIN ledger_accounts a ON a.id = e.account_id
         GROUP BY a.currency, a.scale HAVING sum(e.amount) <> 0
        """,
    ),
    (
        "I3",
        "a running balance is the sum of its entries",
        """
        SELECT a.id AS account_id, a.kind, a.user_id, a.balance, coalesce(sum(e.amount), 0) AS sum
          FROM ledger_accounts a LEFT JOIN ledger_entries e ON e.account_id = a.id
         WHERE a.balance IS NOT NULL
         GROUP BY a.id HAVING a.balance <> coalesce(sum(e.amount), 0)
        """,
    ),
    (
        "I3s",
        "a snapshot of a house account is the sum of its entries up to there",
        """
        SELECT s.account_id, s.entry_id, s.balance, coalesce(sum(e.amount), 0) AS sum
          FROM ledger_snapshots s
          LEFT JOIN ledger_entries e ON e.account_id = s.account_id AND e.id <= s.entry_id
         GROUP BY s.account_id HAVING s.balance <> coalesce(sum(e.amount), 0)
        """,
    ),
    (
        "I4",
        "a user account's entries are numbered without a gap, and each states the balance it left",
        """
        SELECT account_id, entry_id, sequence, place, balance_after, sum
          FROM (SELECT e.account_id, e.id AS entry_id, e.sequence, e.balance_after, a.sequence AS last,
                       row_number() OVER in_order AS place, sum(e.amount) OVER in_order AS sum,
                       count(*) OVER (PARTITION BY e.account_id) AS entries
                  FROM ledger_entries e JOIN ledger_accounts a ON a.id = e.account_id
                 WHERE a.balance IS NOT NULL
                WINDOW in_order AS (PARTITION BY e.account_id ORDER BY e.sequence)) AS numbered
         WHERE sequence IS DISTINCT FROM place OR balance_after IS DISTINCT FROM sum OR last <> entries
        """,
    ),
    (
        "I5",
        "nobody has less than nothing, wherever it is",
        """
        SELECT id AS account_id, kind, user_id, balance FROM ledger_accounts
         WHERE kind IN ('user_available', 'user_held', 'user_refunding', 'user_disputed', 'user_promo') AND balance < 0
        """,
    ),
    (
        "I8",
        "no more is refunded than was captured for the same reference and user",
        """
        SELECT r.reference, a.user_id, sum(e.amount) AS refunded
          FROM ledger_transactions r
          JOIN ledger_entries e ON e.transaction_id = r.id
          JOIN ledger_accounts a ON a.id = e.account_id AND a.kind IN ('user_available', 'user_promo')
         WHERE r.kind = 'refund'
         GROUP BY r.reference, a.user_id
        HAVING sum(e.amount) > coalesce(
               (SELECT -sum(ce.amount) FROM ledger_transactions c
                  JOIN ledger_entries ce ON ce.transaction_id = c.id
                  JOIN ledger_accounts ca ON ca.id = ce.account_id AND ca.kind = 'user_held'
                 WHERE c.kind = 'capture' AND c.reference = r.reference AND ca.user_id = a.user_id), 0)
        """,
    ),
    (
        "I9",
        "a gateway reference is credited once",
        """
        SELECT reference, count(*) AS credits FROM ledger_transactions
         WHERE kind = 'top_up' GROUP BY reference HAVING count(*) > 1
        """,
    ),
    (
        "I10",
        "a paid top-up has its credit, of what was paid without the fee on top, and a credit its paid top-up",
        """
        SELECT coalesce('top_up:' || p.reference, c.reference) AS reference, p.state, p.user_id, p.paid_minor,
               p.surcharge_minor, c.user_id AS credited_user_id, c.amount AS credited
          FROM (SELECT * FROM top_ups WHERE state = 'paid') AS p
          FULL JOIN (SELECT t.reference, a.user_id, e.amount
                       FROM ledger_transactions t
                       JOIN ledger_entries e ON e.transaction_id = t.id
                       JOIN ledger_accounts a ON a.id = e.account_id AND a.kind = 'user_available'
                      WHERE t.kind = 'top_up') AS c
            ON c.reference = 'top_up:' || p.reference
         WHERE (p.user_id, p.paid_minor - p.surcharge_minor) IS DISTINCT FROM (c.user_id, c.amount)
        """,
    ),
    (
        "I10f",
        "a fee that a payer bore is booked once, as ours, and stands with its paid top-up",
        """
        SELECT coalesce('top_up:' || p.reference, b.reference) AS reference, p.surcharge_minor, b.amount
          FROM (SELECT * FROM top_ups WHERE state = 'paid' AND surcharge_minor > 0) AS p
          FULL JOIN (SELECT t.reference, sum(e.amount) AS amount
                       FROM ledger_transactions t
                       JOIN ledger_entries e ON e.transaction_id = t.id
                       JOIN ledger_accounts a ON a.id = e.account_id AND a.kind = 'gateway_fees'
                      WHERE t.kind = 'surcharge'
                      GROUP BY t.reference) AS b
            ON b.reference = 'top_up:' || p.reference
         WHERE p.surcharge_minor IS DISTINCT FROM b.amount
        """,
    ),
    (
        "C1",
        "wallets and the house hold money in one currency",
        """
        SELECT currency, accounts
          FROM (SELECT currency, count(*) AS accounts, count(*) OVER () AS currencies
                  FROM ledger_accounts WHERE provider IS NULL GROUP BY currency) AS used
         WHERE currencies > 1
        """,
    ),
    (
        "R1",
        "receipts and notes of a year are numbered without a gap, and dates run with the numbers",
        """
        SELECT year, number, place, issued_on, day_before, last
          FROM (SELECT i.year, i.number, row_number() OVER in_order AS place, i.issued_on,
                       lag(i.issued_on) OVER in_order AS day_before, y.last,
                       count(*) OVER (PARTITION BY i.year) AS issued
                  FROM invoices i LEFT JOIN invoice_years y ON y.year = i.year
                WINDOW in_order AS (PARTITION BY i.year ORDER BY i.number)) AS numbered
         WHERE number <> place OR issued_on < day_before OR last IS DISTINCT FROM issued
        """,
    ),
    (
        "R2",
        "a paid top-up has one receipt, of all that was paid and of its fee, or is due one, and a receipt its top-up",
        """
        SELECT p.reference, p.paid_minor, p.surcharge_minor, r.fee_minor, r.id AS receipt_id, r.total_minor,
               d.top_up_id AS due
          FROM (SELECT * FROM top_ups WHERE state = 'paid') AS p
          FULL JOIN (SELECT * FROM invoices WHERE kind = 'receipt') AS r ON r.top_up_id = p.id
          LEFT JOIN receipts_due d ON d.top_up_id = p.id
         WHERE CASE WHEN d.top_up_id IS NOT NULL THEN r.id IS NOT NULL
                    ELSE (p.user_id, p.paid_minor, p.surcharge_minor, p.currency)
                         IS DISTINCT FROM (r.user_id, r.total_minor, r.fee_minor, r.currency) END
        """,
    ),
    (
        "R3",
        "notes take off a receipt no more than it has, put back no more than was taken off, nor more tax",
        """
        SELECT r.id AS receipt_id, r.total_minor, r.tax_minor, sum(n.total) AS taken_off, sum(n.tax) AS tax
          FROM (SELECT *, CASE kind WHEN 'credit_note' THEN total_minor ELSE -total_minor END AS total,
                       CASE kind WHEN 'credit_note' THEN tax_minor ELSE -tax_minor END AS tax FROM invoices) AS n
          JOIN invoices r ON r.id = n.receipt_id
         GROUP BY r.id
        HAVING sum(n.total) NOT BETWEEN 0 AND r.total_minor OR sum(n.tax) NOT BETWEEN 0 AND r.tax_minor
            OR sum(n.total) = r.total_minor AND sum(n.tax) <> r.tax_minor
            OR sum(n.total) = 0 AND sum(n.tax) <> 0
            OR bool_or((n.top_up_id, n.user_id, n.currency) IS DISTINCT FROM (r.top_up_id, r.user_id, r.currency))
        """,
    ),
    (
        "R4",
        # Where a dispute is open, what the papers say of it stands until it is decided.
        "what the notes of a top-up take off its receipt is what its payer has back",
        """
        SELECT t.reference, t.paid_minor, coalesce(n.taken_off, 0) AS taken_off, coalesce(g.back, 0) AS back
          FROM top_ups t
          LEFT JOIN (SELECT top_up_id, sum(CASE kind WHEN 'credit_note' THEN total_minor ELSE -total_minor END)
                            AS taken_off FROM invoices WHERE receipt_id IS NOT NULL GROUP BY top_up_id) AS n
            ON n.top_up_id = t.id
          LEFT JOIN (SELECT top_up_id, sum(amount_minor) AS back
                       FROM (SELECT top_up_id, amount_minor FROM gateway_refunds
                              WHERE state = 'processed' AND returned_at IS NULL
                              UNION ALL
                             SELECT top_up_id, amount_minor FROM disputes WHERE outcome = 'lost') AS gone
                      GROUP BY top_up_id) AS g ON g.top_up_id = t.id
         WHERE coalesce(n.taken_off, 0) <> least(coalesce(g.back, 0), coalesce(t.paid_minor, 0))
           AND NOT EXISTS (SELECT FROM disputes d WHERE d.top_up_id = t.id AND d.outcome IS NULL)
        """,
    ),
    (
        "G1",
        "what is on its way back to a customer is the sum of the open refunds",
        """
        SELECT coalesce(a.user_id, r.user_id) AS user_id, a.balance, r.sum
          FROM (SELECT user_id, currency, balance FROM ledger_accounts WHERE kind = 'user_refunding') AS a
          FULL JOIN (SELECT user_id, currency, sum(amount_minor) AS sum FROM gateway_refunds
                      WHERE state NOT IN ('processed', 'failed', 'cancelled') GROUP BY user_id, currency) AS r
            ON (r.user_id, r.currency) = (a.user_id, a.currency)
         WHERE coalesce(a.balance, 0) <> coalesce(r.sum, 0)
        """,
    ),
    (
        "G2",
        "no more of a top-up has gone back, or is on its way, than was paid",
        """
        SELECT t.reference, t.state, t.paid_minor, sum(r.amount_minor) AS refunded
          FROM gateway_refunds r JOIN top_ups t ON t.id = r.top_up_id
         WHERE r.state NOT IN ('failed', 'cancelled')
         GROUP BY t.id
        HAVING t.state <> 'paid' OR sum(r.amount_minor) > t.paid_minor
            OR bool_or((r.user_id, r.currency) IS DISTINCT FROM (t.user_id, t.currency))
        """,
    ),
    (
        "G3",
        # A note of less than the refund stands only where others have taken back the rest of the receipt.
        "each refund has its lines in the ledger and, once processed, its credit note; and the reverse",
        """
        SELECT coalesce(r.reference, b.reference, n.refund_reference) AS reference, r.state, r.amount_minor,
               b.begun, b.gone, b.back, b.late, b.returned, n.total_minor AS credited
          FROM gateway_refunds r
          FULL JOIN (SELECT split_part(t.reference, ':', 2) AS reference,
                            sum(e.amount) FILTER (WHERE t.kind = 'refund_to_source_begin') AS begun,
                            -sum(e.amount) FILTER (WHERE t.kind = 'refund_to_source') AS gone,
                            -sum(e.amount) FILTER (WHERE t.kind = 'refund_to_source_back') AS back,
                            sum(e.amount) FILTER (WHERE t.kind = 'refund_to_source_late') AS late,
                            -sum(e.amount) FILTER (WHERE t.kind = 'refund_to_source_return') AS returned
                       FROM ledger_transactions t
                       JOIN ledger_entries e ON e.transaction_id = t.id
                       JOIN ledger_accounts a ON a.id = e.account_id
                      WHERE t.kind LIKE 'refund_to_source%'
                        AND a.kind = CASE WHEN t.kind IN ('refund_to_source_late', 'refund_to_source_return')
                                          THEN 'gateway_clearing' ELSE 'user_refunding' END
                      GROUP BY t.reference) AS b ON b.reference = r.reference
          FULL JOIN (SELECT refund_reference, total_minor FROM invoices
                      WHERE kind = 'credit_note' AND refund_reference LIKE 'RF-%') AS n
            ON n.refund_reference = coalesce(r.reference, b.reference)
         WHERE r.id IS NULL OR b.begun IS DISTINCT FROM r.amount_minor
            OR CASE WHEN r.state = 'processed' THEN
                         coalesce(b.gone, b.late) IS DISTINCT FROM r.amount_minor
                         OR n.total_minor IS DISTINCT FROM r.amount_minor AND (
                            n.total_minor > r.amount_minor
                            OR (SELECT paid_minor FROM top_ups WHERE id = r.top_up_id) >
                               (SELECT coalesce(sum(total_minor), 0) FROM invoices
                                 WHERE top_up_id = r.top_up_id AND kind = 'credit_note'))
                         OR (b.late IS NULL) <> (b.back IS NULL) OR (b.gone IS NULL) <> (b.back IS NOT NULL)
                         OR b.returned <> r.amount_minor OR b.returned IS NOT NULL AND r.returned_at IS NULL
                    WHEN r.state IN ('failed', 'cancelled') THEN
                         b.back IS DISTINCT FROM r.amount_minor
                         OR num_nonnulls(b.gone, b.late, b.returned, n.total_minor) > 0
                    ELSE num_nonnulls(b.gone, b.back, b.late, b.returned, n.total_minor) > 0 END
        """,
    ),
    (
        "K1",
        "a card that is charged is its payer's own, and charged by itself only while it is kept",
        """
        SELECT w.user_id, w.card_id, NULL AS reference FROM auto_top_ups w LEFT JOIN saved_cards c ON c.id = w.card_id
         WHERE w.is_on AND (c.user_id IS DISTINCT FROM w.user_id OR c.removed_at IS NOT NULL)
         UNION ALL
        SELECT t.user_id, t.card_id, t.reference FROM top_ups t JOIN saved_cards c ON c.id = t.card_id
         WHERE c.user_id <> t.user_id
        """,
    ),
    *promo_checks.CHECKS,
    *DISPUTE_CHECKS,
    *opening_checks.CHECKS,
)
