-- Take receipts that have matched nothing for long enough to be those of an unnamed part of a long
-- message. Each is taken again when it has waited about twice as long, so that one whose CDR comes
-- late is found, and one that never matches costs little.
-- $1 seconds parked, $2 how many at most
UPDATE billing_parked p
SET look_from = now() + (now() - p.parked_at)
FROM (
    SELECT digest
    FROM billing_parked
    WHERE operator_ids IS NOT NULL AND look_from < now() - make_interval(secs => $1)
    ORDER BY look_from
    LIMIT $2
    FOR UPDATE SKIP LOCKED
) AS old
WHERE p.digest = old.digest
RETURNING p.digest, p.message
