"""The schema in MongoDB: collections, validator, indexes, and the form of each document."""

import functools
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from decimal import Context, Decimal, DecimalException
from typing import Any, TypeVar

import bson
import msgspec
from bson import Decimal128, Int64
from pymongo import IndexModel
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.errors import OperationFailure

from daybook.domain.bucket import TYPES, Bucket, BucketState, Cell, HeldBucket
from daybook.domain.money import DECIMALS, UNITS_PER_ONE, format_units, parse_total, units_of
from daybook.domain.reject import Correction, Reject
from daybook.domain.restatement import Restatement
from daybook.errors import DaybookError, IntegrityError
from daybook.stores.archive import ArchivedSource, ContributionRow, Snapshot, archived_bucket
from daybook.stores.mongo_client import Document
from daybook.stores.source_fields import pack_source, unpack_source

AGGREGATES = "DailyAggregates"
STATE = "DaybookState"
REDO = "DaybookRedo"
SOURCES = "DaybookSources"
REJECTS = "DaybookRejects"
RESTATEMENTS = "DaybookRestatements"
CORRECTIONS = "DaybookCorrections"
CONTRIBUTIONS = "DaybookContributions"

FENCE = "fence"
"""`_id` of the one document in `STATE`: archive, epoch, snapshot and, while a write is being applied, redo."""

_NUMBER = ["decimal", "double", "int", "long"]
_WHOLE = ["int", "long"]
VALIDATOR: Document = {
    "$jsonSchema": {
        "bsonType": "object",
        "required": ["Date", "Type", "TotalAmount"],
        "properties": {
            "Date": {
                "bsonType": "string",
                "pattern": "^[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])$",
                "maxLength": 10,  # `$` alone lets a line end pass
            },
            "Type": {"enum": list(TYPES)},
            "TotalAmount": {"bsonType": "object", "additionalProperties": {"bsonType": _NUMBER}},
            "TransactionCount": {"bsonType": "object", "additionalProperties": {"bsonType": _WHOLE}},
            "LastUpdated": {"bsonType": "date"},
            "Version": {"bsonType": _WHOLE, "minimum": 0},
        },
    }
}
_AGGREGATE_INDEXES = [
    IndexModel([("Date", 1)], name="idx_date"),
    IndexModel([("Type", 1)], name="idx_type"),
    IndexModel([("Date", 1), ("Type", 1)], name="idx_date_type", unique=True),
]
_CONTRIBUTION_INDEXES = [
    IndexModel([("_id.period", 1), ("_id.source", 1)], name="idx_period_source"),
    IndexModel([("_id.source", 1), ("_id.period", 1)], name="idx_source_period"),
    IndexModel([("Through", 1)], name="idx_through"),
]
_LINE_INDEXES = [IndexModel([("_id.source", 1), ("_id.line", 1)], name="idx_source_line")]
_NAMESPACE_EXISTS = 48

PART_BYTES = 2 << 20
"""About the size of one redo document: the server writes a message of this size well within a timeout."""
_ITEM_BYTES = 15 << 20
"""Largest size of one item of a redo document: MongoDB refuses documents above 16 MB."""


async def prepare(database: AsyncDatabase[Document]) -> None:
    """Create collections and indexes and set the validator. Idempotent; stored documents stay as they are."""
    try:
        await database.create_collection(AGGREGATES, check_exists=False, validator=VALIDATOR)
    except OperationFailure as error:
        if error.code != _NAMESPACE_EXISTS:
            raise
    await database.command(
        {
            "collMod": AGGREGATES,
            "validator": VALIDATOR,
            "validationLevel": "strict",
            "validationAction": "error",
        }
    )
    await database[AGGREGATES].create_indexes(_AGGREGATE_INDEXES)
    await database[REJECTS].create_indexes(_LINE_INDEXES)
    await database[CORRECTIONS].create_indexes(_LINE_INDEXES)
    await database[CONTRIBUTIONS].create_indexes(_CONTRIBUTION_INDEXES)


def redo_parts(snapshot: Snapshot, part_bytes: int) -> Iterator[Document]:
    """Give a snapshot as the contents of redo documents.

    Each content has one or more non-empty lists `buckets`, `sources`, `rejects`, `restatements`,
    `contributions`.
    Its size is at most about `part_bytes`, unless a single item is larger.
    Raises DaybookError for an item that no document can hold, IntegrityError for a total that no `Decimal128` can hold.
    """
    part: Document = {}
    size = 0
    for kind, item in _items(snapshot):
        item_bytes = len(bson.encode(item))
        if item_bytes > _ITEM_BYTES:
            raise DaybookError(f"{kind}: an item of {item_bytes} bytes is more than a MongoDB document holds")
        if part and size + item_bytes > part_bytes:
            yield part
            part, size = {}, 0
        part.setdefault(kind, []).append(item)
        size += item_bytes
    if part:
        yield part


