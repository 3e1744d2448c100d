-- Every failed submission that cost something is refunded, or noted to be.
SELECT
    c.message_id AS key,
    format('failed with %s, price %s, and no refund is noted', c.error_code, c.price) AS detail
FROM sms_cdr c
WHERE c.status_rank IN (1, 5)
  AND c.error_code LIKE 'ESME\_%'
  AND c.price > 0
  AND NOT EXISTS (SELECT FROM billing_refund r WHERE r.message_id = c.message_id)
