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

import polars as pl

from daybook.domain.transaction import TransactionType

HEADER = b"timestamp,type,payment_method,amount,sleep_ms\n"
CHUNK_ROWS = 250_000
MAX_ROWS = 4_000_000_000
"""Its square still fits 64 bits, as the arithmetic below needs."""
MAX_METHODS = 1_000_000
MAX_SECONDS = 1e9

_FIRST_METHODS = ("apple_pay", "crypto", "paypal", "visa", "wire")
_LEAST_CENTS, _MOST_CENTS = 500, 200_000
_DAY_SECONDS = 86_400
_KNOTS = 1024
_STEPS = 1 << 20
"""Steps between two knots of the clock."""
_FINEST = Decimal("1e-12")
"""Far coarser than a power's last digit, so that a whole second stays one however the power is rounded."""


@dataclass(frozen=True)
class SampleSpec:
    """What a sample file holds."""

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
    """What all `sleep_ms` (every line's last field, in bad rows too) add up to, to the millisecond."""
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


def write_sample(spec: SampleSpec, path: Path, *, on_rows: Callable[[int], None] | None = None) -> None:
    """Write the file, as gzip when its name ends in `.gz`; what stood there is overwritten. Blocks.

    The content depends on `spec` alone: any machine, Python and polars gives the same bytes (what gzip
    makes of them depends on the zlib at hand). Memory holds one chunk of rows. `on_rows` is
    called after each chunk with the number of rows written so far.
    Raises ValueError for a spec that makes no sense, before the file is touched; an OSError passes through.
    """
    spec.check()
    fields, fault = _fields(spec), _fault(spec)
    with _opened(path) as out:
        out.write(HEADER)
        for start in range(0, spec.rows, CHUNK_ROWS):
            end = min(start + CHUNK_ROWS, spec.rows)
            numbers = pl.select(pl.int_range(start, end, dtype=pl.UInt64).alias("row"))
            faults = numbers.select(fault.alias("fault")).to_series()
            text = numbers.select(**fields).write_csv(include_header=False, quote_style="never")
            out.write(_spoil(text.encode(), faults))
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


def _spoil(text: bytes, faults: pl.Series) -> bytes:
    """The lines with each bad row's fault put in."""
    if faults.null_count() == faults.len():
        return text
    lines = text.split(b"\n")
    for index in faults.is_not_null().arg_true():
        spoil = FAULTS[faults[index] % len(FAULTS)]
        lines[index] = b",".join(spoil(lines[index].split(b",")))
    return b"\n".join(lines)


def _fields(spec: SampleSpec) -> dict[str, pl.Expr]:
    return {
        "timestamp": _timestamp(spec),
        "type": _choice(spec, "type", [kind.value for kind in TransactionType]),
        "payment_method": _choice(spec, "payment_method", _method_names(spec.methods)),
        "amount": _amount(spec),
        "sleep_ms": _sleep_ms(spec),
    }


def _method_names(count: int) -> list[str]:
    first = _FIRST_METHODS[:count]
    return [*first, *(f"method_{number:03d}" for number in range(len(first) + 1, count + 1))]


