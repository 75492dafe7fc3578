"""The fast reader: reads a block column by column, and adds up the rows that are surely valid.

A row is sure when every field has its commonest form, which `records.parse_row` accepts too. All other lines are
left to that reference, so no rule is defined here.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from daybook.domain.bucket import DAYS_BEFORE_1970
from daybook.domain.money import DECIMALS
from daybook.sources.columns.cells import HIGH_BITS, LOW, CellColumns, empty, joined
from daybook.sources.columns.method_codes import MethodCodes
from daybook.sources.columns.words import (
    WORD,
    Column,
    Indexes,
    Mask,
    WordArray,
    Words,
    are_at_most,
    digits_in,
    last_digits,
    number,
    pairs_of,
    without_dot,
    word,
)
from daybook.sources.records import Layout
from daybook.sources.sketch import NO_HASHES, Hashes, merged, row_hashes, smallest

_NEWLINE, _COMMA, _DOT, _RETURN, _FIRST_NON_ASCII = 0x0A, 0x2C, 0x2E, 0x0D, 0x80
_WHOLE_DIGITS = 10
"""Amounts of more whole digits do not fit into 63 bits as units of 10^-8."""
_OTHER_DECIMALS = (1, 8, 7, 6, 5, 4, 3)
_FRACTION_UNITS = np.array([10 ** (DECIMALS - count) for count in range(DECIMALS + 1)], np.int64)
_FIRST_PAIR = np.uint64(0xFFFF)
_CHUNK_BYTES = 2 << 20
_DAYS_IN_TABLE = 1 << 13
_MONTHS_BEFORE_1970 = 12 * 1970 + 1
_FIRST_DAY = (12 * 1 + 1) * 32 + 1
"""1 January of the year 1."""
_PLACEHOLDER_DAY = np.uint64(_FIRST_DAY)
_NO_LINES = np.zeros(0, np.int64)


class SureSums(NamedTuple):
    """The sums of the sure rows of a block, and the lines that are not sure."""

    cells: CellColumns
    """Joined sums of the sure rows."""
    rows: int
    """Number of sure rows."""
    lines: int
    """Number of lines in the block."""
    doubtful: list[int]
    """Indexes of the lines that the reference must judge, ascending. Blank lines may be left out."""
    sketch: Hashes
    """Sketch of the sure rows."""


def sum_sure_rows(block: bytes, layout: Layout) -> SureSums:
    """Add up the sure rows of a block. The block must have no quote and must end with a line end."""
    parts: list[CellColumns] = []
    doubtful: list[int] = []
    rows = lines = 0
    methods, sketch = MethodCodes(), NO_HASHES
    for chunk in _chunks(block):
        cells, hashes, number, good, bad = _sum_chunk(chunk, layout, methods)
        parts.append(cells)
        sketch = merged(sketch, hashes)
        doubtful += (lines + bad).tolist()
        rows += good
        lines += number
    return SureSums(joined(parts), rows, lines, doubtful, sketch)


def _chunks(block: bytes) -> Iterator[bytes]:
    """Yield the block in chunks of whole lines, so small that a chunk's columns fit into a processor's cache."""
    start = 0
    while start < len(block):
        end = block.rfind(b"\n", start, start + _CHUNK_BYTES) + 1 or block.index(b"\n", start) + 1
        yield block[start:end]
        start = end


def _sum_chunk(chunk: bytes, layout: Layout, methods: MethodCodes) -> tuple[CellColumns, Hashes, int, int, Indexes]:
    """Return the sums and the sketch of the sure rows, the number of lines, of sure rows, and the indexes of the
    doubtful lines.
    """
    words = Words(chunk)
    line_ends, lines, columns = _split(words, layout.width)
    days, times, sure = _days(words, columns[layout.timestamp])
    types, known = _types(words, columns[layout.type])
    sure &= known & _is_utf8(chunk, words, line_ends)[lines]
    codes, known = methods.codes(words, columns[layout.payment_method])
    sure &= known
    units, known = _amounts(words, columns[layout.amount])
    sure &= known
    if layout.currency is not None:
        sure &= _are_in(words, columns[layout.currency[0]], layout.currency[1].encode())
    if not sure.all():
        lines, days, types, codes, units = (part[sure] for part in (lines, days, types, codes, units))
        times = times[sure]
    sketch = smallest(row_hashes(days * 2 + types, times, methods.hashes[codes], units)) if len(lines) else NO_HASHES
    cells = _add_up(days, types, codes, units, methods.names)
    if len(lines) == len(line_ends):
        return cells, sketch, len(lines), len(lines), _NO_LINES
    doubtful = ~_are_blank(words, line_ends)
    doubtful[lines] = False
    return cells, sketch, len(line_ends), len(lines), np.flatnonzero(doubtful)


def _split(words: Words, width: int) -> tuple[Indexes, Indexes, list[Column]]:
    """Return all line ends, the indexes of the lines that have `width` fields, and the columns of these lines."""
    borders = words.find(_COMMA, _NEWLINE)
    number_of_lines = np.count_nonzero(words.bytes == _NEWLINE)
    lines = np.arange(number_of_lines)
    line_ends = borders[width - 1 :: width]
    if len(borders) != width * number_of_lines or not (words.bytes[line_ends] == _NEWLINE).all():
        last = np.flatnonzero(words.bytes[borders] == _NEWLINE)
        line_ends = borders[last]
        lines = np.flatnonzero(np.diff(last, prepend=-1) == width)
        borders = borders[(last[lines, None] - np.arange(width - 1, -1, -1)).ravel()]
    rights = [borders[column::width] for column in range(width)]
    lefts = [np.append(words.begin, line_ends[:-1] + 1)[lines], *(right + 1 for right in rights[:-1])]
    rights[-1] = rights[-1] - (words.bytes[rights[-1] - 1] == _RETURN)
    return line_ends, lines, [Column(left, right) for left, right in zip(lefts, rights, strict=True)]


def _are_blank(words: Words, line_ends: Indexes) -> Mask:
    """Return which lines are surely blank: they hold nothing, or only a carriage return."""
    starts = np.append(words.begin, line_ends[:-1] + 1)
    blank: Mask = (line_ends == starts) | ((line_ends == starts + 1) & (words.bytes[starts] == _RETURN))
    return blank


def _is_utf8(block: bytes, words: Words, line_ends: Indexes) -> Mask:
    """Return which lines are surely UTF-8: all lines of a UTF-8 block, else only the ASCII lines."""
    good = np.ones(len(line_ends), np.bool_)
    if not block.isascii():
        try:
            block.decode()
        except UnicodeDecodeError:
            good[np.searchsorted(line_ends, np.flatnonzero(words.bytes >= _FIRST_NON_ASCII))] = False
    return good


def _days(words: Words, column: Column) -> tuple[Indexes, WordArray, Mask]:
    """Return the days as ordinals, the times of day as words of digits, and which timestamps look like
    2026-01-15T10:30:00 and name a day that exists.
    """
    start = column.start
    date, sure = digits_in(words.at(start), b"0000-00-")
    day_and_time, good = digits_in(words.at(start + 8), b"00T00:00")
    sure &= good & (column.end - start == len("2026-01-15T10:30:00"))
    clock, good = digits_in(words.at(start + 11), b"00:00:00")
    sure &= good & are_at_most(pairs_of(clock), (23, 5, 90, 59))
    date, day = number(pairs_of(date)), pairs_of(day_and_time) & _FIRST_PAIR
    years = date // 10_000
    months = (date - years * 10_000) // 10
    sure &= (months - 1 < 12) & (day - 1 < 31)  # noqa: PLR2004 - months and days; unsigned, 0 - 1 is very large
    codes = np.where(sure, (12 * years + months) * 32 + day, _PLACEHOLDER_DAY).astype(np.int64)
    if not len(codes):
        return codes, clock, sure
    oldest, newest = int(codes.min()), int(codes.max())
    if newest - oldest < _DAYS_IN_TABLE:
        ordinals = _ordinals(np.arange(oldest, newest + 1))[codes - oldest]
    else:
        ordinals = _ordinals(codes)
    return ordinals, clock, sure & (ordinals > 0)


def _ordinals(codes: Indexes) -> Indexes:
    """Return the ordinals of days given as `(12 * year + month) * 32 + day`; 0 for a day that does not exist."""
    months, days = (codes >> 5) - _MONTHS_BEFORE_1970, codes & 31
    begin, end = (month.view("M8[M]").astype("M8[D]").view(np.int64) for month in (months, months + 1))
    ordinals = begin + days - 1 + DAYS_BEFORE_1970
    return np.where((days > 0) & (begin + days <= end) & (codes >= _FIRST_DAY), ordinals, 0)


def _types(words: Words, column: Column) -> tuple[Indexes, Mask]:
    """Return 0 for each deposit and 1 for each withdrawal, and which fields are one of the two."""
    start, length = column.start, column.end - column.start
    ending = words.at(column.end - WORD)
    deposit = (length == len("deposit")) & (ending >> np.uint64(8) == word(b"deposit"))
    withdrawal = (length == len("withdrawal")) & (ending == word(b"thdrawal"))
    withdrawal &= (words.bytes[start] == ord("w")) & (words.bytes[start + 1] == ord("i"))
    return withdrawal.astype(np.int64), deposit | withdrawal


def _are_in(words: Words, column: Column, currency: bytes) -> Mask:
    """Return which fields are the code of the currency, which has three letters."""
    ending = words.at(column.end - WORD) >> np.uint64(8 * (WORD - len(currency)))
    right: Mask = (column.end - column.start == len(currency)) & (ending == word(currency))
    return right


def _amounts(words: Words, column: Column) -> tuple[Indexes, Mask]:
    """Return the amounts in units of 10^-8, and which of them are above 0 and look like 1234.56 or 1234."""
    length = column.end - column.start
    here = (words.bytes[column.end - 3] == _DOT) & (length > 3)  # noqa: PLR2004 - two decimals and their dot
    decimals = np.where(here, 2, 0)
    pending = np.flatnonzero(~here)
    for count in _OTHER_DECIMALS:
        here = (words.bytes[column.end[pending] - 1 - count] == _DOT) & (length[pending] > count + 1)
        decimals[pending[here]] = count
        pending = pending[~here]
    ending = words.at(column.end - WORD)
    digits, sure = last_digits(without_dot(ending, decimals), np.minimum(length - (decimals > 0), WORD))
    units = number(pairs_of(digits)).astype(np.int64) * _FRACTION_UNITS[decimals]
    sure &= length >= 1
    long = np.flatnonzero(length > WORD)
    if len(long):
        units[long], sure[long] = _long_amounts(words, Column(column.start[long], column.end[long]), decimals[long])
    return units, sure & (units > 0)


def _long_amounts(words: Words, column: Column, decimals: Indexes) -> tuple[Indexes, Mask]:
    """Return the same as `_amounts`, for amounts of more than eight characters; they may be 0."""
    length = column.end - column.start
    fraction, sure = last_digits(words.at(column.end - WORD), decimals)
    whole_length = length - decimals - (decimals > 0)
    sure &= (whole_length >= 1) & (whole_length <= _WHOLE_DIGITS)
    whole_end = column.end - (length - whole_length)
    whole, good = last_digits(words.at(whole_end - WORD), np.clip(whole_length, 0, WORD))
    sure &= good
    high, good = last_digits(words.at(whole_end - 2 * WORD), np.clip(whole_length - WORD, 0, WORD))
    sure &= good
    units = number(pairs_of(high)).astype(np.int64) * 10**WORD + number(pairs_of(whole)).astype(np.int64)
    units *= 10**DECIMALS
    return units + number(pairs_of(fraction)).astype(np.int64) * _FRACTION_UNITS[decimals], sure


def _add_up(days: Indexes, types: Indexes, methods: Indexes, units: Indexes, names: list[str]) -> CellColumns:
    """Return the exact sums of rows; the rows themselves when there are nearly as many cells as rows.

    Sums of doubles are exact here, because all terms are whole numbers and all sums stay below 2^53: the units
    are split into 32 low and at most 31 high bits, and a chunk has fewer than 2^21 rows.
    """
    if not len(days):
        return empty()
    high, low = units >> HIGH_BITS, units & LOW
    oldest, number_of_names = int(days.min()), max(1, len(names))
    places = ((days - oldest) * 2 + types) * number_of_names + methods
    if int(places.max()) > len(places):
        return CellColumns(names, days, types, methods, high, low, np.ones(len(days), np.int64))
    counts = np.bincount(places)
    lows = np.bincount(places, weights=low.astype(np.float64)).astype(np.int64)
    highs = np.bincount(places, weights=high.astype(np.float64)).astype(np.int64)
    found = np.flatnonzero(counts)
    counts, lows, highs = counts[found], lows[found], highs[found]
    buckets, codes = np.divmod(found, number_of_names)
    return CellColumns(
        names, oldest + (buckets >> 1), buckets & 1, codes, highs + (lows >> HIGH_BITS), lows & LOW, counts
    )
