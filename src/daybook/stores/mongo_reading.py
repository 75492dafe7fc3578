"""The part of the archive in MongoDB that needs no fence: its answers, and the notes on corrections."""

import asyncio
from collections.abc import AsyncIterator, Collection, Iterable, Sequence

from bson import Int64
from pymongo import AsyncMongoClient
from pymongo.asynchronous.collection import AsyncCollection
from pymongo.asynchronous.database import AsyncDatabase

from daybook.domain.bucket import Bucket, HeldBucket
from daybook.domain.reject import Correction, Reject
from daybook.domain.restatement import Restatement
from daybook.errors import StoreUnavailableError
from daybook.failpoints import hit
from daybook.stores import mongo_schema as schema
from daybook.stores.archive import ArchivedSource, ContributionRow
from daybook.stores.mongo_client import Document, PacedWrites, connect, safe_database, translated
from daybook.stores.mongo_patience import Patience

_DAYS_PER_QUERY = 1000
_BUCKETS_PER_REPLY = 100
"""The driver decodes a whole reply on the event loop."""
_ROWS_PER_REPLY = 16
_LINES_PER_QUERY = 1000
_CORRECT_TRIES = 10


class MongoReading:
    """One database, for reading; `MongoArchive` adds the writes under the fence."""

    def __init__(self, uri: str, database: str, timeout_seconds: float) -> None:
        """Raises ConfigurationError for a bad address. Nothing is connected yet."""
        self._uri = uri
        self._database_name = database
        self._timeout_ms = int(timeout_seconds * 1000)
        self._client: AsyncMongoClient[Document] | None = connect(uri, self._timeout_ms)
        self._writes = PacedWrites()
        self._patience = Patience()
        self._one_write_at_a_time = asyncio.Lock()

    async def load(self, buckets: Iterable[Bucket]) -> dict[Bucket, HeldBucket]:
        wanted = set(buckets)
        days = sorted({bucket.day for bucket in wanted})
        found: dict[Bucket, HeldBucket] = {}
        with translated():
            for first in range(0, len(days), _DAYS_PER_QUERY):
                query = {"Date": {"$in": days[first : first + _DAYS_PER_QUERY]}}
                async for document in self._collection(schema.AGGREGATES).find(query):
                    if (bucket := schema.bucket_of(document)) in wanted:
                        found[bucket] = schema.held_bucket(document)
        hit("mongo.load.done")
        return found

    async def days(self, first_day: str, last_day: str) -> AsyncIterator[tuple[Bucket, HeldBucket]]:
        query = {"Date": {"$gte": first_day, "$lte": last_day}}
        with translated():
            async with self._collection(schema.AGGREGATES).find(query, batch_size=_BUCKETS_PER_REPLY) as cursor:
                async for document in cursor.sort([("Date", 1), ("Type", 1)]):
                    yield schema.bucket_of(document), schema.held_bucket(document)

    async def buckets(self) -> AsyncIterator[Bucket]:
        names = {"_id": 0, "Date": 1, "Type": 1}
        with translated():
            async for document in self._collection(schema.AGGREGATES).find({}, names).sort([("Date", 1), ("Type", 1)]):
                yield schema.bucket_of(document)

    async def sources(self) -> list[ArchivedSource]:
        with translated():
            documents = await self._collection(schema.SOURCES).find().to_list()
        return [schema.archived_source(document) for document in documents]

    async def rejects(self, source_id: str, after_line: int, number: int) -> list[Reject]:
        query = {"_id.source": source_id, "_id.line": {"$gt": Int64(after_line)}}
        documents = await self._first_documents(schema.REJECTS, query, "_id.line", number)
        return [schema.reject_of(document) for document in documents]

    async def rejected(self, source_id: str, lines: Collection[int]) -> set[int]:
        found = await self._documents_of_lines(schema.REJECTS, source_id, lines)
        return {schema.reject_of(document).line for document in found}

    async def restatements(self, after: str, before: str, number: int) -> list[Restatement]:
        documents = await self._first_documents(
            schema.RESTATEMENTS, {"_id": {"$gt": after, "$lt": before}}, "_id", number
        )
        return [schema.restatement_of(document) for document in documents]

    async def contributions(
        self, first_period: str, last_period: str, sources: Collection[str] | None = None
    ) -> AsyncIterator[ContributionRow]:
        query: Document = {"_id.period": {"$gte": first_period, "$lte": last_period}}
        if sources is not None:
            query["_id.source"] = {"$in": list(sources)}
        with translated():
            async with self._collection(schema.CONTRIBUTIONS).find(query, batch_size=_ROWS_PER_REPLY) as cursor:
                async for document in cursor.sort([("_id.period", 1), ("_id.source", 1)]):
                    yield schema.contribution_of(document)

    async def _newest_contribution(self) -> int:
        """Return the index after the last contribution that is stored; 0 without any."""
        newest = await self._collection(schema.CONTRIBUTIONS).find_one(sort=[("Through", -1)])
        return int(newest["Through"]) if newest else 0

    async def correct(self, wanted: Sequence[Correction], void: Collection[Correction] = ()) -> list[Correction]:
        with translated():
            for each in void:
                await self._collection(schema.CORRECTIONS).delete_one(schema.correction_document(each))
        standing: dict[tuple[str, int], Correction] = {}
        for _ in range(_CORRECT_TRIES):
            standing |= await self._inserted([each for each in wanted if (each.source, each.line) not in standing])
            if all((each.source, each.line) in standing for each in wanted):
                return [standing[each.source, each.line] for each in wanted]
        raise StoreUnavailableError("MongoDB: other importers keep deleting corrections of the same rows")

    async def _inserted(self, wanted: Sequence[Correction]) -> dict[tuple[str, int], Correction]:
        """Insert corrections of rows that have none; return the standing ones by source and line.

        A row is missing from the answer when another importer deleted the void correction that stood for it between the
        insert and the read.
        """
        with translated():
            documents = [schema.correction_document(each) for each in wanted]
            await self._writes.insert(self._collection(schema.CORRECTIONS), documents)
        hit("mongo.correct.done")
        found: dict[tuple[str, int], Correction] = {}
        for source in {each.source for each in wanted}:
            standing = await self.corrections(source, [each.line for each in wanted if each.source == source])
            found |= {(source, line): correction for line, correction in standing.items()}
        return found

    async def corrections(self, source_id: str, lines: Sequence[int]) -> dict[int, Correction]:
        found = map(schema.correction_of, await self._documents_of_lines(schema.CORRECTIONS, source_id, lines))
        return {correction.line: correction for correction in found}

    async def _documents_of_lines(self, collection: str, source_id: str, lines: Collection[int]) -> list[Document]:
        """Return the documents of the wanted lines of a source."""
        wanted, found = [Int64(line) for line in lines], []
        with translated():
            for first in range(0, len(wanted), _LINES_PER_QUERY):
                query = {"_id.source": source_id, "_id.line": {"$in": wanted[first : first + _LINES_PER_QUERY]}}
                found += await self._collection(collection).find(query).to_list()
        return found

    async def _first_documents(self, collection: str, query: Document, key: str, number: int) -> list[Document]:
        """Return up to `number` documents that match, in order of `key`."""
        if number < 1:  # MongoDB takes a limit of 0 as no limit
            return []
        async with self._patience.ask():
            return await self._collection(collection).find(query).sort(key, 1).limit(number).to_list()

    async def close(self) -> None:
        async with self._one_write_at_a_time:
            client, self._client = self._client, None
            if client is not None:
                await client.close()

    @property
    def _database(self) -> AsyncDatabase[Document]:
        if self._client is None:
            self._client = connect(self._uri, self._timeout_ms)
        return safe_database(self._client, self._database_name, self._timeout_ms)

    def _collection(self, name: str) -> AsyncCollection[Document]:
        return self._database[name]
