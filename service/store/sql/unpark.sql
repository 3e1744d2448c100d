-- $1 digest
DELETE FROM billing_parked WHERE digest = ANY ($1::bytea[])
