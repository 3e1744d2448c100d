-- Of messages whose CDRs this service wrote: what Jasmin charged at once, exact, whatever became of
-- them; and what they said, where that is wanted.
CREATE TABLE billing_submission (
    message_id  text PRIMARY KEY,
    charged     numeric CHECK (charged >= 0),
    text        text,
    captured_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX billing_submission_text_idx ON billing_submission (captured_at) WHERE text IS NOT NULL;
