"""The record of one source."""

from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from daybook.domain.position import Position, Refused, counted_totals
from daybook.domain.reject import REJECTED_LINE, REJECTED_SOURCE
from daybook.domain.reversal import Reversal

HEAD_BYTES = 4096
"""Length of `Source.head`, unless the content is shorter."""
QUEUE_SOURCE = "queue"
"""Id of the source of all that other producers push."""


class Stat(NamedTuple):
    """The state of a file by which an unchanged file is recognized without reading it.

    It never identifies a source by itself.
    """

    size: int
    """Bytes of the file (compressed, if it is)."""
    inode: int
    modified_ns: int


class Held(msgspec.Struct, frozen=True, omit_defaults=True):
    """Why nothing is read of a source until an operator releases it."""

    kind: str
    """`overlap`: most rows were imported before; `rejects`: most rows would be rejected."""
    reason: str
    """The same with the figures, as text for people."""
    at: str
    """When it was held, as `clock.moment_text`."""
    like: str = ""
    """Id of the source whose rows it has; empty when it is held for something else."""
    dropped: str = ""
    """When an operator dropped the source, which is then never read, as `clock.moment_text`; empty: not dropped."""


class Source(msgspec.Struct, frozen=True):
    """A source, its checkpoint and its ledger."""

    id: str
    path: str
    """Path of its file; empty for the source `queue`."""
    head: bytes
    """First bytes of the content (at most `HEAD_BYTES`) at the moment when the source was registered."""
    read: Position = Position()
    """The checkpoint: the rows before it are queued."""
    applied: Position = Position()
    """The ledger: the rows before it are in the buckets."""
    size: int = 0
    """Bytes of content when the file was last looked at; 0 for the source `queue`."""
    untouched: Stat | None = None
    """State of the file when its last byte was read; None before that."""
    problem: str = ""
    """Reason, for people, why the rest of the content is not read; empty when there is none."""
    order: int = 0
    """Rank of the source by the time of its registration: later sources have larger numbers."""
    refused: Refused = Refused()
    """The refused rows among those before the ledger (`MaxMethodsPerBucket`)."""
    rereads: int = 0
    """Number of times that its batches left the queue without a commit and its rows were read again."""
    contributed: int = 0
    """Offset before which the contributions of all applied rows are kept, without a gap from the beginning."""
    columns: tuple[str, ...] = ()
    """Column names of the header, in lower case; empty for the source `queue`."""
    profile: str = ""
    """The import profile by which its rows are read, as JSON; empty for the plain form."""
    replaces: str = ""
    """Id of the source whose place it takes; its first rows count in the commit that reverts that source."""
    reverting: Reversal | None = None
    """The reversal that is under way."""
    reverted: Reversal | None = None
    """The reversal that is done: both positions are at the beginning again, and nothing more is read."""
    since: str = ""
    """When the source was registered, as `clock.moment_text`; empty when unknown."""
    held: Held | None = None
    """Why nothing is read of it; None when it is read."""
    sketch: bytes = b""
    """Sketch of the rows before the checkpoint (`sources/sketch.py`); after a restore also of rows to be read again."""

    @property
    def is_replacement_to_come(self) -> bool:
        """Return whether nothing may be read from it yet but by the reversal of the source that it replaces."""
        return bool(self.replaces) and self.read.offset == 0 and self.reverted is None

    @property
    def reached(self) -> Position:
        """Return how far its content is known: the checkpoint, or where it was before the reversal."""
        return self.reverted.position if self.reverted else self.read

    @property
    def is_of_corrections(self) -> bool:
        """Return whether the source is a file of corrections."""
        return name_rejected_rows(self.columns)

    @property
    def shown_path(self) -> str:
        """Return the path as valid UTF-8; empty for the source `queue`."""
        return "" if self.id == QUEUE_SOURCE else self.path.encode("utf-8", "replace").decode()

    @property
    def applied_rows(self) -> int:
        """Return the number of rows that are in the buckets."""
        return self.applied.rows - self.applied.rejected - self.refused.rows

    @property
    def rejected_rows(self) -> int:
        """Return the number of rejects, refused rows included."""
        return self.read.rejected + self.refused.rows

    @property
    def control_totals(self) -> dict[str, str]:
        """Return the totals of the applied rows as exact decimal text, under `deposits` and `withdrawals`."""
        return counted_totals(self.applied, self.refused)

    @property
    def has_contributions(self) -> bool:
        """Return whether the contributions of all its applied rows are kept (`KeepContributions`)."""
        return self.contributed == self.applied.offset

    @property
    def waiting(self) -> int:
        """Return the number of queued rows that are neither applied nor rejected yet."""
        return self.read.rows - self.read.rejected - (self.applied.rows - self.applied.rejected)

    @property
    def complete(self) -> bool:
        """Return whether the whole content is queued and applied."""
        return self.read.offset >= self.size and self.applied.offset == self.read.offset

    @property
    def state(self) -> str:
        """Return the state.

        It is `reverted`, `reverting`, `held`, `dropped`, `waiting` (there is a problem), `done`, `reading` or
        `applying`.
        """
        if self.reverted:
            return "reverted"
        if self.reverting:
            return "reverting"
        if self.held is not None:
            return "dropped" if self.held.dropped else "held"
        if self.problem:
            return "waiting"
        if self.complete:
            return "done"
        return "reading" if self.read.offset < self.size else "applying"


def name_rejected_rows(columns: Sequence[str]) -> bool:
    """Return whether a file with these columns is a file of corrections."""
    return all(columns.count(name) == 1 for name in (REJECTED_SOURCE, REJECTED_LINE))
