"""The one error of the build: what it does not understand, it refuses by name."""


class BuildRefused(Exception):
    """The build cannot go on; the message says what was found and what to do."""
