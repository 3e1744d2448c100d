-- No CDR is behind what a billing event says of it.
SELECT
    e.message_id AS key,
    format('CDR is %s, billing event %s says %s', c.status, e.bid, e.status) AS detail
FROM billing_event e
JOIN sms_cdr c ON c.message_id = e.message_id
WHERE coalesce(c.status_rank, billing_status_rank(c.status)) < e.status_rank
