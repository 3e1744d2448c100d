-- Record each charge once, under its bill id. Of several answers to the same charge the best one
-- by rank gives the status, one that confirms it confirms it for good, and the first that names the
-- message names it for all others, in whatever order they come. Returns the bill ids that
-- are new or changed by this, the account that they are of, and what is known of them by now.
-- $1 bid, $2 account_id, $3 message_id, $4 connector_id, $5 status, $6 status_rank, $7 amount,
-- $8 confirmed; each a text as store/columns.py joins it
INSERT INTO billing_event AS e
    (bid, account_id, message_id, connector_id, status, status_rank, amount, confirmed)
SELECT
    bid, account_id::uuid, message_id, connector_id, status, status_rank::smallint,
    amount::numeric, confirmed::boolean
FROM unnest(
    string_to_array($1, E'\x1f', E'\x1e'),
    string_to_array($2, E'\x1f', E'\x1e'),
    string_to_array($3, E'\x1f', E'\x1e'),
    string_to_array($4, E'\x1f', E'\x1e'),
    string_to_array($5, E'\x1f', E'\x1e'),
    string_to_array($6, E'\x1f', E'\x1e'),
    string_to_array($7, E'\x1f', E'\x1e'),
    string_to_array($8, E'\x1f', E'\x1e')
) AS b (bid, account_id, message_id, connector_id, status, status_rank, amount, confirmed)
ON CONFLICT (bid) DO UPDATE
SET message_id = coalesce(e.message_id, excluded.message_id),
    connector_id = coalesce(e.connector_id, excluded.connector_id),
    status = CASE
        WHEN e.status_rank < excluded.status_rank THEN excluded.status ELSE e.status
    END,
    status_rank = greatest(e.status_rank, excluded.status_rank),
    amount = CASE
        WHEN excluded.confirmed AND NOT e.confirmed THEN excluded.amount ELSE e.amount
    END,
    confirmed = e.confirmed OR excluded.confirmed
WHERE e.status_rank < excluded.status_rank
   OR (excluded.confirmed AND NOT e.confirmed)
   OR (e.message_id IS NULL AND excluded.message_id IS NOT NULL)
RETURNING e.bid, e.account_id, e.message_id, e.status
