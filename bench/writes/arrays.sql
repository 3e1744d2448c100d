-- What settle_dlrs.sql begins with, but with an array for each column.
-- $1 message_id, $2 status, $3 status_rank, $4 delivery_at, $5 error_code, $6 dlr_payload,
-- $7 smpp_msgid
WITH dlr AS MATERIALIZED (
    SELECT *
    FROM unnest(
        $1::text[], $2::text[], $3::smallint[], $4::timestamptz[], $5::text[], $6::jsonb[],
        $7::text[]
    ) WITH ORDINALITY AS d (
        message_id, status, status_rank, delivery_at, error_code, dlr_payload, smpp_msgid, ord
    )
),
