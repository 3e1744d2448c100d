-- These were taken and had to stay: let others come first.
-- $1 digest
UPDATE billing_parked SET tried_at = now() WHERE digest = ANY ($1::bytea[])
