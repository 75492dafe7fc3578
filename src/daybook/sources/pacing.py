"""The pace of an import: the column `sleep_ms` is the pause after a row."""

from collections.abc import Iterator
from typing import NamedTuple

from daybook.sources.records import SPACE, Layout, records

TICK_SECONDS = 0.1
"""Rows are pushed together until their pauses add up to this."""

LONGEST_PAUSE_SECONDS = 3600.0
"""For which one row can hold up the next."""


class Due(NamedTuple):
    """Records that are pushed together."""

    data: bytes
    """Whole records."""
    pause_seconds: float
    """Seconds to wait after the piece is pushed."""
    cut_pauses: bool = False
    """True when a row of the piece asks for a longer pause than the longest allowed."""


def paced(block: bytes, layout: Layout, speed: float) -> Iterator[Due]:
    """Yield a block of whole records in pieces of about one tick each, at `speed` times the file's pace.

    A pause that is not a whole number counts as 0.
    """
    start = end = 0
    pause, cut = 0.0, False
    for record in records(block, final=True, form=layout.form):
        end += len(record.raw)
        wanted = _pause_seconds(record.fields, layout)
        cut |= wanted > LONGEST_PAUSE_SECONDS
        pause += min(wanted, LONGEST_PAUSE_SECONDS) / speed
        if pause >= TICK_SECONDS:
            yield Due(block[start:end], pause, cut)
            start, pause, cut = end, 0.0, False
    if start < end:
        yield Due(block[start:end], pause, cut)


def _pause_seconds(fields: list[str] | None, layout: Layout) -> float:
    if fields is None or layout.sleep_ms is None or len(fields) <= layout.sleep_ms:
        return 0.0
    text = fields[layout.sleep_ms].strip(SPACE)
    return float(text) / 1000 if text.isascii() and text.isdigit() else 0.0
