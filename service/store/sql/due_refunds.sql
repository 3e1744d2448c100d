-- Which refunds were due some time ago and are not booked?
-- $1 seconds ago, $2 how many at most
SELECT message_id FROM billing_refund
WHERE booked_at IS NULL AND due_at <= now() - make_interval(secs => $1)
ORDER BY due_at
LIMIT $2
