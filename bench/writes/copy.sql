-- Where COPY puts a batch, under the name that the rest of settle_dlrs.sql knows it by.
CREATE TEMPORARY TABLE dlr (
    message_id  text,
    status      text,
    status_rank smallint,
    delivery_at timestamptz,
    error_code  text,
    dlr_payload jsonb,
    smpp_msgid  text,
    ord         bigint
) ON COMMIT DELETE ROWS
