-- Forget refunds that turned out not to be owed.
-- $1 message_id
DELETE FROM billing_refund WHERE message_id = ANY ($1::text[]) AND booked_at IS NULL
