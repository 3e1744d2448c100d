-- Check constraints of the gateway's tables that are deferred at each statement, whose fault an error
-- is then; at COMMIT it would be nobody's.
SET CONSTRAINTS ALL IMMEDIATE
