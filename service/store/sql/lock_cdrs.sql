-- Which of these messages have a CDR? Locks them, in key order, so that the charges of a message
-- are recorded and added up by one worker at a time.
-- $1 message_id
SELECT message_id FROM sms_cdr WHERE message_id = ANY ($1::text[])
ORDER BY message_id
FOR NO KEY UPDATE
