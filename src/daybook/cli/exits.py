"""The exit codes of all commands; README.md has them as a table."""

from enum import IntEnum


class Exit(IntEnum):
    """The end of a command. Typer itself ends a command that is called wrongly with 2."""

    DONE = 0
    FAILED = 1
    """Something could not be done, or `daybook verify` found a difference."""
    FORCED = 3
    """The service did not stop in time and was ended by force."""
    REJECTED = 4
    """All is imported, and more than a tenth of a file's rows are rejected."""
    INTERRUPTED = 130
    """Ctrl-C."""
    TERMINATED = 143
    """SIGTERM."""
