-- Keep events until what they belong to appears.
-- $1 digest, $2 stream, $3 message_id, $4 operator_ids and $5 guessed_ids joined by U+001F, $6 uid,
-- $7 account_id, $8 message
INSERT INTO billing_parked
    (digest, stream, message_id, operator_ids, guessed_ids, uid, account_id, message)
SELECT
    p.digest, $2, p.message_id, string_to_array(p.operator_ids, E'\x1f'),
    string_to_array(p.guessed_ids, E'\x1f'), p.uid, p.account_id, p.message
FROM unnest(
    $1::bytea[], $3::text[], $4::text[], $5::text[], $6::text[], $7::uuid[], $8::json[]
) AS p (digest, message_id, operator_ids, guessed_ids, uid, account_id, message)
ON CONFLICT (digest) DO NOTHING
