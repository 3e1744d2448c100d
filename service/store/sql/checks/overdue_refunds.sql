-- No refund is left waiting.
SELECT
    r.message_id AS key,
    format('%s, noted %s: ', r.cause, date_trunc('second', r.noted_at))
    || CASE
        WHEN c.message_id IS NULL THEN 'there is no CDR'
        WHEN c.account_id IS NULL THEN 'the CDR names no account'
        WHEN b.account_id IS NULL THEN format('account %s has no balance', c.account_id)
        WHEN c.price IS NULL THEN 'what was charged is not known'
        WHEN c.currency <> b.currency
        THEN format('the CDR is in %s, the balance in %s', c.currency, b.currency)
        ELSE 'not booked yet'
    END AS detail
FROM billing_refund r
LEFT JOIN sms_cdr c ON c.message_id = r.message_id
LEFT JOIN account_balances b ON b.account_id = c.account_id
WHERE r.booked_at IS NULL AND r.due_at < now() + interval '10 s'
  AND r.noted_at < now() - interval '5 min'
