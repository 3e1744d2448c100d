-- Write the ledger and move the balances by as much; lock_balances.sql holds them.
-- $1 id, $2 account_id, $3 amount, $4 currency, $5 direction, $6 reason, $7 reference
WITH entries AS (
    SELECT *
    FROM unnest(
        $1::uuid[], $2::uuid[], $3::numeric[], $4::text[], $5::text[], $6::text[], $7::text[]
    ) AS e (id, account_id, amount, currency, direction, reason, reference)
),
posted AS (
    INSERT INTO balance_ledger
        (id, account_id, amount, currency, direction, reason, reference, created_at)
    SELECT id, account_id, amount, currency, direction, reason, reference, now() FROM entries
)
UPDATE account_balances b
SET balance = b.balance + moved.amount, updated_at = now()
FROM (
    SELECT account_id, sum(CASE direction WHEN 'credit' THEN amount ELSE -amount END) AS amount
    FROM entries
    GROUP BY account_id
) AS moved
WHERE b.account_id = moved.account_id
