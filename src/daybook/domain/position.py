"""How far a source is read: the one thing that a checkpoint and a ledger are."""

import msgspec

from daybook.domain.money import format_units, parse_total


class Position(msgspec.Struct, frozen=True):
    """Everything of a source before one byte, added up. The empty position is the file's beginning."""

    offset: int = 0
    """Bytes of (decompressed) content; of the queue's pseudo-source: elements."""
    line: int = 0
    """Lines before `offset`; the record that begins there stands in line `line + 1`."""
    rows: int = 0
    """Records read: valid and rejected ones."""
    rejected: int = 0
    deposits: str = "0.00"
    """Control total of the valid deposits, exact decimal text."""
    withdrawals: str = "0.00"
    digest: str = ""
    """SHA-256 (hex) of the content before `offset`."""

    def advanced(
        self, *, size: int, lines: int, rows: int, rejected: int, deposits: int, withdrawals: int, digest: str
    ) -> "Position":
        """The position after `size` further bytes; the control totals are given in units of 10^-8."""
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
    """Valid rows that the importer passed and the aggregator rejected: their bucket had no room for their method."""

    rows: int = 0
    deposits: str = "0.00"
    """What they add up to, exact decimal text."""
    withdrawals: str = "0.00"

    def more(self, rows: int, deposits: int, withdrawals: int) -> "Refused":
        """With so many further rows; the totals are given in units of 10^-8."""
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