def _timestamp(spec: SampleSpec) -> pl.Expr:
    days = pl.Series([spec.first_day]).cast(pl.Int32) + pl.int_range(spec.days, dtype=pl.Int32, eager=True)
    times = (pl.int_range(_DAY_SECONDS, eager=True) * 10**9).cast(pl.Time).dt.to_string("T%H:%M:%S")
    second = _second(spec)
    return pl.concat_str(
        pl.lit(days.cast(pl.Date).cast(pl.String)).gather(second // _whole(_DAY_SECONDS)),
        pl.lit(times).gather(second % _whole(_DAY_SECONDS)),
    )


def _second(spec: SampleSpec) -> pl.Expr:
    """Seconds since the first day began: the clock's on time, any before the clock's when late."""
    row, late = pl.col("row"), _mark(spec, "late", spec.late_rows)
    now, then = _clock(spec, row), _clock(spec, row + _whole(1))
    room = pl.when(late.is_null()).then(then - now).otherwise(now)
    moment = _draw(spec, "timestamp", row, pl.max_horizontal(room, _whole(1)))
    return pl.when(late.is_null()).then(now + moment).otherwise(moment)


def _clock(spec: SampleSpec, row: pl.Expr) -> pl.Expr:
    """How far, in seconds, the rows on time have come by a row; straight between the knots."""
    progress = row * _whole(_KNOTS * _STEPS) // _whole(max(spec.rows, 1))
    knot, step = progress // _whole(_STEPS), progress % _whole(_STEPS)
    knots = pl.lit(_knots(spec))
    before, after = knots.gather(knot), knots.gather(knot + _whole(1))
    return before + (after - before) * step // _whole(_STEPS)


def _knots(spec: SampleSpec) -> pl.Series:
    """The clock's seconds at each 1024th of the rows.

    With a share s of late rows, each at any time before the clock, the days get equally many rows when the
    clock has come x^(1-s) of the way after the part x of the rows.
    """
    context = Context(prec=40)
    exponent, whole_way = context.subtract(1, Decimal(spec.out_of_order)), spec.days * _DAY_SECONDS
    parts = [context.divide(Decimal(knot), Decimal(_KNOTS)) for knot in range(_KNOTS + 1)]
    ways = [context.power(part, exponent) if exponent else Decimal(1) for part in parts]
    seconds = [int(context.quantize(context.multiply(way, whole_way), _FINEST)) for way in ways]
    return pl.Series([*seconds, seconds[-1]], dtype=pl.UInt64)


def _amount(spec: SampleSpec) -> pl.Expr:
    """Two decimals, or one when the second is 0."""
    cents = _whole(_LEAST_CENTS) + _draw(spec, "amount", pl.col("row"), _whole(_MOST_CENTS - _LEAST_CENTS + 1))
    decimals = [f".{cent // 10}" if cent % 10 == 0 else f".{cent:02d}" for cent in range(100)]
    return pl.concat_str(
        (cents // _whole(100)).cast(pl.String), pl.lit(pl.Series(decimals)).gather(cents % _whole(100))
    )


def _sleep_ms(spec: SampleSpec) -> pl.Expr:
    """The time between two cuts; each row has one cut in its equal part of the whole time, the first at 0."""
    total, rows = round(spec.seconds * 1000), max(spec.rows, 1)

    def cut(row: pl.Expr) -> pl.Expr:
        start, end = _part(row, total, rows), _part(row + _whole(1), total, rows)
        drawn = start + _draw(spec, "sleep_ms", row, pl.max_horizontal(end - start, _whole(1)))
        return pl.when(row == _whole(0)).then(_whole(0)).when(row == _whole(rows)).then(_whole(total)).otherwise(drawn)

    return cut(pl.col("row") + _whole(1)) - cut(pl.col("row"))


def _fault(spec: SampleSpec) -> pl.Expr:
    """Which bad row of the file a row is, from 0; null for a good one."""
    return _mark(spec, "bad", spec.faulty_rows)


def _mark(spec: SampleSpec, name: str, count: int) -> pl.Expr:
    """Marks exactly `count` rows: one in each of as many equal stretches. The stretch's number, else null."""
    if count == 0:
        return pl.lit(None, dtype=pl.UInt64)
    row, rows = pl.col("row"), spec.rows
    stretch = ((row + _whole(1)) * _whole(count) - _whole(1)) // _whole(rows)
    start, end = _part(stretch, rows, count), _part(stretch + _whole(1), rows, count)
    return pl.when(row == start + _draw(spec, name, stretch, end - start)).then(stretch)


def _part(number: pl.Expr, total: int, parts: int) -> pl.Expr:
    """Where a part begins when `total` is cut into equal whole `parts`; no step exceeds 64 bits."""
    size, rest = divmod(total, parts)
    return number * _whole(size) + number * _whole(rest) // _whole(parts)


def _choice(spec: SampleSpec, name: str, texts: list[str]) -> pl.Expr:
    return pl.lit(pl.Series(texts)).gather(_draw(spec, name, pl.col("row"), _whole(len(texts))))


def _draw(spec: SampleSpec, name: str, counter: pl.Expr, below: pl.Expr) -> pl.Expr:
    """A whole number from 0 to under `below`, fixed by the seed, the name and the counter."""
    key = hashlib.blake2b(f"{spec.seed}/{name}".encode(), digest_size=8).digest()
    return _hash(counter, int.from_bytes(key, "big")) % below


def _hash(counter: pl.Expr, key: int) -> pl.Expr:
    """Mixes 64 bits: two rounds of folding the upper half into the lower and an odd factor, modulo 2^64.

    The factors are the fractions of the square roots of 2, 3 and 5 in 64 bits, made odd.
    """
    half = _whole(1 << 32)
    mixed = counter * _whole(0x6A09E667F3BCC909) + _whole(key)
    mixed = (mixed ^ (mixed // half)) * _whole(0xBB67AE8584CAA73B)
    mixed = (mixed ^ (mixed // half)) * _whole(0x3C6EF372FE94F82B)
    return mixed ^ (mixed // half)


def _whole(number: int) -> pl.Expr:
    return pl.lit(number, dtype=pl.UInt64)


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
"""How a row is spoilt, one kind each of what the contract rejects; none touches `sleep_ms`."""
