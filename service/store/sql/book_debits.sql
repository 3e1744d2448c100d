-- Debit confirmed charges, each once.
-- $1 bid, $2 account_id and $3 currency of accounts that may be debited
UPDATE billing_event e
SET debited = round(e.amount, 6), ledger_id = gen_random_uuid()
FROM unnest($2::uuid[], $3::text[]) AS account (account_id, currency)
WHERE e.bid = ANY ($1::text[])
  AND e.account_id = account.account_id
  AND e.confirmed
  AND e.ledger_id IS NULL
  AND round(e.amount, 6) > 0
RETURNING
    e.ledger_id, e.account_id, e.debited AS amount, account.currency, e.bid AS reference,
    NULL AS cause
