-- Remember which message an operator's id belongs to.
-- $1 smpp_msgid, $2 message_id, $3 part
INSERT INTO billing_link (smpp_msgid, message_id, part)
SELECT * FROM unnest($1::text[], $2::text[], $3::boolean[])
ON CONFLICT (smpp_msgid, message_id) DO NOTHING
