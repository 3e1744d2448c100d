-- Remember what accounts had before the first entry of the ledger, where it is not known yet.
INSERT INTO billing_opening (account_id, balance)
SELECT
    b.account_id,
    b.balance - coalesce(sum(CASE l.direction WHEN 'credit' THEN l.amount ELSE -l.amount END), 0)
FROM account_balances b
LEFT JOIN balance_ledger l ON l.account_id = b.account_id
WHERE NOT EXISTS (SELECT FROM billing_opening o WHERE o.account_id = b.account_id)
GROUP BY b.account_id, b.balance
ON CONFLICT (account_id) DO NOTHING
RETURNING account_id
