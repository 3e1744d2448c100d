-- Every balance is its opening balance, plus credits, minus debits.
SELECT
    coalesce(b.account_id, l.account_id)::text AS key,
    CASE
        WHEN b.account_id IS NULL THEN format('%s ledger entries of an account without a balance', l.entries)
        ELSE format(
            'balance %s, but opening %s plus credits %s minus debits %s is %s',
            b.balance, o.balance, coalesce(l.credits, 0), coalesce(l.debits, 0),
            o.balance + coalesce(l.credits, 0) - coalesce(l.debits, 0)
        )
    END AS detail
FROM account_balances b
JOIN billing_opening o USING (account_id)
FULL JOIN (
    SELECT
        account_id,
        count(*) AS entries,
        coalesce(sum(amount) FILTER (WHERE direction = 'credit'), 0) AS credits,
        coalesce(sum(amount) FILTER (WHERE direction = 'debit'), 0) AS debits
    FROM balance_ledger
    GROUP BY account_id
) AS l ON l.account_id = b.account_id
WHERE b.account_id IS NULL
   OR b.balance <> o.balance + coalesce(l.credits, 0) - coalesce(l.debits, 0)
