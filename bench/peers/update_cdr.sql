-- $1 message_id, $2 status, $3 delivery_at, $4 error_code, $5 dlr_payload
UPDATE sms_cdr
SET status = $2, delivery_at = $3, error_code = $4, dlr_payload = $5
WHERE message_id = $1
