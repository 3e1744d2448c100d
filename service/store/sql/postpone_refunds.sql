-- These could not be booked yet; look again later, and the less often the longer they wait.
-- $1 message_id, $2 seconds from now at least
UPDATE billing_refund
SET due_at = now() + greatest(make_interval(secs => $2), (now() - noted_at) / 2)
WHERE message_id = ANY ($1::text[]) AND booked_at IS NULL
