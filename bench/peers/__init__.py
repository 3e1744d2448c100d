"""The same work done by others, to compare with."""
