-- What do the oldest parked events wait for, how long have they, and which are they?
-- $1 how many to look at, $2 debits: whether an account must have a balance as well
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
        p.message_id,
        p.operator_ids[1] AS operator_id,
        p.uid,
        CASE
            WHEN NOT EXISTS (SELECT FROM sms_cdr c WHERE c.message_id = p.message_id)
                AND p.message_id IS NOT NULL
            THEN 'cdr'
            WHEN p.uid IS NOT NULL AND a.id IS NULL THEN 'account'
            WHEN $2 AND p.uid IS NOT NULL AND NOT EXISTS (
                SELECT FROM account_balances b WHERE b.account_id = a.id
            )
            THEN 'balance'
            WHEN p.operator_ids IS NOT NULL AND NOT EXISTS (
                SELECT FROM billing_link l
                WHERE l.smpp_msgid = ANY (p.operator_ids || p.guessed_ids)
            )
            THEN 'link'
            WHEN p.operator_ids IS NOT NULL THEN 'cdr'
        END AS want
    FROM oldest p
    LEFT JOIN LATERAL (
        -- As find_accounts.sql does.
        SELECT a.id FROM accounts a
        WHERE a.id = p.account_id OR a.jasmin_uid = p.uid
        ORDER BY a.id = p.account_id DESC
        LIMIT 1
    ) AS a ON p.uid IS NOT NULL
),
keyed AS (
    SELECT
        stream,
        want,
        parked_at,
        CASE
            WHEN want IN ('account', 'balance') THEN uid
            ELSE coalesce(message_id, operator_id)
        END AS key
    FROM waiting
    WHERE want IS NOT NULL
)
SELECT
    stream,
    want,
    count(*) AS events,
    extract(epoch FROM now() - min(parked_at))::float8 AS oldest,
    (array_agg(DISTINCT key))[1:3] AS keys
FROM keyed
GROUP BY stream, want
ORDER BY stream, want
