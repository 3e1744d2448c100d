"""The one error of this package."""


class StackError(Exception):
    """A server could not be installed, started or asked; the text says what to do about it."""
