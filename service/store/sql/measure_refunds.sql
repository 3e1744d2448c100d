-- How many refunds wait to be booked, and for how many seconds the oldest has been.
SELECT
    count(*) AS waiting,
    coalesce(extract(epoch FROM now() - min(noted_at)), 0)::float8 AS oldest
FROM billing_refund
WHERE booked_at IS NULL
