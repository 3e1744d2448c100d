-- The tables that the gateway writes. Where they exist already they are left as they are found,
-- and only columns of our own are added.

CREATE TABLE IF NOT EXISTS accounts (
    id       uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    name     text,
    type     text,
    status   text,
    currency char(3)
);

CREATE TABLE IF NOT EXISTS account_balances (
    account_id   uuid PRIMARY KEY,
    balance      numeric(18, 6) NOT NULL DEFAULT 0,
    credit_limit numeric(18, 6) NOT NULL DEFAULT 0,
    currency     char(3),
    updated_at   timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE IF NOT EXISTS balance_ledger (
    id         uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    account_id uuid NOT NULL,
    amount     numeric(18, 6) NOT NULL CHECK (amount > 0),
    currency   char(3),
    direction  text NOT NULL CHECK (direction IN ('debit', 'credit')),
    reason     text,
    reference  text,
    created_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE IF NOT EXISTS sms_cdr (
    id           uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    message_id   text,
    account_id   uuid,
    connector_id text,
    msisdn       text,
    sender       text,
    status       text NOT NULL DEFAULT 'queued',
    parts        int NOT NULL DEFAULT 1,
    price        numeric(18, 6),
    currency     char(3),
    submit_at    timestamptz,
    delivery_at  timestamptz,
    error_code   text,
    dlr_payload  jsonb,
    created_at   timestamptz NOT NULL DEFAULT now()
);

-- The account's uid in Jasmin, which is all that a native bill names it by.
ALTER TABLE accounts ADD COLUMN IF NOT EXISTS jasmin_uid text;
CREATE UNIQUE INDEX IF NOT EXISTS accounts_jasmin_uid_key ON accounts (jasmin_uid);

ALTER TABLE sms_cdr
    ADD COLUMN IF NOT EXISTS status_rank      smallint,
    ADD COLUMN IF NOT EXISTS smpp_msgid       text,
    ADD COLUMN IF NOT EXISTS finalized_at     timestamptz,
    ADD COLUMN IF NOT EXISTS confirmed_amount numeric(18, 6);

-- Set after the column was added, so that rows found here keep NULL and are ranked by their
-- status, without rewriting the table.
ALTER TABLE sms_cdr ALTER COLUMN status_rank SET DEFAULT 0;
