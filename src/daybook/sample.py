"""Seeded sample files: what `daybook generate` writes.

A field is an integer hash of the seed, the field's name and the row's number. So a file needs no
library's random numbers, and any stretch of its rows can be made without the rows before.
"""

import gzip
import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from decimal import Context, Decimal
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from daybook.domain.transaction import TransactionType

Whole = NDArray[np.uint64]
"""Whole numbers, one for each row at hand; all arithmetic on them is modulo 2^64."""
Text = NDArray[np.bytes_]
"""One field of each row at hand."""

HEADER = b"timestamp,type,payment_method,amount,sleep_ms\n"
CHUNK_ROWS = 250_000
MAX_ROWS = 4_000_000_000
"""Its square still fits 64 bits, as the arithmetic below needs."""
MAX_METHODS = 1_000_000
MAX_SECONDS = 1e9

_FIRST_METHODS = ("apple_pay", "crypto", "paypal", "visa", "wire")
_TYPES = np.array([kind.value for kind in TransactionType], np.bytes_)
_LEAST_CENTS, _MOST_CENTS = 500, 200_000
_WHOLE_AMOUNTS = np.arange(_MOST_CENTS // 100 + 1).astype(np.bytes_)
_FRACTIONS = np.array([f".{cents // 10}" if cents % 10 == 0 else f".{cents:02d}" for cents in range(100)], np.bytes_)
_DAY_SECONDS = 86_400
_KNOTS = 1024
_STEPS = 1 << 20
"""Steps between two knots of the clock."""
_FINEST = Decimal("1e-12")
"""Step to which the clock's seconds are rounded before the fraction is cut off. It is far coarser than a power's last
digit, so a whole second stays whole however the power is rounded.
"""


@dataclass(frozen=True)
class SampleSpec:
    """The content of a sample file."""

    rows: int = 5000
    first_day: date = date(2026, 1, 1)
    days: int = 31
    methods: int = 5
    """Payment methods: apple_pay, crypto, paypal, visa, wire, method_006, method_007 and so on."""
    out_of_order: float = 1.0
    """Share of rows that come after a later one. A handful at the beginning, with nothing later before
    them, are in order all the same. The rows spread evenly over the days, whatever the share."""
    bad_rows: float = 0.0
    """Share of rows that break a rule of the contract; the kinds of `FAULTS` take turns."""
    seconds: float = 60.0
    """The sum of all `sleep_ms` (every line's last field, in bad rows too), exact to the millisecond."""
    seed: int = 1

    def check(self) -> None:
        """Raises ValueError, naming field and value, for what no file can hold."""
        _demand(0 <= self.rows <= MAX_ROWS, f"rows={self.rows}: must be between 0 and {MAX_ROWS}")
        left = (date.max - self.first_day).days + 1
        _demand(self.days >= 1, f"days={self.days}: must be at least 1")
        _demand(self.days <= left, f"days={self.days}: go past the year 9999 from {self.first_day}")
        _demand(1 <= self.methods <= MAX_METHODS, f"methods={self.methods}: must be 1 to {MAX_METHODS}")
        for name in ("out_of_order", "bad_rows"):
            share = getattr(self, name)
            _demand(0 <= share <= 1, f"{name}={share}: must be a share between 0 and 1")
        _demand(
            0 <= self.seconds <= MAX_SECONDS,
            f"seconds={self.seconds}: must be between 0 and {MAX_SECONDS:.0f}",
        )

    @property
    def late_rows(self) -> int:
        return round(self.rows * self.out_of_order)

    @property
    def faulty_rows(self) -> int:
        return round(self.rows * self.bad_rows)


def write_sample(
    spec: SampleSpec, path: Path, *, on_rows: Callable[[int], None] | None = None, chunk_rows: int = CHUNK_ROWS
) -> None:
    """Write the file, as gzip when its name ends in `.gz`; what stood there is overwritten. Blocks.

    The content depends on `spec` alone: any machine, Python and NumPy gives the same bytes (what gzip
    makes of them depends on the zlib at hand). Memory holds one chunk of `chunk_rows` rows. `on_rows` is
    called after each chunk with the number of rows written so far.
    Raises ValueError for a spec that makes no sense, before the file is touched; an OSError passes through.
    """
    spec.check()
    knots, methods = _knots(spec), _method_names(spec.methods)
    with _opened(path) as out:
        out.write(HEADER)
        for start in range(0, spec.rows, chunk_rows):
            end = min(start + chunk_rows, spec.rows)
            row = np.arange(start, end, dtype=np.uint64)
            text = _lines(
                _timestamp(spec, row, knots),
                _choice(spec, "type", row, _TYPES),
                _choice(spec, "payment_method", row, methods),
                _amount(spec, row),
                _sleep_ms(spec, row),
            )
            out.write(_spoil(spec, row, text))
            if on_rows is not None:
                on_rows(end)


@contextmanager
def _opened(path: Path) -> Iterator[BinaryIO | gzip.GzipFile]:
    with path.open("wb") as raw:
        if path.suffix == ".gz":
            with gzip.GzipFile(filename="", mode="wb", fileobj=raw, compresslevel=3, mtime=0) as packed:
                yield packed
        else:
            yield raw


def _lines(*fields: Text) -> bytes:
    """The rows as lines, without the NUL bytes that fill short texts up to their column's width."""
    parts = [part for field in fields for part in (field, b",")]
    parts[-1] = b"\n"
    return np.rec.fromarrays(np.broadcast_arrays(*parts)).tobytes().translate(None, b"\0")


def _spoil(spec: SampleSpec, row: Whole, text: bytes) -> bytes:
    """The lines with each bad row's fault put in."""
    bad = row[_marked(spec, "bad", row, spec.faulty_rows)]
    if not bad.size:
        return text
    lines = text.split(b"\n")
    kinds = _stretch(spec, bad, spec.faulty_rows) % len(FAULTS)
    for index, kind in zip((bad - row[0]).tolist(), kinds.tolist(), strict=True):
        lines[index] = b",".join(FAULTS[kind](lines[index].split(b",")))
    return b"\n".join(lines)


def _method_names(count: int) -> Text:
    first = _FIRST_METHODS[:count]
    return np.array([*first, *(f"method_{number:03d}" for number in range(len(first) + 1, count + 1))], np.bytes_)


def _timestamp(spec: SampleSpec, row: Whole, knots: Whole) -> Text:
    moment = np.datetime64(spec.first_day, "s") + _second(spec, row, knots).astype("m8[s]")
    return moment.astype("S19")


def _second(spec: SampleSpec, row: Whole, knots: Whole) -> Whole:
    """Seconds since the first day began: the clock's on time, any before the clock's when late."""
    late = _marked(spec, "late", row, spec.late_rows)
    now, then = _clock(spec, row, knots), _clock(spec, row + 1, knots)
    return _between(spec, "timestamp", row, np.where(late, 0, now), np.where(late, now, then))


def _clock(spec: SampleSpec, row: Whole, knots: Whole) -> Whole:
    """Return the second that the rows on time have reached at a row; straight between the knots."""
    progress = row * (_KNOTS * _STEPS) // spec.rows
    knot, step = progress // _STEPS, progress % _STEPS
    before, after = knots[knot], knots[knot + 1]
    return before + (after - before) * step // _STEPS


def _knots(spec: SampleSpec) -> Whole:
    """The clock's seconds at each 1024th of the rows.

    With a share s of late rows, each at any time before the clock, the days get equally many rows when the
    clock has come x^(1-s) of the way after the part x of the rows.
    """
    context = Context(prec=40)
    exponent, whole_way = context.subtract(1, Decimal(spec.out_of_order)), spec.days * _DAY_SECONDS
    parts = [context.divide(Decimal(knot), Decimal(_KNOTS)) for knot in range(_KNOTS + 1)]
    ways = [context.power(part, exponent) if exponent else Decimal(1) for part in parts]
    seconds = [int(context.quantize(context.multiply(way, whole_way), _FINEST)) for way in ways]
    return np.array([*seconds, seconds[-1]], dtype=np.uint64)


def _amount(spec: SampleSpec, row: Whole) -> Text:
    """Two decimals, or one when the second is 0."""
    cents = _LEAST_CENTS + _draw(spec, "amount", row) % (_MOST_CENTS - _LEAST_CENTS + 1)
    return np.strings.add(_WHOLE_AMOUNTS[cents // 100], _FRACTIONS[cents % 100])


def _sleep_ms(spec: SampleSpec, row: Whole) -> Text:
    """The time between two cuts; each row has one cut in its equal part of the whole time, the first at 0."""
    total, rows = round(spec.seconds * 1000), spec.rows

    def cut(row: Whole) -> Whole:
        drawn = _between(spec, "sleep_ms", row, _part(row, total, rows), _part(row + 1, total, rows))
        return np.where(row == 0, 0, np.where(row == rows, total, drawn))

    return (cut(row + 1) - cut(row)).astype(np.bytes_)


def _marked(spec: SampleSpec, name: str, row: Whole, count: int) -> NDArray[np.bool_]:
    """Marks exactly `count` rows of the file: one in each of as many equal stretches."""
    if count == 0:
        return np.zeros(row.shape, dtype=np.bool_)
    stretch = _stretch(spec, row, count)
    start, end = _part(stretch, spec.rows, count), _part(stretch + 1, spec.rows, count)
    marked: NDArray[np.bool_] = row == _between(spec, name, stretch, start, end)
    return marked


def _stretch(spec: SampleSpec, row: Whole, count: int) -> Whole:
    """The stretch that a row is in, from 0, when the file is cut into `count` equal ones."""
    return ((row + 1) * count - 1) // spec.rows


def _part(number: Whole, total: int, parts: int) -> Whole:
    """Where a part begins when `total` is cut into equal whole `parts`; no step exceeds 64 bits."""
    size, rest = divmod(total, parts)
    return number * size + number * rest // parts


def _choice(spec: SampleSpec, name: str, row: Whole, texts: Text) -> Text:
    return texts[_draw(spec, name, row) % texts.size]


def _between(spec: SampleSpec, name: str, counter: Whole, start: Whole, end: Whole) -> Whole:
    """A whole number drawn from `start` to under `end`; `start` where nothing is between."""
    drawn: Whole = start + _draw(spec, name, counter) % np.maximum(end - start, 1)
    return drawn


def _draw(spec: SampleSpec, name: str, counter: Whole) -> Whole:
    """Any whole number of 64 bits, fixed by the seed, the name and the counter."""
    key = hashlib.blake2b(f"{spec.seed}/{name}".encode(), digest_size=8).digest()
    return _hash(counter, int.from_bytes(key, "big"))


def _hash(counter: Whole, key: int) -> Whole:
    """Mixes 64 bits: two rounds of folding the upper half into the lower and an odd factor, modulo 2^64.

    The factors are the fractions of the square roots of 2, 3 and 5 in 64 bits, made odd.
    """
    half = 1 << 32
    mixed = counter * 0x6A09E667F3BCC909 + key
    mixed = (mixed ^ (mixed // half)) * 0xBB67AE8584CAA73B
    mixed = (mixed ^ (mixed // half)) * 0x3C6EF372FE94F82B
    return mixed ^ (mixed // half)


def _demand(fulfilled: bool, otherwise: str) -> None:
    if not fulfilled:
        raise ValueError(otherwise)


def _replaced(column: int, text: bytes) -> Callable[[list[bytes]], list[bytes]]:
    return lambda fields: [*fields[:column], text, *fields[column + 1 :]]


def _removed(column: int) -> Callable[[list[bytes]], list[bytes]]:
    return lambda fields: [*fields[:column], *fields[column + 1 :]]


def _inserted(column: int, text: bytes) -> Callable[[list[bytes]], list[bytes]]:
    return lambda fields: [*fields[:column], text, *fields[column:]]


_TIMESTAMP, _TYPE, _METHOD, _AMOUNT = range(4)

FAULTS: tuple[Callable[[list[bytes]], list[bytes]], ...] = (
    _replaced(_TYPE, b"transfer"),
    _replaced(_AMOUNT, b"-1"),
    _replaced(_AMOUNT, b"1e5"),
    _replaced(_AMOUNT, b"NaN"),
    _replaced(_AMOUNT, b"0"),
    _replaced(_AMOUNT, b"0.123456789"),
    _replaced(_AMOUNT, b"1000000000000"),
    _replaced(_TIMESTAMP, b"2026-02-30T10:30:00"),
    _replaced(_METHOD, b"pay.pal"),
    _replaced(_METHOD, b"pay$pal"),
    _replaced(_METHOD, b"m" * 65),
    _removed(_AMOUNT),
    _inserted(_AMOUNT, b"extra"),
    _replaced(_METHOD, b"caf\xe9"),
)
"""The ways to spoil a row, one for each kind that the contract rejects; none touches `sleep_ms`."""
