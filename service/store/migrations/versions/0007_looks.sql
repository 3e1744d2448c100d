-- A receipt that matches nothing is looked at part_grace after look_from. What is parked already
-- begins anew. Instead of part_checked, which workers of the version before still write.
ALTER TABLE billing_parked ADD COLUMN look_from timestamptz NOT NULL DEFAULT now();
CREATE INDEX billing_parked_look_from_idx ON billing_parked (look_from)
    WHERE operator_ids IS NOT NULL;
