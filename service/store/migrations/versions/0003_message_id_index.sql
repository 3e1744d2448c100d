-- An attempt that was interrupted leaves an invalid index behind.
DROP INDEX CONCURRENTLY IF EXISTS billing_sms_cdr_message_id_idx;
CREATE INDEX CONCURRENTLY billing_sms_cdr_message_id_idx ON sms_cdr (message_id);
