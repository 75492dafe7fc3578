"""Sketches: the smallest hashes of a source's rows, by which rows that were imported before are recognized.

The hash of a row is the same in every file and in every process, whichever reader judged the row. A sketch is an even
sample of the distinct rows, so two sketches tell how many rows two files share. `docs/decisions/0021-held-sources.md`
has the rules.
"""

import hashlib
from datetime import date
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from daybook.domain.bucket import TYPES
from daybook.domain.transaction import Transaction

Hashes = NDArray[np.uint64]

MOST_HASHES = 512
"""Largest number of hashes in a sketch: 4 KiB, as much as a source's head."""
ALL_ROWS = 2**64 - 1
"""Bound of a sketch that holds the hash of every row."""
NO_HASHES: Hashes = np.zeros(0, np.uint64)

_MASK = 2**64 - 1
_UNITS, _BUCKET, _MIX = 0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F, 0xD6E8FEB86659FD93
"""Odd numbers without a pattern."""
_SHIFT = 32
_EXPECTED = 2 * MOST_HASHES
"""Hashes that a first, coarse bound lets through; fewer than `MOST_HASHES` only when many rows are equal."""


def row_hashes(buckets: NDArray[np.int64], times: Hashes, methods: Hashes, units: NDArray[np.int64]) -> Hashes:
    """Return the hash of each row.

    `buckets` holds day * 2 + type, `times` each time of day as `time_word`, `methods` each `method_hash`.
    """
    mixed = buckets.view(np.uint64) * np.uint64(_BUCKET)
    mixed += methods
    part = units.view(np.uint64) * np.uint64(_UNITS)
    mixed += part
    mixed ^= times
    mixed ^= np.right_shift(mixed, np.uint64(_SHIFT), out=part)
    mixed *= np.uint64(_MIX)
    return mixed


def row_hash(row: Transaction) -> int:
    """Return the hash of one row, as `row_hashes` does."""
    bucket = date.fromisoformat(row.day).toordinal() * 2 + TYPES.index(row.type.plural)
    mixed = (row.units * _UNITS + bucket * _BUCKET + method_hash(row.payment_method)) & _MASK ^ time_word(row.second)
    return (mixed ^ (mixed >> _SHIFT)) * _MIX & _MASK


def time_word(second: int) -> int:
    """Return a second of the day as the word of its digits, `HH:MM:SS` with 0 for each colon."""
    hours, minutes, seconds = second // 3600, second // 60 % 60, second % 60
    digits = (hours // 10, hours % 10, 0, minutes // 10, minutes % 10, 0, seconds // 10, seconds % 10)
    return int.from_bytes(bytes(digits), "little")


@lru_cache(maxsize=1 << 14)
def method_hash(name: str) -> int:
    """Return the hash of a payment method."""
    return int.from_bytes(hashlib.blake2b(name.encode("utf-8", "replace"), digest_size=8).digest(), "little")


def smallest(hashes: Hashes) -> Hashes:
    """Return the sketch of rows with these hashes: the smallest distinct ones, ascending."""
    if len(hashes) > 2 * _EXPECTED:
        few = _distinct(hashes[hashes < np.uint64(_MASK // len(hashes) * _EXPECTED)])
        if len(few) >= MOST_HASHES:
            return few[:MOST_HASHES]
    return _distinct(hashes)[:MOST_HASHES]


def _distinct(hashes: Hashes) -> Hashes:
    """Return the distinct hashes, ascending: faster than `np.unique`, which sorts nothing."""
    found = np.sort(hashes)
    return found[np.append(True, found[1:] != found[:-1])] if len(found) else found


def merged(one: Hashes, other: Hashes) -> Hashes:
    """Return the sketch of the rows of two sketches; `one` itself when the other adds nothing."""
    if not len(other) or (len(one) == MOST_HASHES and other[0] > one[-1]):
        return one
    if not len(one):
        return other
    both = _distinct(np.concatenate((one, other)))[:MOST_HASHES]
    return one if len(both) == len(one) and (both == one).all() else both


def bound_of(sketch: Hashes) -> int:
    """Return the largest hash up to which the sketch holds the hash of every row."""
    return int(sketch[-1]) if len(sketch) == MOST_HASHES else ALL_ROWS


def pack(sketch: Hashes) -> bytes:
    return sketch.astype("<u8").tobytes()


def unpack(packed: bytes) -> Hashes:
    """Return the sketch that `pack` packed."""
    return np.frombuffer(packed, "<u8").astype(np.uint64)
