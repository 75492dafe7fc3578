"""The errors that the lane's parts wait out: somebody puts a store right, and the work goes on."""

from daybook.errors import DamagedBucketError, ForeignKeyError, StoreUnavailableError

WAITED_OUT: tuple[type[Exception], ...] = (StoreUnavailableError, DamagedBucketError)


def obstacle(error: Exception) -> str:
    """Return the thing that has to be put right, for a log line whose reason is the error itself."""
    match error:
        case DamagedBucketError():
            return "a damaged bucket"
        case ForeignKeyError():
            return "a key that another program wrote"
        case _:
            return "the archive"
