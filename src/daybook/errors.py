"""The errors that Daybook raises on purpose, with the status that each has as an HTTP answer.

* DaybookError: base of all; 500 unless the tree names another status
    - ConfigurationError: a setting, an argument or a store does not let the process start or go on
    - InvalidRangeError: a request's range of days ends before it begins; 400
    - UnknownSourceError: no source has the id in a request; 404
    - StoreUnavailableError: Redis or the archive does not answer; the caller tries again; 503
        + RedisUnavailableError: Redis does not answer or cannot write
        + RecoveringError: Redis answers, but what is needed is not restored or not archived yet
        + ForeignKeyError: another program wrote a value of another type under a key of Daybook in Redis
    - BusyError: too many answers are in the making, or one takes too long; 503
    - SourceError: a file cannot be imported as it is
    - ReversalError: a source cannot be reverted or replaced as it is; 409
    - NotHeldError: a source that is to be released or dropped is not held; 409
    - LaneLostError: another process took the lane over, or Redis went back in time
    - FencedError: a later dumper opened the archive
    - IntegrityError: a store holds a state that no correct history leads to
        + DamagedBucketError: another program wrote to a bucket in Redis

Every message is fit to show to a user.
"""


class DaybookError(Exception):
    """Base of every error that Daybook raises on purpose."""

    status = 500
    """Status of the HTTP answer."""


class ConfigurationError(DaybookError):
    """The process must not start or must not go on. The message is one line for the person who started it."""


class InvalidRangeError(DaybookError):
    """The range of days in a request ends before it begins."""

    status = 400


class UnknownSourceError(DaybookError):
    """No source has the id in a request."""

    status = 404


class StoreUnavailableError(DaybookError):
    """Redis or the archive does not answer. Nothing is lost: the caller tries again."""

    status = 503


class RedisUnavailableError(StoreUnavailableError):
    """Redis does not answer or cannot write. It may have restarted: check what it holds before going on."""


class RecoveringError(StoreUnavailableError):
    """Redis answers, but what is needed is not restored or not archived yet."""


class ForeignKeyError(StoreUnavailableError):
    """Another program wrote a value of another type under a key in Redis. Work goes on once somebody puts it right."""

    def __init__(self, message: str, key: str = "") -> None:
        """`key`: its name; empty when it is not known."""
        super().__init__(message)
        self.key = key


class BusyError(DaybookError):
    """Too many answers are in the making, or one takes too long."""

    status = 503


class SourceError(DaybookError):
    """A file cannot be imported as it is. The message names the file and what is wrong with it."""


class ReversalError(DaybookError):
    """A source cannot be reverted or replaced as it is. The message says why and what to do; nothing has changed."""

    status = 409


class NotHeldError(DaybookError):
    """A source that is to be released or dropped is not held, or no longer."""

    status = 409


class LaneLostError(DaybookError):
    """Another process took the lane over, or Redis went back in time: acquire the lane again before going on."""


class FencedError(DaybookError):
    """A later dumper opened the archive: this one may no longer write to it."""


class IntegrityError(DaybookError):
    """A store holds a state that no correct history leads to. It is raised rather than answering with a wrong total."""


class DamagedBucketError(IntegrityError):
    """Another program wrote to a bucket in Redis. Work on it goes on once somebody puts it right."""

    def __init__(self, message: str, bucket: tuple[str, str]) -> None:
        """`bucket`: its day and type."""
        super().__init__(message)
        self.bucket = bucket
