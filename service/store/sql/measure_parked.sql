-- How many events are parked, and for how many seconds the oldest has been.
SELECT
    stream,
    count(*) AS parked,
    greatest(0, extract(epoch FROM now() - min(parked_at)))::float8 AS oldest
FROM billing_parked
GROUP BY stream
