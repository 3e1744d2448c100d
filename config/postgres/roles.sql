-- Three roles that may do no more than they must. Run by a superuser (or whoever may create roles
-- and grant on the gateway's tables), with psql, before and after `billing-service migrate`, and
-- again after each later migration; it may be repeated at any time.
--
--   psql "$ADMIN_URL" -v ON_ERROR_STOP=1 -v gateway_owner=jasmin \
--        -v migrator_password=... -v service_password=... -v reader_password=... \
--        -f config/postgres/roles.sql
--
-- gateway_owner is the role that owns the gateway's tables; leave it out where there are none yet.
-- With -v capture=on as well the service may write CDRs, as capture.enabled needs.

\set ON_ERROR_STOP on
BEGIN;

-- billing_migrator: `billing-service migrate`. Owns what it creates, and may add columns to the
-- gateway's tables because it is a member of their owner.
-- billing_service: `billing-service run`, and all other commands but migrate.
-- billing_reader: people and `billing-service reconcile`, which only adds to billing_opening; no
-- phone numbers, no message texts.
SELECT format('CREATE ROLE %I', role)
FROM unnest(ARRAY['billing_migrator', 'billing_service', 'billing_reader']) AS role
WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = role)
\gexec
-- PostgreSQL 13 would keep them as MD5, which a pg_hba.conf with scram-sha-256 does not let in.
SET LOCAL password_encryption = 'scram-sha-256';
ALTER ROLE billing_migrator LOGIN PASSWORD :'migrator_password';
ALTER ROLE billing_service LOGIN PASSWORD :'service_password';
ALTER ROLE billing_reader LOGIN PASSWORD :'reader_password';
-- As the service itself asks for; behind a PgBouncer it cannot.
ALTER ROLE billing_service SET jit = off;
ALTER ROLE billing_reader SET default_transaction_read_only = on;

\if :{?gateway_owner}
GRANT :"gateway_owner" TO billing_migrator;
\endif
GRANT CONNECT ON DATABASE :"DBNAME" TO billing_migrator, billing_service, billing_reader;
GRANT USAGE ON SCHEMA public TO billing_migrator, billing_service, billing_reader;
GRANT CREATE ON SCHEMA public TO billing_migrator;

-- The tables of the service itself, those to come included.
ALTER DEFAULT PRIVILEGES FOR ROLE billing_migrator IN SCHEMA public
    GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO billing_service;
SELECT format('GRANT SELECT, INSERT, UPDATE, DELETE ON public.%I TO billing_service', tablename)
FROM pg_tables
WHERE schemaname = 'public' AND starts_with(tablename, 'billing_')
\gexec
-- All but what messages say.
SELECT format('GRANT SELECT (%I) ON public.%I TO billing_reader', attname, tablename)
FROM pg_tables
JOIN pg_attribute ON attrelid = to_regclass('public.' || tablename)
    AND attnum > 0 AND NOT attisdropped
WHERE schemaname = 'public' AND starts_with(tablename, 'billing_')
  AND (tablename, attname) NOT IN (
      ('billing_receipt_log', 'details'), ('billing_parked', 'message'),
      ('billing_submission', 'text')
  )
\gexec
SELECT 'GRANT INSERT ON public.billing_opening TO billing_reader'
WHERE to_regclass('public.billing_opening') IS NOT NULL
\gexec
SELECT 'REVOKE INSERT, UPDATE, DELETE ON public.billing_schema_version FROM billing_service'
WHERE to_regclass('public.billing_schema_version') IS NOT NULL
\gexec

-- The gateway's tables: by column, and nothing that is not listed. Where the migrator has created
-- them, the default privileges above have given too much.
SELECT format('REVOKE ALL ON public.%I FROM billing_service, billing_reader', tablename)
FROM pg_tables
WHERE schemaname = 'public'
  AND tablename IN ('accounts', 'account_balances', 'balance_ledger', 'sms_cdr')
\gexec
SELECT format('GRANT %s (%I) ON public.%I TO %I', privilege, attname, tablename, role)
FROM (VALUES
    ('billing_service', 'SELECT', 'accounts', 'id jasmin_uid'),
    ('billing_service', 'SELECT', 'account_balances', 'account_id balance currency'),
    ('billing_service', 'UPDATE', 'account_balances', 'balance updated_at'),
    ('billing_service', 'SELECT', 'balance_ledger',
        'id account_id amount currency direction reason reference created_at'),
    ('billing_service', 'INSERT', 'balance_ledger',
        'id account_id amount currency direction reason reference created_at'),
    ('billing_service', 'SELECT', 'sms_cdr',
        'message_id account_id connector_id status status_rank parts price currency delivery_at '
        'error_code dlr_payload smpp_msgid created_at finalized_at confirmed_amount '
        'refunded_amount'),
    ('billing_service', 'UPDATE', 'sms_cdr',
        'status status_rank delivery_at error_code dlr_payload smpp_msgid finalized_at '
        'confirmed_amount refunded_amount'),
    ('billing_reader', 'SELECT', 'accounts', 'id name type status currency jasmin_uid'),
    ('billing_reader', 'SELECT', 'account_balances',
        'account_id balance credit_limit currency updated_at'),
    ('billing_reader', 'SELECT', 'balance_ledger',
        'id account_id amount currency direction reason reference created_at'),
    ('billing_reader', 'SELECT', 'sms_cdr',
        'id message_id account_id connector_id status status_rank parts price currency submit_at '
        'delivery_at error_code smpp_msgid created_at finalized_at confirmed_amount '
        'refunded_amount')
) AS granted (role, privilege, tablename, columns)
JOIN pg_attribute ON attrelid = to_regclass('public.' || tablename)
    AND attname = ANY (string_to_array(columns, ' ')) AND NOT attisdropped
\gexec

\if :{?capture}
SELECT format('GRANT %s (%I) ON public.%I TO billing_service', privilege, attname, tablename)
FROM (VALUES
    ('SELECT', 'accounts', 'currency'),
    ('INSERT', 'sms_cdr',
        'id message_id account_id connector_id msisdn sender status status_rank parts price '
        'currency submit_at created_at finalized_at confirmed_amount')
) AS granted (privilege, tablename, columns)
JOIN pg_attribute ON attrelid = to_regclass('public.' || tablename)
    AND attname = ANY (string_to_array(columns, ' ')) AND NOT attisdropped
\gexec
\endif

COMMIT;
