-- Take, once each, receipts that have matched nothing for long enough to be those of an unnamed
-- part of a long message.
-- $1 seconds parked, $2 how many at most
UPDATE billing_parked p
SET part_checked = true
FROM (
    SELECT digest
    FROM billing_parked
    WHERE operator_ids IS NOT NULL AND NOT part_checked
      AND parked_at < now() - make_interval(secs => $1)
    ORDER BY parked_at
    LIMIT $2
    FOR UPDATE SKIP LOCKED
) AS old
WHERE p.digest = old.digest
RETURNING p.digest, p.message
