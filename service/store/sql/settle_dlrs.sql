-- Move CDRs up to the status of their best event in this batch, and tell about those not moved,
-- and those that had been refunded.
-- One row a message, in key order, so that two workers lock them in the same order.
-- $1 message_id, $2 status, $3 status_rank, $4 delivery_at, $5 error_code, $6 dlr_payload,
-- $7 smpp_msgid; each a text as store/columns.py joins it
--
-- Returns the rows that did not move: ord and the CDR's rank, which is null where there is no CDR;
-- and those that did although they had been refunded.
WITH dlr AS MATERIALIZED (
    SELECT *
    FROM unnest(
        string_to_array($1, E'\x1f', E'\x1e'),
        string_to_array($2, E'\x1f', E'\x1e'),
        string_to_array($3, E'\x1f', E'\x1e')::smallint[],
        string_to_array($4, E'\x1f', E'\x1e')::timestamptz[],
        string_to_array($5, E'\x1f', E'\x1e'),
        string_to_array($6, E'\x1f', E'\x1e')::jsonb[],
        string_to_array($7, E'\x1f', E'\x1e')
    ) WITH ORDINALITY AS d (
        message_id, status, status_rank, delivery_at, error_code, dlr_payload, smpp_msgid, ord
    )
),
moved AS (
    UPDATE sms_cdr c
    SET status = dlr.status,
        status_rank = dlr.status_rank,
        delivery_at = dlr.delivery_at,
        error_code = dlr.error_code,
        dlr_payload = coalesce(dlr.dlr_payload, c.dlr_payload),
        smpp_msgid = coalesce(dlr.smpp_msgid, c.smpp_msgid)
    FROM dlr
    WHERE c.message_id = dlr.message_id
      AND coalesce(c.status_rank, billing_status_rank(c.status)) < dlr.status_rank
    RETURNING dlr.ord, dlr.status_rank, c.refunded_amount
)
SELECT
    dlr.ord,
    CASE
        WHEN c.message_id IS NOT NULL THEN coalesce(c.status_rank, billing_status_rank(c.status))
    END AS status_rank,
    false AS moved
FROM dlr
LEFT JOIN sms_cdr c ON c.message_id = dlr.message_id
WHERE dlr.ord NOT IN (SELECT ord FROM moved)
UNION ALL
SELECT ord, status_rank, true FROM moved WHERE refunded_amount IS NOT NULL
