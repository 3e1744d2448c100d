-- Write the CDRs of submissions, each once: its id follows from its message id, so that two workers
-- at once make one row, and where anybody has written a CDR of the message already, it stays alone.
-- In the order of message ids, so that workers wait for each other in one order.
-- $1 message_id, $2 id, $3 account_id, $4 connector_id, $5 msisdn, $6 sender, $7 parts, $8 price,
-- $9 submit_at, $10 charged: at once, $11 text; each a text as store/columns.py joins it
-- $12 debits: whether this service takes what is charged at once
-- Returns the messages whose CDRs are new.
WITH submitted AS (
    SELECT *
    FROM unnest(
        string_to_array($1, E'\x1f', E'\x1e'),
        string_to_array($2, E'\x1f', E'\x1e')::uuid[],
        string_to_array($3, E'\x1f', E'\x1e')::uuid[],
        string_to_array($4, E'\x1f', E'\x1e'),
        string_to_array($5, E'\x1f', E'\x1e'),
        string_to_array($6, E'\x1f', E'\x1e'),
        string_to_array($7, E'\x1f', E'\x1e')::int[],
        string_to_array($8, E'\x1f', E'\x1e')::numeric[],
        string_to_array($9, E'\x1f', E'\x1e')::timestamptz[],
        string_to_array($10, E'\x1f', E'\x1e')::numeric[],
        string_to_array($11, E'\x1f', E'\x1e')
    ) AS s (
        message_id, id, account_id, connector_id, msisdn, sender, parts, price, submit_at, charged,
        text
    )
),
written AS (
    INSERT INTO sms_cdr (
        id, message_id, account_id, connector_id, msisdn, sender, status, status_rank, parts,
        price, currency, submit_at, created_at, finalized_at, confirmed_amount
    )
    SELECT
        s.id, s.message_id, s.account_id, s.connector_id, s.msisdn, s.sender, 'queued', 0, s.parts,
        s.price, a.currency, s.submit_at, now(),
        CASE WHEN $12 AND s.charged > 0 THEN now() END,
        CASE WHEN $12 AND s.charged > 0 THEN s.charged END
    FROM submitted s
    LEFT JOIN accounts a ON a.id = s.account_id
    WHERE NOT EXISTS (SELECT FROM sms_cdr c WHERE c.message_id = s.message_id)
    ORDER BY s.message_id
    ON CONFLICT DO NOTHING
    RETURNING message_id
),
kept AS (
    INSERT INTO billing_submission (message_id, charged, text)
    SELECT s.message_id, s.charged, s.text
    FROM written
    JOIN submitted s USING (message_id)
    ORDER BY s.message_id
    ON CONFLICT (message_id) DO NOTHING
)
SELECT message_id FROM written
