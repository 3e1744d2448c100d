-- Note that messages are to be refunded, each once. What is not booked yet takes the newer cause
-- and time.
-- $1 message_id, $2 cause, $3 seconds from now
INSERT INTO billing_refund AS r (message_id, cause, due_at)
SELECT n.message_id, n.cause, now() + make_interval(secs => n.seconds)
FROM unnest($1::text[], $2::text[], $3::float8[]) AS n (message_id, cause, seconds)
ON CONFLICT (message_id) DO UPDATE
SET cause = excluded.cause, due_at = excluded.due_at
WHERE r.booked_at IS NULL
