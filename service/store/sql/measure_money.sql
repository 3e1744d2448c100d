-- What was compared.
SELECT
    (SELECT count(*) FROM sms_cdr) AS cdrs,
    (SELECT count(*) FROM account_balances) AS balances,
    (SELECT count(*) FROM balance_ledger) AS ledger_entries,
    (SELECT count(*) FROM billing_event) AS charges,
    (SELECT count(*) FROM billing_event WHERE confirmed) AS confirmed,
    (SELECT count(*) FROM billing_event WHERE ledger_id IS NOT NULL) AS debits,
    (SELECT count(*) FROM billing_refund WHERE booked_at IS NOT NULL) AS refunds,
    (SELECT count(*) FROM billing_refund WHERE reversed_at IS NOT NULL) AS reversals,
    (SELECT count(*) FROM billing_refund WHERE booked_at IS NULL) AS refunds_waiting,
    (SELECT count(*) FROM billing_parked) AS events_parked
