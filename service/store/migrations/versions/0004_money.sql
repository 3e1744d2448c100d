-- A refund of a message: noted when its failure is, booked when it is due and its account is
-- there, reversed where the message is delivered after all. The key is what makes it one.
CREATE TABLE billing_refund (
    message_id         text PRIMARY KEY,
    cause              text NOT NULL,
    noted_at           timestamptz NOT NULL DEFAULT now(),
    due_at             timestamptz NOT NULL,
    booked_at          timestamptz,
    account_id         uuid,
    amount             numeric(18, 6) CHECK (amount > 0),
    currency           char(3),
    ledger_id          uuid UNIQUE,
    reversed_at        timestamptz,
    reversal_ledger_id uuid UNIQUE
);
CREATE INDEX billing_refund_due_at_idx ON billing_refund (due_at) WHERE booked_at IS NULL;

-- Charge mode debit: what was taken for a charge, and the ledger entry that says so.
ALTER TABLE billing_event
    ADD COLUMN debited   numeric(18, 6),
    ADD COLUMN ledger_id uuid;
-- Charges that are not debited here, all of them in charge mode confirm, do not pay for it.
CREATE UNIQUE INDEX billing_event_ledger_id_key ON billing_event (ledger_id)
    WHERE ledger_id IS NOT NULL;

-- What an account had before the first entry of the ledger that is compared with its balance.
CREATE TABLE billing_opening (
    account_id  uuid PRIMARY KEY,
    balance     numeric(18, 6) NOT NULL,
    recorded_at timestamptz NOT NULL DEFAULT now()
);

-- What the CDR's account has been given back; null where nothing was, or it was taken back.
ALTER TABLE sms_cdr ADD COLUMN IF NOT EXISTS refunded_amount numeric(18, 6);
