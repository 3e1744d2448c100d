-- Which of these messages have a CDR?
-- $1 message_id
SELECT m.message_id
FROM unnest($1::text[]) AS m (message_id)
WHERE EXISTS (SELECT FROM sms_cdr c WHERE c.message_id = m.message_id)
