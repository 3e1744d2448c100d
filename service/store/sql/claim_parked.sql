-- Take parked events whose CDR, link and account are all there now.
-- $1 stream, $2 how many at most, $3 which eighth of the old ones to look at, $4 seconds parked
-- after which a guessed id will do
--
-- Young events are looked at every time, old ones every eighth time: what has not come within a
-- minute is rarely worth asking for every second. What was taken and had to stay goes to the end.
SELECT p.digest, p.message
FROM billing_parked p
WHERE p.stream = $1
  AND (p.parked_at > now() - interval '1 minute' OR get_byte(p.digest, 0) % 8 = $3)
  AND (
      p.message_id IS NULL
      OR EXISTS (SELECT FROM sms_cdr c WHERE c.message_id = p.message_id)
  )
  AND (
      p.operator_ids IS NULL
      OR EXISTS (
          SELECT
          FROM billing_link l
          JOIN sms_cdr c ON c.message_id = l.message_id
          WHERE l.smpp_msgid = ANY (
              CASE
                  WHEN p.parked_at > now() - make_interval(secs => $4) THEN p.operator_ids
                  ELSE p.operator_ids || p.guessed_ids
              END
          )
      )
  )
  AND (
      p.uid IS NULL
      OR EXISTS (SELECT FROM accounts a WHERE a.jasmin_uid = p.uid)
      OR EXISTS (SELECT FROM accounts a WHERE a.id = p.account_id)
  )
ORDER BY p.tried_at NULLS FIRST, p.parked_at
LIMIT $2
FOR UPDATE OF p SKIP LOCKED
