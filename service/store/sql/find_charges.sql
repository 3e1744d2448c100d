-- What was charged for messages, to whom, and how far their refunds are.
-- $1 message_id, $2 charge mode: true where this service debits, false where the gateway does
--
-- Never more than was charged: where we debit, no more than our debits, and to the account that we
-- debited; where the gateway does, its price, or where it wrote none, the charges that Jasmin
-- confirmed, or else the one it failed. Of a message whose CDR is our own, and that no operator has
-- taken, only what was charged at once.
SELECT DISTINCT ON (c.message_id)
    c.message_id,
    coalesce(c.status_rank, billing_status_rank(c.status)) AS status_rank,
    c.connector_id,
    CASE
        WHEN $2 THEN coalesce(r.account_id, e.account_id, c.account_id)
        ELSE coalesce(r.account_id, c.account_id, e.account_id)
    END AS account_id,
    c.currency,
    coalesce(
        r.amount,
        trunc(
            CASE
                WHEN NOT $2::boolean AND c.smpp_msgid IS NULL AND s.charged IS NOT NULL
                THEN s.charged
                WHEN NOT $2::boolean THEN coalesce(nullif(c.price, 'NaN'), e.confirmed, e.failed)
                WHEN e.debited IS NOT NULL
                THEN least(CASE WHEN c.price > 0 THEN c.price END, e.debited)
            END,
            6
        )
    ) AS amount,
    r.cause,
    extract(epoch FROM now() - r.noted_at)::float8 AS age,
    r.booked_at IS NOT NULL AND r.reversed_at IS NULL AS is_refunded
FROM sms_cdr c
LEFT JOIN billing_refund r ON r.message_id = c.message_id
LEFT JOIN billing_submission s ON s.message_id = c.message_id
CROSS JOIN LATERAL (
    SELECT
        (array_agg(account_id))[1] AS account_id,
        sum(amount) FILTER (WHERE confirmed) AS confirmed,
        max(amount) AS failed,
        sum(debited) AS debited
    FROM billing_event
    WHERE message_id = c.message_id
) AS e
WHERE c.message_id = ANY ($1::text[])
ORDER BY c.message_id, c.account_id
