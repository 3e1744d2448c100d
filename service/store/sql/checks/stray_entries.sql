-- Every ledger entry that this service wrote belongs to one refund, reversal or debit.
SELECT
    l.id::text AS key,
    format('%s of %s for %s (%s) belongs to nothing', l.direction, l.amount, l.reference, l.reason)
        AS detail
FROM balance_ledger l
WHERE (l.reason LIKE 'SMS refund%' OR l.reason = 'SMS charge settled')
  AND NOT EXISTS (SELECT FROM billing_refund r WHERE r.ledger_id = l.id)
  AND NOT EXISTS (SELECT FROM billing_refund r WHERE r.reversal_ledger_id = l.id)
  AND NOT EXISTS (SELECT FROM billing_event e WHERE e.ledger_id = l.id)
