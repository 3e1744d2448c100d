-- Finalise the CDRs of confirmed charges, and move CDRs up to the status of their best charge.
-- One row a message, in key order, so that two workers lock them in the same order.
-- $1 message_id, $2 status, $3 status_rank, $4 error_code, $5 confirmed: the sum of the charges
-- that were confirmed, null where none was
--
-- Everything is compared with the row c itself: after waiting for another worker's lock,
-- PostgreSQL evaluates these expressions again on the row as that worker left it.
UPDATE sms_cdr c
SET status = CASE
        WHEN coalesce(c.status_rank, billing_status_rank(c.status)) < bill.status_rank
        THEN bill.status ELSE c.status
    END,
    error_code = CASE
        WHEN coalesce(c.status_rank, billing_status_rank(c.status)) < bill.status_rank
        THEN bill.error_code ELSE c.error_code
    END,
    status_rank = greatest(
        coalesce(c.status_rank, billing_status_rank(c.status)), bill.status_rank
    ),
    finalized_at = CASE
        WHEN bill.confirmed IS NULL THEN c.finalized_at
        ELSE coalesce(c.finalized_at, now())
    END,
    confirmed_amount = CASE
        WHEN bill.confirmed IS NULL THEN c.confirmed_amount
        ELSE coalesce(c.confirmed_amount, 0) + bill.confirmed
    END
FROM unnest($1::text[], $2::text[], $3::smallint[], $4::text[], $5::numeric[])
    AS bill (message_id, status, status_rank, error_code, confirmed)
WHERE c.message_id = bill.message_id
  AND (
      bill.confirmed IS NOT NULL
      OR coalesce(c.status_rank, billing_status_rank(c.status)) < bill.status_rank
  )
