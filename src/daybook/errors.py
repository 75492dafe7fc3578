"""The error tree. A public error has an HTTP status and a message that is fit to show."""


class DaybookError(Exception):
    """Base of every error that Daybook raises on purpose."""

    status = 500


class ConfigurationError(DaybookError):
    """A start that must not go on; the message is one line for the person who started it."""


class InvalidRangeError(DaybookError):
    status = 400


class UnknownSourceError(DaybookError):
    status = 404


class StoreUnavailableError(DaybookError):
    """Redis or the archive does not answer. Nothing is lost; the work is tried again."""

    status = 503


class RedisUnavailableError(StoreUnavailableError):
    """Redis is away or cannot write. It may have been restarted: what it holds must be looked at again."""


class RecoveringError(StoreUnavailableError):
    """Redis answers but does not hold the restored state yet."""


class BusyError(DaybookError):
    """Too many answers are in the making, or one takes too long."""

    status = 503


class SourceError(DaybookError):
    """A file that cannot be imported: names the file and what is wrong with it."""


class LaneLostError(DaybookError):
    """Another owner took the lane over, or Redis went back in time: acquire it again before going on."""


class FencedError(DaybookError):
    """The archive was opened by a later dumper; this one must not write to it any more."""


class IntegrityError(DaybookError):
    """State that no correct history leads to. Stop rather than answer with a wrong cent."""
