-- The ranks of the CDRs that there are of these messages; of several the lowest.
-- $1 message_id
SELECT m.message_id, min(coalesce(c.status_rank, billing_status_rank(c.status)))
FROM unnest($1::text[]) AS m (message_id)
JOIN sms_cdr c ON c.message_id = m.message_id
GROUP BY m.message_id
