-- Every failed submission that cost something is refunded, or noted to be, since its account was
-- first reconciled.
SELECT
    c.message_id AS key,
    format('failed with %s, price %s, and no refund is noted', c.error_code, c.price) AS detail
FROM sms_cdr c
JOIN billing_opening o ON o.account_id = c.account_id AND o.recorded_at <= c.created_at
CROSS JOIN mode
WHERE c.status_rank IN (1, 5)
  AND (c.error_code LIKE 'ESME\_%' OR c.error_code LIKE 'RESERVEDSTATUS%')
  AND c.price > 0
  AND NOT EXISTS (SELECT FROM billing_refund r WHERE r.message_id = c.message_id)
  -- What is charged only once the operator takes it was not charged.
  AND NOT EXISTS (
      SELECT FROM billing_submission s WHERE s.message_id = c.message_id AND trunc(s.charged, 6) = 0
  )
  AND (
      NOT mode.debits
      OR EXISTS (
          SELECT FROM billing_event e WHERE e.message_id = c.message_id AND e.debited > 0
      )
  )
