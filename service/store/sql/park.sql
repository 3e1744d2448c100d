-- Keep events until what they belong to appears.
-- $1 digest, $2 stream, $3 message_id, $4 operator_ids joined by U+001F, $5 uid, $6 account_id,
-- $7 message
INSERT INTO billing_parked (digest, stream, message_id, operator_ids, uid, account_id, message)
SELECT
    p.digest, $2, p.message_id, string_to_array(p.operator_ids, E'\x1f'), p.uid, p.account_id,
    p.message
FROM unnest($1::bytea[], $3::text[], $4::text[], $5::text[], $6::uuid[], $7::json[])
    AS p (digest, message_id, operator_ids, uid, account_id, message)
ON CONFLICT (digest) DO NOTHING
