"""The connection to MongoDB: a client without write retries of its own, guarded upserts, and a reading of errors."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple, TypeVar

from pymongo import AsyncMongoClient, InsertOne, ReadPreference, UpdateOne
from pymongo.asynchronous.collection import AsyncCollection
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.errors import (
    BulkWriteError,
    ConnectionFailure,
    ExecutionTimeout,
    InvalidURI,
    OperationFailure,
    WriteConcernError,
)
from pymongo.errors import ConfigurationError as ClientConfigurationError
from pymongo.read_concern import ReadConcern
from pymongo.write_concern import WriteConcern

from daybook.errors import ConfigurationError, DaybookError, StoreUnavailableError

Document = dict[str, Any]
Item = TypeVar("Item")

_OPERATIONS_PER_REQUEST = 250
_MORE_AFTER_SUCCESS = 2
_DUPLICATE_KEY = 11000
_PASSING_CODES = frozenset(
    {6, 7, 50, 64, 89, 91, 100, 112, 133, 134, 189, 202, 262, 9001}
    | {10058, 10107, 11600, 11601, 11602, 13435, 13436, 14031}
)
"""Codes of errors that pass: network, time limit, shutdown, new primary, write conflict, write concern, disk full."""


class Upsert(NamedTuple):
    """One guarded upsert."""

    filter: Document
    """The document's key, and the condition under which the document may be changed."""
    update: Document


def connect(uri: str, timeout_ms: int) -> AsyncMongoClient[Document]:
    """Return a client that connects with its first command. Raises ConfigurationError for a bad address."""
    try:
        return AsyncMongoClient(
            uri,
            appname="daybook",
            retryWrites=False,
            serverSelectionTimeoutMS=timeout_ms,
            connectTimeoutMS=timeout_ms,
            socketTimeoutMS=timeout_ms,
            waitQueueTimeoutMS=timeout_ms,
        )
    except (InvalidURI, ClientConfigurationError, ValueError, TypeError):
        # The driver's own message may quote a part of the password.
        raise ConfigurationError(
            "MongoDbUri is not a valid MongoDB address; in a user name or password `:`, `/`, `@` and `%` "
            "must be escaped"
        ) from None


def safe_database(client: AsyncMongoClient[Document], name: str, timeout_ms: int) -> AsyncDatabase[Document]:
    """Return the database with safe settings, whatever the URI says.

    An acknowledged write is in the journal of a majority; a read sees the primary's majority-committed data.
    """
    return client.get_database(
        name,
        read_preference=ReadPreference.PRIMARY,
        read_concern=ReadConcern("majority"),
        write_concern=WriteConcern("majority", wtimeout=timeout_ms, j=True),
    )


class PacedWrites:
    """Bulk writes in portions, so that the server answers each in time: after a failure the portions get smaller."""

    def __init__(self) -> None:
        self._per_request = _OPERATIONS_PER_REQUEST

    async def upsert(self, collection: AsyncCollection[Document], upserts: Sequence[Upsert]) -> tuple[int, int]:
        """Write the upserts; return the numbers of documents inserted and updated.

        An upsert whose filter excludes the stored document is refused as a duplicate.
        The same happens to one of two inserts at the same moment, even if it is the newer one.
        A refused upsert is therefore tried once more as an update only.
        """
        inserted = updated = 0
        for some in self._portions(upserts):
            with self._paced():
                new, changed, refused = await _bulk(collection, [UpdateOne(*each, upsert=True) for each in some])
                inserted, updated = inserted + new, updated + changed
                if refused:
                    updated += (await _bulk(collection, [UpdateOne(*some[i]) for i in refused]))[1]
        return inserted, updated

    async def insert(self, collection: AsyncCollection[Document], documents: Sequence[Document]) -> None:
        """Insert the documents whose `_id` is not stored yet."""
        for some in self._portions(documents):
            with self._paced():
                await _bulk(collection, [InsertOne(document) for document in some])

    def _portions(self, items: Sequence[Item]) -> Iterator[Sequence[Item]]:
        first = 0
        while first < len(items):
            some = items[first : first + self._per_request]
            first += len(some)
            yield some

    @contextmanager
    def _paced(self) -> Iterator[None]:
        """Cut the portion size to a quarter when a request fails to connect or times out; else let it grow again."""
        try:
            yield
        except ConnectionFailure:
            self._per_request = max(1, self._per_request // 4)
            raise
        self._per_request = min(_OPERATIONS_PER_REQUEST, self._per_request + _MORE_AFTER_SUCCESS)


async def _bulk(
    collection: AsyncCollection[Document], operations: Sequence[UpdateOne | InsertOne[Document]]
) -> tuple[int, int, list[int]]:
    """Return the numbers of documents inserted and changed, and the indexes of operations refused as duplicates."""
    try:
        result = await collection.bulk_write(operations, ordered=False)
    except BulkWriteError as error:
        details: Any = error.details
        errors = details["writeErrors"]
        if details["writeConcernErrors"] or any(e["code"] != _DUPLICATE_KEY for e in errors):
            raise
        return details["nUpserted"], details["nModified"], [e["index"] for e in errors]
    return result.upserted_count, result.modified_count, []


@contextmanager
def translated(refusal: type[DaybookError] = DaybookError) -> Iterator[None]:
    """Turn an error that passes by itself into StoreUnavailableError, a refusal by the server into `refusal`."""
    try:
        yield
    except ConnectionFailure as error:
        raise StoreUnavailableError(f"MongoDB does not answer: {_reason(error)}") from error
    except OperationFailure as error:
        if _passes(error):
            raise StoreUnavailableError(f"MongoDB does not answer: {_reason(error)}") from error
        raise refusal(f"MongoDB refuses: {_reason(error)}") from error


def _passes(error: OperationFailure) -> bool:
    if isinstance(error, BulkWriteError):
        details: Any = error.details
        codes = {e["code"] for e in details["writeErrors"]} - {_DUPLICATE_KEY}
        return codes <= _PASSING_CODES
    return isinstance(error, ExecutionTimeout | WriteConcernError) or error.code in _PASSING_CODES


def _reason(error: Exception) -> str:
    """Return the error as one short line, with addresses but never the URI."""
    if isinstance(error, BulkWriteError):
        details: Any = error.details
        messages = [e["errmsg"] for e in details["writeErrors"] + details["writeConcernErrors"]]
        return str(messages[0]) if messages else "a bulk write failed"
    text = str(error)
    for tail in (" (configured timeouts", ", Timeout:", ", full error:"):
        text = text.partition(tail)[0]
    return text[:200] or type(error).__name__
