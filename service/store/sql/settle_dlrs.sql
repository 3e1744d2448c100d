-- Move CDRs up to the status of their best event in this batch.
-- One row a message, in key order, so that two workers lock them in the same order.
-- $1 message_id, $2 status, $3 status_rank, $4 delivery_at in POSIX seconds, $5 error_code,
-- $6 dlr_payload, $7 smpp_msgid; each a text as store/columns.py joins it. $8 how many messages
--
-- Values are converted where they are used: an array of jsonb or of times costs twice as much.
-- What is wrong with a value is therefore not found out before its CDR moves.
--
-- Returns one row: the messages that moved, or null if all of them did; and those of them that
-- had been refunded, or null if none had.
WITH moved AS (
    UPDATE sms_cdr c
    SET status = dlr.status,
        status_rank = dlr.status_rank::smallint,
        delivery_at = to_timestamp(dlr.delivery_at::bigint),
        error_code = dlr.error_code,
        dlr_payload = coalesce(dlr.dlr_payload::jsonb, c.dlr_payload),
        smpp_msgid = coalesce(dlr.smpp_msgid, c.smpp_msgid)
    FROM unnest(
        string_to_array($1, E'\x1f', E'\x1e'),
        string_to_array($2, E'\x1f', E'\x1e'),
        string_to_array($3, E'\x1f', E'\x1e'),
        string_to_array($4, E'\x1f', E'\x1e'),
        string_to_array($5, E'\x1f', E'\x1e'),
        string_to_array($6, E'\x1f', E'\x1e'),
        string_to_array($7, E'\x1f', E'\x1e')
    ) AS dlr (
        message_id, status, status_rank, delivery_at, error_code, dlr_payload, smpp_msgid
    )
    WHERE c.message_id = dlr.message_id
      AND coalesce(c.status_rank, billing_status_rank(c.status)) < dlr.status_rank::smallint
    RETURNING dlr.message_id, c.refunded_amount
)
SELECT
    CASE
        WHEN count(DISTINCT message_id) <> $8 THEN coalesce(array_agg(message_id), '{}')
    END AS moved,
    array_agg(message_id) FILTER (WHERE refunded_amount IS NOT NULL) AS refunded
FROM moved