def _items(snapshot: Snapshot) -> Iterator[tuple[str, Document]]:
    for bucket, state in snapshot.buckets.items():
        yield "buckets", bucket_document(bucket, state)
    for archived in snapshot.sources:
        yield "sources", source_document(archived)
    for reject in snapshot.rejects:
        yield "rejects", reject_document(reject)
    for restatement in snapshot.restatements:
        yield "restatements", restatement_document(restatement)
    for row in snapshot.contributions:
        yield "contributions", contribution_document(row)


def bucket_document(bucket: Bucket, state: BucketState) -> Document:
    """Return a bucket's document without `LastUpdated`."""
    return {
        "Date": bucket.day,
        "Type": bucket.type,
        "TotalAmount": {method: to_decimal128(cell.units) for method, cell in state.cells.items()},
        "TransactionCount": {method: Int64(cell.transactions) for method, cell in state.cells.items()},
        "Version": Int64(state.version),
    }


_DAMAGE = (KeyError, AttributeError, TypeError, ValueError, ArithmeticError, msgspec.MsgspecError)
_SHOWN_CHARACTERS = 200
Read = TypeVar("Read")


def _reads(collection: str) -> Callable[[Callable[[Document], Read]], Callable[[Document], Read]]:
    """Let a reader raise IntegrityError, which names the document, for one that is not as Daybook writes it."""

    def named(read: Callable[[Document], Read]) -> Callable[[Document], Read]:
        @functools.wraps(read)
        def checked(document: Document) -> Read:
            try:
                return read(document)
            except _DAMAGE as error:
                day, kind = document.get("Date"), document.get("Type")
                name = f"{day} {kind}" if day else repr(document.get("_id"))
                reason = " ".join(f"{type(error).__name__}: {error}".split())[:_SHOWN_CHARACTERS]
                raise IntegrityError(
                    f"MongoDB's document of {name} in {collection} is not as Daybook writes it ({reason}): another "
                    "program wrote it; put the right one back"
                ) from error

        return checked

    return named


@_reads(STATE)
def fence_of(document: Document) -> Document:
    """Return the fence document. Raises IntegrityError when a field is missing or of another type."""
    redo = document.get("redo", {"snapshot": 0})
    for name, value in (("epoch", document["epoch"]), ("snapshot", document["snapshot"]), ("redo", redo["snapshot"])):
        if not isinstance(value, int):
            raise TypeError(f"{name} is no number")
    if not isinstance(document["archive"], str):
        raise TypeError("archive is no text")
    return document


@_reads(AGGREGATES)
def bucket_of(document: Document) -> Bucket:
    return Bucket(document["Date"], document["Type"])


@_reads(AGGREGATES)
def held_bucket(document: Document) -> HeldBucket:
    """Return the bucket of a document; a document of the original system has version 0 and counts 0.

    Raises IntegrityError when the totals are not amounts.
    """
    counts = document.get("TransactionCount") or {}
    cells = {
        method: Cell(units_of_number(total), int(counts.get(method, 0)))
        for method, total in document["TotalAmount"].items()
    }
    updated = document.get("LastUpdated")
    moment = updated.replace(tzinfo=UTC) if isinstance(updated, datetime) else None
    return archived_bucket(BucketState(int(document.get("Version") or 0), cells), moment)


def source_document(archived: ArchivedSource) -> Document:
    """Return a source's document without `Snapshot`, the number that guards it."""
    return {
        "_id": archived.source.id,
        "Revision": Int64(archived.revision),
        "Packed": pack_source(archived.source),
    }


@_reads(SOURCES)
def archived_source(document: Document) -> ArchivedSource:
    return ArchivedSource(unpack_source(document["Packed"]), int(document["Revision"]))


def reject_document(reject: Reject) -> Document:
    return {
        "_id": {"source": reject.source, "line": Int64(reject.line)},
        "Raw": reject.raw,
        "Reason": reject.reason,
    }


@_reads(REJECTS)
def reject_of(document: Document) -> Reject:
    key = document["_id"]
    return Reject(key["source"], int(key["line"]), document["Raw"], document["Reason"])


