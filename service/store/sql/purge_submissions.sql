-- $1 seconds to keep, $2 how many rows at most
DELETE FROM billing_submission
WHERE ctid = ANY (ARRAY(
    SELECT ctid FROM billing_submission
    WHERE captured_at < now() - make_interval(secs => $1)
    LIMIT $2
))
