-- Forget what old messages said. What was charged for them stays, as the CDRs do: a refund must never
-- be more, however late it is.
-- $1 seconds to keep, $2 how many rows at most
UPDATE billing_submission
SET text = NULL
WHERE ctid = ANY (ARRAY(
    SELECT ctid FROM billing_submission
    WHERE text IS NOT NULL AND captured_at < now() - make_interval(secs => $1)
    LIMIT $2
))
