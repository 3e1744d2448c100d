-- Is this the only sweeper on this database? Held until the transaction ends.
SELECT pg_try_advisory_xact_lock(7305808869231651)
