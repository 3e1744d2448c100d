-- Which refunds are due and not booked?
-- $1 how many at most
SELECT message_id FROM billing_refund
WHERE booked_at IS NULL AND due_at <= now()
ORDER BY due_at
LIMIT $1
