"""The archive in MongoDB, standalone or replica set: a snapshot is a redo record, then guarded upserts.

A standalone server has no transactions. A write therefore takes four steps, and each step may be repeated:

1. Store the snapshot's content as redo documents. No reader looks at them yet.
2. Let the fence document accept them, only under the epoch of the last `open`. From here on the write will happen.
3. Set each bucket, source and row of contributions to its absolute value, unless a newer one is stored. Add the
   rejects and restatements.
4. Set the snapshot's number in the fence document, remove the redo from it, and delete the redo documents.

`open` first raises the epoch, then finishes an accepted write, then deletes the other redo documents.
A command that timed out may still arrive at any later time. Every filter therefore also names what must still be
true then: the epoch, the snapshot's number, the write.
"""

import asyncio
import secrets
from typing import NamedTuple

from bson import Int64
from pymongo.errors import DuplicateKeyError

from daybook.clock import utc_now
from daybook.errors import ConfigurationError, FencedError, IntegrityError, StoreUnavailableError
from daybook.failpoints import hit
from daybook.stores import mongo_schema as schema
from daybook.stores.archive import ArchiveState, Snapshot, Written
from daybook.stores.mongo_client import Document, Upsert, translated
from daybook.stores.mongo_reading import MongoReading

_EPOCH_TRIES = 10
_FENCE_SECONDS = 3.0
"""Longest time that a question about the newest snapshot takes; it comes before each answer from the archive."""


class _Redo(NamedTuple):
    """The redo of one write, as the fence document names it."""

    epoch: int
    """The epoch of the object that wrote it."""
    snapshot: int
    """The snapshot's number."""
    write: str
    """Random text that tells two tries at one snapshot apart."""
    parts: int
    """Number of redo documents."""

    def part_id(self, part: int) -> Document:
        return {
            "epoch": Int64(self.epoch),
            "snapshot": Int64(self.snapshot),
            "write": self.write,
            "part": Int64(part),
        }


