"""Positions in a source: checkpoints and ledgers both are positions."""

import msgspec

from daybook.domain.bucket import TYPES
from daybook.domain.money import format_units, parse_total


class Position(msgspec.Struct, frozen=True):
    """A place in a source, with the counts and control totals of everything before it.

    `Position()` is the beginning of the source.
    """

    offset: int = 0
    """Number of bytes of (decompressed) content before the place; for the source `queue`, number of elements."""
    line: int = 0
    """Number of lines before `offset`. The record that begins at `offset` is in line `line + 1`."""
    rows: int = 0
    """Number of rows before `offset`, rejected ones included."""
    rejected: int = 0
    """Number of rejected rows among them."""
    deposits: str = "0.00"
    """Control total of the valid deposits, as exact decimal text."""
    withdrawals: str = "0.00"
    """Control total of the valid withdrawals, as exact decimal text."""
    digest: str = ""
    """SHA-256 (in hex) of the content before `offset`."""

    def advanced(
        self, *, size: int, lines: int, rows: int, rejected: int, deposits: int, withdrawals: int, digest: str
    ) -> "Position":
        """Return the position `size` bytes later, whose digest is `digest`. `deposits` and `withdrawals` are units."""
        return Position(
            offset=self.offset + size,
            line=self.line + lines,
            rows=self.rows + rows,
            rejected=self.rejected + rejected,
            deposits=format_units(parse_total(self.deposits) + deposits),
            withdrawals=format_units(parse_total(self.withdrawals) + withdrawals),
            digest=digest,
        )

    def to_json(self) -> bytes:
        return msgspec.json.encode(self)

    @staticmethod
    def from_json(text: bytes) -> "Position":
        return msgspec.json.decode(text, type=Position)


class Refused(msgspec.Struct, frozen=True):
    """The refused rows of a source: valid rows whose bucket had no room for their payment method."""

    rows: int = 0
    deposits: str = "0.00"
    """Total of the refused deposits, as exact decimal text."""
    withdrawals: str = "0.00"
    """Total of the refused withdrawals, as exact decimal text."""

    def more(self, rows: int, deposits: int, withdrawals: int) -> "Refused":
        """Return a copy with further refused rows added. `deposits` and `withdrawals` are units."""
        return Refused(
            self.rows + rows,
            format_units(parse_total(self.deposits) + deposits),
            format_units(parse_total(self.withdrawals) + withdrawals),
        )

    def to_json(self) -> bytes:
        return msgspec.json.encode(self)

    @staticmethod
    def from_json(text: bytes) -> "Refused":
        return msgspec.json.decode(text, type=Refused)


def counted_totals(applied: Position, refused: Refused) -> dict[str, str]:
    """Return the totals of the applied rows as exact decimal text, under `deposits` and `withdrawals`."""
    return {
        kind: format_units(parse_total(getattr(applied, kind)) - parse_total(getattr(refused, kind))) for kind in TYPES
    }
