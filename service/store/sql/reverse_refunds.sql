-- Take refunds back, each once, of messages that were delivered after all.
-- $1 message_id
WITH reversed AS (
    UPDATE billing_refund
    SET reversed_at = now(), reversal_ledger_id = gen_random_uuid()
    WHERE message_id = ANY ($1::text[]) AND booked_at IS NOT NULL AND reversed_at IS NULL
    RETURNING *
),
marked AS (
    UPDATE sms_cdr c SET refunded_amount = NULL
    FROM reversed
    WHERE c.message_id = reversed.message_id
)
SELECT
    reversal_ledger_id AS ledger_id, account_id, amount, currency, message_id AS reference, cause
FROM reversed
