-- Where COPY puts a batch, under the name that settle_dlrs.sql knows it by.
CREATE TEMPORARY TABLE dlr (
    message_id  text,
    status      text,
    status_rank smallint,
    delivery_at bigint,
    error_code  text,
    dlr_payload jsonb,
    smpp_msgid  text
) ON COMMIT DELETE ROWS
