"""Reversals: a source's whole effect is taken back, once."""

import msgspec

from daybook.domain.position import Position, Refused, counted_totals
from daybook.domain.reject import Reject


class Reversal(msgspec.Struct, frozen=True):
    """The record of a reversal, which the reverted source keeps."""

    id: str
    """Random text: tells it from another try."""
    by: str
    """The person or program that asked for it, as given."""
    why: str
    """The reason, as given."""
    at: str
    """Moment at which it was asked for, as `clock.moment_text`."""
    position: Position
    """The source's ledger before the reversal."""
    refused: Refused = Refused()
    """The source's refused rows before the reversal."""
    replaced_by: str = ""
    """Id of the source that takes its place; empty when there is none."""
    queued: bool = False
    """True once the reversal's batch is in the queue."""

    @property
    def control_totals(self) -> dict[str, str]:
        """Return the totals that the source's rows had, as exact decimal text, under `deposits` and `withdrawals`."""
        return counted_totals(self.position, self.refused)

    def to_json(self) -> bytes:
        return msgspec.json.encode(self)

    @staticmethod
    def from_json(text: bytes) -> "Reversal":
        return msgspec.json.decode(text, type=Reversal)


class RevertedCorrections(msgspec.Struct, frozen=True):
    """The rows of one file of corrections that corrected rejects of a reverted source: they no longer count."""

    source: str
    """Id of the file of corrections."""
    offset: int
    """Byte offset that its ledger has reached at least; it was itself reverted if its ledger is before it."""
    deposits: int
    """Total of these rows' deposits, in units."""
    withdrawals: int
    rejects: list[Reject]
    """A reject for each of these rows."""
    cells: list[tuple[str, str, str, int, int]] = []
    """Day, type, payment method, units and transactions of each cell that these rows add up to."""


class Reverses(msgspec.Struct, frozen=True):
    """What a batch takes back besides what it adds."""

    source: str
    """Id of the reverted source."""
    offset: int
    """Byte offset of its ledger: with another one the batch is not applied."""
    reversal: Reversal
    """What the source keeps of it."""
    cells: int
    """Number of cells, at the batch's end, that are subtracted."""
    corrections: list[RevertedCorrections] = []
