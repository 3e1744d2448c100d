-- Book refunds that have been noted and not been booked.
-- $1 message_id, $2 account_id, $3 amount, $4 currency
WITH booked AS (
    UPDATE billing_refund r
    SET booked_at = now(),
        account_id = due.account_id,
        amount = due.amount,
        currency = due.currency,
        ledger_id = gen_random_uuid()
    FROM unnest($1::text[], $2::uuid[], $3::numeric[], $4::text[])
        AS due (message_id, account_id, amount, currency)
    WHERE r.message_id = due.message_id AND r.booked_at IS NULL
    RETURNING r.*
),
marked AS (
    UPDATE sms_cdr c SET refunded_amount = booked.amount
    FROM booked
    WHERE c.message_id = booked.message_id
)
SELECT ledger_id, account_id, amount, currency, message_id AS reference, cause FROM booked
