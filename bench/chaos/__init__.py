"""``make chaos`` and ``make outage``: break everything at random, then count events and money."""