def restatement_document(restatement: Restatement) -> Document:
    """Return a restatement's document, with the field names of `Restatement` and totals as `Decimal128`."""
    changes = {
        method: [to_decimal128(parse_total(old)), to_decimal128(parse_total(new)), transactions]
        for method, (old, new, transactions) in restatement.changes.items()
    }
    return {"_id": restatement.key, **msgspec.to_builtins(restatement), "changes": changes}


@_reads(RESTATEMENTS)
def restatement_of(document: Document) -> Restatement:
    changes = {
        method: [format_units(units_of_number(old)), format_units(units_of_number(new)), transactions]
        for method, (old, new, transactions) in document["changes"].items()
    }
    return msgspec.convert({**document, "changes": changes}, Restatement)


def contribution_document(row: ContributionRow) -> Document:
    return {
        "_id": {"source": row.source, "period": row.period},
        "Through": Int64(row.through),
        "Packed": row.packed,
    }


def contribution_of(document: Document) -> ContributionRow:
    key = document["_id"]
    return ContributionRow(key["source"], key["period"], int(document["Through"]), document["Packed"])


def correction_document(correction: Correction) -> Document:
    return {
        "_id": {"source": correction.source, "line": Int64(correction.line)},
        "BySource": correction.by_source,
        "ByLine": Int64(correction.by_line),
    }


@_reads(CORRECTIONS)
def correction_of(document: Document) -> Correction:
    key = document["_id"]
    return Correction(key["source"], int(key["line"]), document["BySource"], int(document["ByLine"]))


# IEEE 754 decimal128, binary integer significand: sign (1 bit), biased exponent (14), coefficient (113).
# Integers are converted bit by bit: no decimal context is used, so nothing can round.
_SIGN_SHIFT, _EXPONENT_SHIFT, _EXPONENT_BIAS = 127, 113, 6176
_COEFFICIENT_LIMIT = 10**34
_SPECIAL = 0b11 << 125
"""Mask: both bits are set in infinity, in NaN, and in forms that no canonical number takes."""
_SHORTEST_EXPONENT = -2

_DOUBLE_CONTEXT = Context(prec=60)
_UNIT = Decimal(1).scaleb(-DECIMALS)


def to_decimal128(units: int) -> Decimal128:
    """Return `units` exactly, with the decimals that `format_units` shows. Raises IntegrityError above 34 digits."""
    coefficient, exponent = abs(units), -DECIMALS
    while coefficient % 10 == 0 and (exponent < _SHORTEST_EXPONENT or coefficient >= _COEFFICIENT_LIMIT):
        coefficient, exponent = coefficient // 10, exponent + 1
    if coefficient >= _COEFFICIENT_LIMIT:
        raise IntegrityError(f"a total of {units} units of 10^-{DECIMALS} has more than 34 digits")
    bits = (units < 0) << _SIGN_SHIFT | exponent + _EXPONENT_BIAS << _EXPONENT_SHIFT | coefficient
    return Decimal128.from_bid(bits.to_bytes(16, "little"))


def units_of_number(number: Any) -> int:
    """Return a stored total in units. Raises ValueError when it is not a number or has more than 8 decimals.

    A double is read as its shortest decimal text, rounded to 8 decimals. The binary sums of the original system
    (`52763.850000000006`) are off by far less than that.
    """
    if isinstance(number, Decimal128):
        return _units_of_decimal128(number)
    if isinstance(number, int) and not isinstance(number, bool):
        return int(number) * UNITS_PER_ONE
    if not isinstance(number, float):
        raise ValueError(f"{type(number).__name__} is not a number")  # noqa: TRY004 - a value from outside
    try:
        return units_of(Decimal(repr(number)).quantize(_UNIT, context=_DOUBLE_CONTEXT))
    except DecimalException:
        raise ValueError(f"{number!r} is too large") from None


def _units_of_decimal128(number: Decimal128) -> int:
    bits = int.from_bytes(number.bid, "little")
    coefficient = bits & (1 << _EXPONENT_SHIFT) - 1
    if bits & _SPECIAL == _SPECIAL or coefficient >= _COEFFICIENT_LIMIT:
        return units_of(number.to_decimal())
    shift = (bits >> _EXPONENT_SHIFT & 0x3FFF) - _EXPONENT_BIAS + DECIMALS
    units, rest = (coefficient * int(10**shift), 0) if shift >= 0 else divmod(coefficient, int(10**-shift))
    if rest:
        raise ValueError(f"{number} has more than {DECIMALS} decimals")
    return -units if bits >> _SIGN_SHIFT else units
