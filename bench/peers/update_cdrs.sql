-- One row a message; a status only moves up in rank.
-- $1 message_id, $2 status, $3 delivery_at, $4 error_code, $5 dlr_payload, $6 status_rank
UPDATE sms_cdr c
SET status = dlr.status,
    delivery_at = dlr.delivery_at,
    error_code = dlr.error_code,
    dlr_payload = dlr.dlr_payload,
    status_rank = dlr.status_rank
FROM unnest(
    $1::text[], $2::text[], $3::timestamptz[], $4::text[], $5::jsonb[], $6::smallint[]
) AS dlr (message_id, status, delivery_at, error_code, dlr_payload, status_rank)
WHERE c.message_id = dlr.message_id AND coalesce(c.status_rank, 0) < dlr.status_rank
