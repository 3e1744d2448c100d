-- What settle_dlrs.sql takes its batch from, but with an array for each column.
unnest(
        $1::text[], $2::text[], $3::smallint[], $4::bigint[], $5::text[], $6::text[], $7::text[]
    ) AS dlr (
        message_id, status, status_rank, delivery_at, error_code, dlr_payload, smpp_msgid
    )
