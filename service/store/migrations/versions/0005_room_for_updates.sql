-- For pages to come; none is rewritten.
ALTER TABLE sms_cdr SET (fillfactor = 50);
