-- Move CDRs up to the status of their best charge, and finalise those with a confirmed one.
-- One row a message, in key order; lock_cdrs.sql holds them, so that all their charges are seen.
-- $1 message_id, $2 status, $3 status_rank, $4 error_code; each a text as store/columns.py joins it
UPDATE sms_cdr c
SET status = CASE
        WHEN coalesce(c.status_rank, billing_status_rank(c.status)) < bill.status_rank
        THEN bill.status ELSE c.status
    END,
    error_code = CASE
        WHEN coalesce(c.status_rank, billing_status_rank(c.status)) < bill.status_rank
        THEN bill.error_code ELSE c.error_code
    END,
    status_rank = greatest(
        coalesce(c.status_rank, billing_status_rank(c.status)), bill.status_rank
    ),
    finalized_at = CASE
        WHEN bill.confirmed IS NOT NULL THEN coalesce(c.finalized_at, now())
    END,
    confirmed_amount = bill.confirmed
FROM (
    SELECT
        b.message_id,
        b.status,
        b.status_rank::smallint AS status_rank,
        b.error_code,
        (
            SELECT sum(e.amount)
            FROM billing_event e
            WHERE e.message_id = b.message_id AND e.confirmed
        ) AS confirmed
    FROM unnest(
        string_to_array($1, E'\x1f', E'\x1e'),
        string_to_array($2, E'\x1f', E'\x1e'),
        string_to_array($3, E'\x1f', E'\x1e'),
        string_to_array($4, E'\x1f', E'\x1e')
    ) AS b (message_id, status, status_rank, error_code)
) AS bill
WHERE c.message_id = bill.message_id