class MongoArchive(MongoReading):
    """The archive in one database. The driver retries no write: the caller calls again, which reads the fence first."""

    name = "MongoDB"

    def __init__(
        self,
        uri: str,
        database: str,
        *,
        timeout_seconds: float = 5.0,
        part_bytes: int = schema.PART_BYTES,
    ) -> None:
        """Bound each exchange with the server by `timeout_seconds`; a large snapshot takes several exchanges.

        `part_bytes` is about the size of a redo document. Raises ConfigurationError for a bad address. Nothing is
        connected yet.
        """
        super().__init__(uri, database, timeout_seconds)
        self._part_bytes = part_bytes
        self._epoch = 0

    async def open(self) -> ArchiveState:
        async with self._one_write_at_a_time:
            with translated(refusal=ConfigurationError):
                hit("mongo.open.begun")
                await schema.prepare(self._database)
                hit("mongo.open.prepared")
                self._epoch = await self._raise_epoch()
                hit("mongo.open.raised")
                fence = await self._fence_without_redo()
                hit("mongo.open.redone")
                await self._sweep(fence["snapshot"])
                hit("mongo.open.swept")
                return ArchiveState(fence["archive"], int(fence["snapshot"]), await self._newest_contribution())

    async def check(self) -> None:
        with translated():
            await self._database.command("ping")

    async def newest_snapshot(self, *, briefly: bool = False) -> int:
        async with self._patience.ask_briefly() if briefly else self._patience.ask(_FENCE_SECONDS):
            fence = await self._collection(schema.STATE).find_one({"_id": schema.FENCE})
        if fence is None:
            return 0
        fence = schema.fence_of(fence)
        return int(fence["redo"]["snapshot"] if "redo" in fence else fence["snapshot"])

    async def write(self, snapshot: Snapshot) -> Written:
        """Store a snapshot as `Archive.write` says.

        Also raises IntegrityError when the archive holds other content under the snapshot's number, or when a total
        has more than 34 digits, and DaybookError when a document would exceed MongoDB's 16 MB.
        """
        async with self._one_write_at_a_time:
            with translated():
                fence = await self._fence_without_redo()
                if fence["snapshot"] >= snapshot.number:
                    await self._sweep(fence["snapshot"])
                    return await self._confirm(snapshot)
                hit("mongo.write.begun")
                parts = await asyncio.to_thread(lambda: list(schema.redo_parts(snapshot, self._part_bytes)))
                redo = _Redo(self._epoch, snapshot.number, secrets.token_hex(8), len(parts))
                for number, part in enumerate(parts):
                    await self._collection(schema.REDO).insert_one({"_id": redo.part_id(number), **part})
                    hit("mongo.write.redo")
                await self._accept(redo)
                hit("mongo.write.accepted")
                written = [await self._apply(redo, part) for part in parts]
                await self._finish(redo)
                inserted, updated = map(sum, zip((0, 0), *written, strict=True))
                return Written(inserted, updated, len(snapshot.buckets) - inserted - updated)

    async def _raise_epoch(self) -> int:
        """Raise the epoch by compare-and-set and return it; a late command of an earlier try cannot raise it again."""
        state = self._collection(schema.STATE)
        created = {"archive": secrets.token_hex(16), "epoch": Int64(0), "snapshot": Int64(0)}
        for _ in range(_EPOCH_TRIES):
            try:
                await state.update_one({"_id": schema.FENCE}, {"$setOnInsert": created}, upsert=True)
            except DuplicateKeyError:  # another process creates it at this moment
                continue
            fence = await state.find_one({"_id": schema.FENCE})
            if fence is not None:
                held = {"_id": schema.FENCE, "epoch": schema.fence_of(fence)["epoch"]}
                raised = await state.update_one(held, {"$inc": {"epoch": 1}})
                if raised.matched_count:
                    return int(fence["epoch"]) + 1
        raise StoreUnavailableError("MongoDB: other processes keep opening the archive at the same time")

    async def _fence(self) -> Document:
        """Return the fence document. Raises FencedError when its epoch is not that of this object."""
        fence = await self._collection(schema.STATE).find_one({"_id": schema.FENCE})
        if fence is None or schema.fence_of(fence)["epoch"] != self._epoch:
            raise FencedError("another Daybook opened the archive: this one may no longer write to it")
        return fence

    async def _fence_without_redo(self) -> Document:
        """Return the fence after finishing the accepted write, if any: an earlier opener's, or an interrupted own."""
        fence = await self._fence()
        if "redo" not in fence:
            return fence
        redo = _Redo(**fence["redo"])
        for number in range(redo.parts):
            part = await self._collection(schema.REDO).find_one({"_id": redo.part_id(number)})
            if part is None:
                fence = await self._fence()
                if fence.get("redo", {}).get("write") == redo.write:
                    raise IntegrityError(f"MongoDB lost part {number} of the redo of snapshot {redo.snapshot}")
                return fence
            await self._apply(redo, part)
        await self._finish(redo)
        return await self._fence()

    async def _accept(self, redo: _Redo) -> None:
        """Let the fence accept the redo, unless another redo is accepted or the snapshot's number is not new."""
        accepted = await self._collection(schema.STATE).update_one(
            {
                "_id": schema.FENCE,
                "epoch": self._epoch,
                "snapshot": {"$lt": Int64(redo.snapshot)},
                "redo": {"$exists": False},
            },
            {"$set": {"redo": redo._asdict()}},
        )
        if not accepted.matched_count:
            await self._fence()
            raise StoreUnavailableError("MongoDB: an earlier write has arrived late and must be finished first")

    async def _apply(self, redo: _Redo, part: Document) -> tuple[int, int]:
        """Write one redo document's content; return the numbers of buckets inserted and updated."""
        buckets = [
            Upsert(
                {"Date": item["Date"], "Type": item["Type"], "Version": _absent_or_below(item["Version"])},
                {"$set": {**item, "LastUpdated": utc_now()}},
            )
            for item in part.get("buckets", ())
        ]
        sources = [
            Upsert(
                {"_id": item["_id"], "Snapshot": _absent_or_below(redo.snapshot)},
                {"$set": {**item, "Snapshot": Int64(redo.snapshot)}},
            )
            for item in part.get("sources", ())
        ]
        done = await self._writes.upsert(self._collection(schema.AGGREGATES), buckets)
        hit("mongo.apply.buckets")
        await self._writes.upsert(self._collection(schema.SOURCES), sources)
        hit("mongo.apply.sources")
        await self._writes.insert(self._collection(schema.REJECTS), part.get("rejects", ()))
        hit("mongo.apply.rejects")
        await self._writes.insert(self._collection(schema.RESTATEMENTS), part.get("restatements", ()))
        hit("mongo.apply.restatements")
        contributions = [
            Upsert({"_id": item["_id"], "Through": _absent_or_below(item["Through"])}, {"$set": item})
            for item in part.get("contributions", ())
        ]
        await self._writes.upsert(self._collection(schema.CONTRIBUTIONS), contributions)
        hit("mongo.apply.contributions")
        return done

    async def _finish(self, redo: _Redo) -> None:
        """Set the snapshot's number in the fence, remove the redo from it, and delete the redo documents."""
        finished = await self._collection(schema.STATE).update_one(
            {"_id": schema.FENCE, "epoch": self._epoch, "redo.write": redo.write},
            {"$set": {"snapshot": Int64(redo.snapshot)}, "$unset": {"redo": ""}},
        )
        hit("mongo.finish.fence")
        if not finished.matched_count:
            fence = await self._fence()
            if fence.get("redo", {}).get("write") == redo.write:
                raise StoreUnavailableError("MongoDB: the last change of the fence is not on a majority yet")
            if fence["snapshot"] < redo.snapshot:
                raise IntegrityError(f"MongoDB lost the redo of snapshot {redo.snapshot}")
        await self._sweep(redo.snapshot)
        hit("mongo.finish.swept")

    async def _sweep(self, snapshot: int) -> None:
        """Delete the redo documents that may no longer be accepted: those of earlier epochs, and own old ones."""
        own = {"_id.epoch": self._epoch, "_id.snapshot": {"$lte": snapshot}}
        await self._collection(schema.REDO).delete_many({"$or": [{"_id.epoch": {"$lt": self._epoch}}, own]})

    async def _confirm(self, snapshot: Snapshot) -> Written:
        """Check that the archive holds the content of `snapshot`, whose number it already has.

        If Redis was set back, other content comes under the same number: it must not pass for stored.
        Raises IntegrityError then.
        """
        buckets = await self.load(snapshot.buckets)
        for bucket, state in snapshot.buckets.items():
            held = buckets[bucket].state if bucket in buckets else None
            if held is None or (held.version <= state.version and held != state):
                raise IntegrityError(
                    f"MongoDB holds snapshot {snapshot.number} with other totals of {' '.join(bucket)}"
                )
        sources = {held.source.id: held for held in await self.sources()} if snapshot.sources else {}
        for archived in snapshot.sources:
            known = sources.get(archived.source.id)
            if known is None or (known.revision <= archived.revision and known != archived):
                raise IntegrityError(
                    f"MongoDB holds snapshot {snapshot.number} with another ledger of {archived.source.id}"
                )
        return Written(0, 0, len(snapshot.buckets))


def _absent_or_below(number: int) -> Document:
    """Return the condition "absent or below `number`"; documents of the original system have no version."""
    return {"$not": {"$gte": Int64(number)}}
