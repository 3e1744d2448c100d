"""PostgreSQL: one batch, one transaction."""
