"""The parts and options that all importers of a process share, and a file that one of them has open."""

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from enum import Enum
from typing import NamedTuple

from daybook.domain.position import Position
from daybook.domain.source import Stat
from daybook.importing.correcting import Correcting
from daybook.importing.pieces import Piece, Pieces
from daybook.importing.questions import Questions
from daybook.importing.summing_pool import SummingPool
from daybook.sources.profiles import Profiles
from daybook.sources.reader import BlockReader
from daybook.sources.row_sums import Limits
from daybook.sources.sketch import NO_HASHES, Hashes
from daybook.stores.lease import Lease
from daybook.stores.stores import Stores

BLOCK_BYTES = 8 << 20


class Step(Enum):
    """The outcome of one step of an importer."""

    MOVED = "moved"
    """The step queued rows or found a new place to read from."""
    AT_END = "at end"
    """There is nothing to read now."""
    STOPPED = "stopped"


class ImportOptions(NamedTuple):
    replay_speed: float
    """Speed of the pauses in `sleep_ms`: 1 keeps them, 10 is ten times faster, 0 ignores them."""
    limits: Limits
    lease_seconds: float
    alone: bool
    """True when no other process can be importing. Leases found at the start then belong to a killed process."""
    complete: bool = False
    """True when a last line without a line end counts."""
    again: bool = False
    """True when the content of a reverted source is imported again, as a new source."""
    max_open: int = 64
    """Files that are read or followed at once."""
    poll_seconds: float = 0.5
    block_bytes: int = BLOCK_BYTES
    profiles: Profiles = Profiles()


class ImportContext(NamedTuple):
    """The parts that all importers of a process share."""

    stores: Stores
    slots: asyncio.Semaphore
    """One slot for each block that may be in memory at once."""
    registering: asyncio.Lock
    """Lets one importer at a time register its file."""
    pool: SummingPool
    correcting: Correcting
    options: ImportOptions
    questions: Questions | None = None
    """Asks before a new file is imported; None: every file is imported."""


@dataclass
class OpenFile:
    """A file that is being read or followed."""

    reader: BlockReader
    cutting: Pieces
    source: str
    lease: Lease
    position: Position
    stat: Stat
    """The file's stat, taken before its content was read."""
    pieces: AsyncGenerator[Piece, None]
    renew_at: float | None
    """Time at which to renew the lease; None while the file is at rest, without a lease."""
    noted: tuple[int, Stat, str] | None = None
    """Size, stat and problem as last noted in Redis at the file's end."""
    has_queued: bool = False
    """True when rows were queued since its end was last seen: the checkpoint is known to be there."""
    sketch: Hashes = field(default_factory=lambda: NO_HASHES)
    """Sketch of the rows before `position`."""
    draining: bool = False
    """True when the path now names another file. The open file is read to its end first."""
