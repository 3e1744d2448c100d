-- What do the oldest parked events wait for, how long have they, and which are they?
-- $1 how many to look at
WITH oldest AS (
    SELECT stream, message_id, operator_ids, guessed_ids, uid, account_id, parked_at
    FROM billing_parked
    ORDER BY parked_at
    LIMIT $1
),
waiting AS (
    SELECT
        p.stream,
        p.parked_at,
        CASE
            WHEN NOT EXISTS (SELECT FROM sms_cdr c WHERE c.message_id = p.message_id)
                AND p.message_id IS NOT NULL
            THEN 'cdr'
            WHEN p.uid IS NOT NULL AND NOT EXISTS (
                SELECT FROM accounts a WHERE a.id = p.account_id OR a.jasmin_uid = p.uid
            )
            THEN 'account'
            WHEN p.operator_ids IS NOT NULL AND NOT EXISTS (
                SELECT FROM billing_link l
                WHERE l.smpp_msgid = ANY (p.operator_ids || p.guessed_ids)
            )
            THEN 'link'
            WHEN p.operator_ids IS NOT NULL THEN 'cdr'
        END AS want,
        coalesce(p.message_id, p.uid, p.operator_ids[1]) AS key
    FROM oldest p
)
SELECT
    stream,
    want,
    count(*) AS events,
    extract(epoch FROM now() - min(parked_at))::float8 AS oldest,
    (array_agg(DISTINCT key))[1:3] AS keys
FROM waiting
WHERE want IS NOT NULL
GROUP BY stream, want
ORDER BY stream, want
