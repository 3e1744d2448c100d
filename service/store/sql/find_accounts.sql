-- Find accounts by their UUID or by their uid in Jasmin.
-- $1 uid as the event names it, $2 the same as a UUID where it is one
SELECT b.uid, coalesce(by_id.id, by_uid.id) AS account_id
FROM unnest($1::text[], $2::uuid[]) AS b (uid, id)
LEFT JOIN accounts by_id ON by_id.id = b.id
LEFT JOIN accounts by_uid ON by_uid.jasmin_uid = b.uid
WHERE coalesce(by_id.id, by_uid.id) IS NOT NULL
