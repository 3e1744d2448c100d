-- Which of these accounts have a balance? Locks them, in key order, for every posting of the
-- transaction at once.
-- $1 account_id
SELECT account_id, currency FROM account_balances WHERE account_id = ANY ($1::uuid[])
ORDER BY account_id
FOR NO KEY UPDATE
