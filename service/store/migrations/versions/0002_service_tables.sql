-- The tables of this service alone.

-- The rank of a row that was written before status_rank was there. A failure whose cause is not
-- known counts as final, so that nothing weaker replaces it. Its body is a text, as PostgreSQL 13
-- knows no other.
CREATE FUNCTION billing_status_rank(status text) RETURNS smallint
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
    SELECT CASE status
        WHEN 'delivered' THEN 6
        WHEN 'failed' THEN 5
        WHEN 'expired' THEN 5
        WHEN 'rejected' THEN 5
        WHEN 'pending' THEN 3
        WHEN 'submitted' THEN 2
        ELSE 0
    END::smallint
$$;

-- Every charge once, under its bill id. The amount is exact, as the gateway wrote it.
CREATE TABLE billing_event (
    bid          text PRIMARY KEY,
    account_id   uuid NOT NULL,
    message_id   text,
    connector_id text,
    status       text NOT NULL,
    status_rank  smallint NOT NULL,
    amount       numeric NOT NULL CHECK (amount >= 0),
    confirmed    boolean NOT NULL,
    received_at  timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX billing_event_message_id_idx ON billing_event (message_id);

-- Which message an operator's id belongs to. seq tells the newest of several; part marks an id
-- of a long message that Jasmin did not name.
CREATE TABLE billing_link (
    smpp_msgid text NOT NULL,
    message_id text NOT NULL,
    part       boolean NOT NULL DEFAULT false,
    seq        bigint GENERATED ALWAYS AS IDENTITY,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (smpp_msgid, message_id)
);
CREATE INDEX billing_link_created_at_idx ON billing_link USING brin (created_at);

-- Events that came before what they belong to. The digest of the message is the key: the same
-- message delivered again is parked once.
CREATE TABLE billing_parked (
    digest       bytea PRIMARY KEY,
    stream       text NOT NULL,
    message_id   text,
    operator_ids text[],
    guessed_ids  text[],
    uid          text,
    account_id   uuid,
    message      json NOT NULL,
    parked_at    timestamptz NOT NULL DEFAULT now(),
    tried_at     timestamptz,
    part_checked boolean NOT NULL DEFAULT false
);
CREATE INDEX billing_parked_parked_at_idx ON billing_parked (parked_at, stream);

-- Receipts as they came, redelivered ones included.
CREATE TABLE billing_receipt_log (
    received_at  timestamptz NOT NULL,
    message_id   text,
    smpp_msgid   text,
    connector_id text,
    status       text NOT NULL,
    error_code   text,
    done_at      timestamptz,
    details      jsonb,
    redelivered  boolean NOT NULL
);
CREATE INDEX billing_receipt_log_message_id_idx ON billing_receipt_log (message_id)
    WHERE message_id IS NOT NULL;
CREATE INDEX billing_receipt_log_smpp_msgid_idx ON billing_receipt_log (smpp_msgid)
    WHERE message_id IS NULL;
CREATE INDEX billing_receipt_log_received_at_idx ON billing_receipt_log USING brin (received_at);
