-- Every CDR is finalised with the sum of its confirmed charges, and no other is.
SELECT
    coalesce(c.message_id, e.message_id) AS key,
    CASE
        WHEN c.message_id IS NULL THEN format('confirmed charges of %s, but no CDR shows them', e.amount)
        ELSE format(
            'CDR has confirmed %s%s, its charges come to %s',
            coalesce(c.confirmed_amount::text, 'nothing'),
            CASE WHEN c.finalized_at IS NULL THEN ' and is not finalised' END,
            coalesce(e.amount::text, 'nothing')
        )
    END AS detail
FROM (
    SELECT message_id, confirmed_amount, finalized_at FROM sms_cdr
    WHERE confirmed_amount IS NOT NULL OR finalized_at IS NOT NULL
) AS c
FULL JOIN (
    SELECT message_id, round(sum(amount), 6) AS amount, max(received_at) AS received_at
    FROM billing_event
    WHERE confirmed AND message_id IS NOT NULL
    GROUP BY message_id
) AS e ON e.message_id = c.message_id
WHERE (c.confirmed_amount IS DISTINCT FROM e.amount OR c.finalized_at IS NULL)
  -- Older CDRs may have been removed for their age. One that is there may still be the younger:
  -- what came before it was received in a transaction that began earlier.
  AND (c.message_id IS NOT NULL OR e.received_at >= (SELECT min(created_at) FROM sms_cdr))
