-- Link ids of unnamed parts to their long message: an SMSC numbers the parts of one message in a
-- row, and Jasmin names the last of them.
-- $1 smpp_msgid of a receipt, $2 the id that many further on, $3 how many, $4 connector_id
INSERT INTO billing_link (smpp_msgid, message_id, part)
SELECT DISTINCT ON (r.smpp_msgid) r.smpp_msgid, c.message_id, true
FROM unnest($1::text[], $2::text[], $3::int[], $4::text[])
    AS r (smpp_msgid, last_msgid, distance, connector_id)
JOIN billing_link l ON l.smpp_msgid = r.last_msgid AND NOT l.part
JOIN sms_cdr c ON c.message_id = l.message_id
WHERE c.parts > r.distance
  AND (c.connector_id IS NULL OR r.connector_id IS NULL OR c.connector_id = r.connector_id)
ORDER BY r.smpp_msgid, r.distance, l.seq DESC
ON CONFLICT (smpp_msgid, message_id) DO NOTHING
