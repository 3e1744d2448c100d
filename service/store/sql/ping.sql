-- Is this a session in which nothing can be written?
SELECT current_setting('transaction_read_only')::boolean
