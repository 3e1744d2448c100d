-- Every CDR shows the refund that it has, none that it has not, and none above its price.
SELECT
    coalesce(c.message_id, r.message_id) AS key,
    CASE
        WHEN c.message_id IS NULL THEN format('refund of %s, but no CDR shows it', r.amount)
        ELSE format(
            'CDR shows a refund of %s, price %s; refunded was %s',
            coalesce(c.refunded_amount::text, 'nothing'), coalesce(c.price::text, 'unknown'),
            coalesce(r.amount::text, 'nothing')
        )
    END AS detail
FROM (SELECT message_id, refunded_amount, price FROM sms_cdr WHERE refunded_amount IS NOT NULL) AS c
FULL JOIN (
    SELECT message_id, amount, noted_at FROM billing_refund
    WHERE booked_at IS NOT NULL AND reversed_at IS NULL
) AS r ON r.message_id = c.message_id
CROSS JOIN mode
-- Where we debit, a price of nothing is none that is known, as in find_charges.sql.
WHERE (
    c.refunded_amount IS DISTINCT FROM r.amount
    OR c.refunded_amount > CASE WHEN c.price > 0 OR NOT mode.debits THEN c.price END
)
  -- Older CDRs may have been removed for their age. One that is there may still be the younger:
  -- what came before it was noted in a transaction that began earlier.
  AND (c.message_id IS NOT NULL OR r.noted_at >= (SELECT min(created_at) FROM sms_cdr))
