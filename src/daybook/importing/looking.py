"""The look at a new file before anything of it counts: how many of its first rows are rejected, and a sketch of all."""

from collections import Counter
from dataclasses import dataclass
from functools import reduce
from pathlib import Path

from daybook.sources.reader import BlockReader
from daybook.sources.records import Header, Layout
from daybook.sources.row_sums import Limits, RowSums, sum_rows, sum_rows_within
from daybook.sources.sketch import NO_HASHES, Hashes, merged
from daybook.sources.stretches import LEAST_BYTES, stretches

_FIRST_ROWS, _FIRST_BYTES = 1000, 256 << 10


@dataclass
class Look:
    """What was seen of a new file."""

    path: Path
    size: int
    """Number of bytes of content."""
    layout: Layout
    source: str
    """Id of the source that the file is about to become."""
    first: list[RowSums]
    """Sums of the first rows: at most 1,000 lines and 256 KiB."""
    data: bytes
    """The bytes that `first` covers, until they are read again."""
    whole: bool
    """True when the whole file was looked at."""
    sketch: Hashes
    rows: int
    """Number of rows that were looked at, the rejected ones left out."""
    _farther: bool = False

    @property
    def first_rows(self) -> int:
        return sum(part.rows for part in self.first)

    @property
    def reasons(self) -> Counter[str]:
        """Number of rejects among the first rows, by reason."""
        return Counter(reject.reason for part in self.first for reject in part.rejects)

    def take(self, block: bytes) -> list[RowSums] | None:
        """Return the sums of a block once, if it is the one that was looked at; then forget its bytes."""
        data, self.data = self.data, b""
        return self.first if data and data == block else None

    def look_farther(self) -> None:
        """Look at rows from all over the file. Blocks. Raises SourceError."""
        if self.whole or self._farther:
            return
        self._farther, self.rows, self.sketch = True, 0, NO_HASHES
        self.whole = self.size <= LEAST_BYTES
        for stretch in stretches(self.path, self.size, self.layout.form):
            sums = sum_rows(stretch, self.layout, self.source)
            self.sketch = merged(self.sketch, sums.sketch)
            self.rows += sums.rows - len(sums.rejects)


def look(reader: BlockReader, header: Header, source: str, limits: Limits, size: int) -> Look:
    """Look at the first rows of a file of `size` bytes; its reader is before the header and stays there. Blocks."""
    data = reader.ahead(_FIRST_ROWS + header.lines, _FIRST_BYTES)[header.size :]
    first = sum_rows_within(data, header.layout, source, limits) if data else []
    sketch = reduce(merged, (part.sketch for part in first), NO_HASHES)
    rows = sum(part.rows - len(part.rejects) for part in first)
    whole = header.size + len(data) >= size
    return Look(reader.path, size, header.layout, source, first, data, whole, sketch, rows)
