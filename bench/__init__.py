"""Load, measurements and faults on a real broker and a real database; none of it is deployed."""
