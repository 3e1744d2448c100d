"""``billing-service dlq``: looks after dead letters."""
