-- No refund of a known amount is left waiting. One that could not be booked is looked at again when
-- it has waited half as long once more; any other is booked soon after its time.
SELECT
    r.message_id AS key,
    format('%s, noted %s: ', r.cause, date_trunc('second', r.noted_at))
    || CASE
        WHEN c.account_id IS NULL THEN 'the CDR names no account'
        WHEN b.account_id IS NULL THEN format('account %s has no balance', c.account_id)
        WHEN c.currency <> b.currency
        THEN format('the CDR is in %s, the balance in %s', c.currency, b.currency)
        ELSE 'not booked yet'
    END AS detail
FROM billing_refund r
JOIN sms_cdr c ON c.message_id = r.message_id
CROSS JOIN mode
LEFT JOIN account_balances b ON b.account_id = c.account_id
WHERE r.booked_at IS NULL
  AND r.noted_at < now() - interval '5 min'
  AND CASE
      WHEN c.account_id IS NULL OR b.account_id IS NULL OR c.currency <> b.currency
      THEN r.due_at < now() + (now() - r.noted_at) / 2 + interval '10 s'
      ELSE r.due_at < now() - interval '1 min'
  END
  AND EXISTS (
      SELECT FROM billing_event e WHERE e.message_id = r.message_id AND e.debited > 0
      UNION ALL
      SELECT FROM billing_event e WHERE e.message_id = r.message_id AND NOT mode.debits
      UNION ALL
      SELECT WHERE c.price > 0 AND NOT mode.debits
  )
