-- Record each charge once, under its bill id; a better answer to the same charge replaces the
-- former one. Returns the bill ids that are new or better, which alone may have an effect.
-- $1 bid, $2 account_id, $3 message_id, $4 connector_id, $5 status, $6 status_rank, $7 amount
INSERT INTO billing_event AS e
    (bid, account_id, message_id, connector_id, status, status_rank, amount)
SELECT *
FROM unnest(
    $1::text[], $2::uuid[], $3::text[], $4::text[], $5::text[], $6::smallint[], $7::numeric[]
)
ON CONFLICT (bid) DO UPDATE
SET status = excluded.status, status_rank = excluded.status_rank
WHERE e.status_rank < excluded.status_rank
RETURNING e.bid
