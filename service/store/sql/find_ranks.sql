-- The ranks of the CDRs that there are of these messages.
-- $1 message_id
SELECT message_id, coalesce(status_rank, billing_status_rank(status))
FROM sms_cdr
WHERE message_id = ANY ($1::text[])
