-- The account of Jasmin's user `demo`, whose uid there is also `demo`.
INSERT INTO accounts (name, type, status, currency, jasmin_uid)
VALUES ('demo', 'customer', 'active', 'EUR', 'demo')
ON CONFLICT (jasmin_uid) DO NOTHING;

INSERT INTO account_balances (account_id, balance, currency)
SELECT id, 10000, 'EUR' FROM accounts WHERE jasmin_uid = 'demo'
ON CONFLICT (account_id) DO NOTHING;
