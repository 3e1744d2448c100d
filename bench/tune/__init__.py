"""``python -m bench tune``: which settings to run with."""
