-- How many accounts have no uid of Jasmin's?
SELECT count(*) FROM accounts WHERE jasmin_uid IS NULL
