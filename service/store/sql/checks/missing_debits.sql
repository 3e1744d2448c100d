-- In charge mode debit every confirmed charge was debited, from the first one on.
SELECT e.bid AS key, format('confirmed charge of %s was not debited', e.amount) AS detail
FROM billing_event e
WHERE e.confirmed
  AND e.ledger_id IS NULL
  AND round(e.amount, 6) > 0
  AND e.received_at > (SELECT min(received_at) FROM billing_event WHERE ledger_id IS NOT NULL)
