-- Find accounts by their UUID or by their uid in Jasmin.
-- $1 uid as the event names it, $2 the same as a UUID where it is one
SELECT
    b.uid,
    a.id AS account_id,
    EXISTS (SELECT FROM account_balances WHERE account_id = a.id) AS has_balance
FROM unnest($1::text[], $2::uuid[]) AS b (uid, id)
CROSS JOIN LATERAL (
    SELECT a.id FROM accounts a
    WHERE a.id = b.id OR a.jasmin_uid = b.uid
    ORDER BY a.id = b.id DESC
    LIMIT 1
) AS a
