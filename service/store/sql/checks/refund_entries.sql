-- Every refund and every reversal has its ledger entry, of the same account and amount.
SELECT
    r.message_id AS key,
    format('%s of %s: ', r.kind, r.amount)
    || CASE
        WHEN l.id IS NULL THEN 'no ledger entry ' || r.ledger_id
        ELSE format('ledger entry %s is a %s of %s for %s', l.id, l.direction, l.amount, l.account_id)
    END AS detail
FROM (
    SELECT message_id, account_id, amount, ledger_id, 'credit' AS direction, 'refund' AS kind
    FROM billing_refund WHERE booked_at IS NOT NULL
    UNION ALL
    SELECT message_id, account_id, amount, reversal_ledger_id, 'debit', 'reversal'
    FROM billing_refund WHERE reversed_at IS NOT NULL
) AS r
LEFT JOIN balance_ledger l ON l.id = r.ledger_id
WHERE l.id IS NULL
   OR (l.account_id, l.amount, l.direction, l.reference)
       IS DISTINCT FROM (r.account_id, r.amount, r.direction, r.message_id)
