-- These could not be booked yet; look again later.
-- $1 message_id, $2 seconds from now
UPDATE billing_refund SET due_at = now() + make_interval(secs => $2)
WHERE message_id = ANY ($1::text[]) AND booked_at IS NULL
