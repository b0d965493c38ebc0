"""The one kind of error of this package."""


class ApplicationError(Exception):
    """An application can't be run as it is described; the message is one line."""
