"""``billing-service doctor``: finds what keeps events from being settled, and says what to do."""
