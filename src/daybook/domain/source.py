"""What Daybook knows of one source."""

from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from daybook.domain.bucket import TYPES
from daybook.domain.money import format_units, parse_total
from daybook.domain.position import Position, Refused
from daybook.domain.reject import REJECTED_LINE, REJECTED_SOURCE

HEAD_BYTES = 4096
QUEUE_SOURCE = "queue"
"""The pseudo-source of transactions that other producers push."""


class Stat(NamedTuple):
    """What saves re-hashing a file that nobody touched; never an identity by itself."""

    size: int
    inode: int
    modified_ns: int


class Source(msgspec.Struct, frozen=True):
    id: str
    path: str
    head: bytes
    """The content's first bytes (at most `HEAD_BYTES`), as they were when it became known."""
    read: Position = Position()
    """The checkpoint: up to here the rows are queued."""
    applied: Position = Position()
    """The ledger: up to here the rows are in the buckets."""
    size: int = 0
    """Bytes of content when it was last looked at; 0 for the queue."""
    untouched: Stat | None = None
    """The file as it was when its last byte had been read; None before."""
    problem: str = ""
    """What keeps the rest from being read, for people; empty when nothing does."""
    order: int = 0
    """Grows with each source that became known."""
    refused: Refused = Refused()
    """Of the rows before the ledger, those that had no room (`MaxMethodsPerBucket`)."""
    rereads: int = 0
    """How often its batches left the queue without a commit and were queued anew."""
    columns: tuple[str, ...] = ()
    """Names in its header, in lower case; none of the queue's own source."""

    @property
    def is_of_corrections(self) -> bool:
        """Whether its rows take the place of rejected ones."""
        return name_rejected_rows(self.columns)

    @property
    def shown_path(self) -> str:
        """As UTF-8 text; empty for the queue's own source."""
        return "" if self.id == QUEUE_SOURCE else self.path.encode("utf-8", "replace").decode()

    @property
    def applied_rows(self) -> int:
        """Rows that are in the buckets."""
        return self.applied.rows - self.applied.rejected - self.refused.rows

    @property
    def rejected_rows(self) -> int:
        return self.read.rejected + self.refused.rows

    @property
    def control_totals(self) -> dict[str, str]:
        """`deposits` and `withdrawals` of the applied rows, exact decimal text."""
        return {
            kind: format_units(parse_total(getattr(self.applied, kind)) - parse_total(getattr(self.refused, kind)))
            for kind in TYPES
        }

    @property
    def waiting(self) -> int:
        """Rows that are queued and neither applied nor rejected yet."""
        return self.read.rows - self.read.rejected - (self.applied.rows - self.applied.rejected)

    @property
    def complete(self) -> bool:
        return self.read.offset >= self.size and self.applied.offset == self.read.offset

    @property
    def state(self) -> str:
        if self.problem:
            return "waiting"
        if self.complete:
            return "done"
        return "reading" if self.read.offset < self.size else "applying"


def name_rejected_rows(columns: Sequence[str]) -> bool:
    """Whether a file with these columns is one of corrections."""
    return all(columns.count(name) == 1 for name in (REJECTED_SOURCE, REJECTED_LINE))
