"""``make chaos`` and ``make outage``: break everything, then count every event and cent."""
