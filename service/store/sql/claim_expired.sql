-- Take events that have waited too long. They stay until the broker has confirmed them.
-- $1 stream, $2 seconds parked, $3 how many at most
SELECT digest, message
FROM billing_parked
WHERE stream = $1 AND parked_at < now() - make_interval(secs => $2)
ORDER BY parked_at
LIMIT $3
FOR UPDATE SKIP LOCKED
