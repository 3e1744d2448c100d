-- Which indexes begin with the CDR's message id, and which of them finds every row?
SELECT
    i.indexrelid::regclass::text AS name,
    i.indisvalid AND i.indpred IS NULL AS usable
FROM pg_index i
JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[0]
WHERE i.indrelid = 'sms_cdr'::regclass AND a.attname = 'message_id'
