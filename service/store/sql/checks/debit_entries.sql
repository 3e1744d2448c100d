-- Every debited charge has its ledger entry, and none was debited without being confirmed.
SELECT
    e.bid AS key,
    format('debit of %s: ', e.debited)
    || CASE
        WHEN NOT e.confirmed THEN 'of a charge that was never confirmed'
        WHEN l.id IS NULL THEN 'no ledger entry ' || e.ledger_id
        ELSE format('ledger entry %s is a %s of %s for %s', l.id, l.direction, l.amount, l.account_id)
    END AS detail
FROM billing_event e
LEFT JOIN balance_ledger l ON l.id = e.ledger_id
WHERE e.ledger_id IS NOT NULL
  AND (
      NOT e.confirmed
      OR l.id IS NULL
      OR (l.account_id, l.amount, l.direction, l.reference)
          IS DISTINCT FROM (e.account_id, e.debited, 'debit'::text, e.bid)
  )
