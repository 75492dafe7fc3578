"""The reference reader: reads CSV records one by one. It judges every row that the fast reader is not sure of."""

import csv
import shlex
from collections.abc import Iterator
from itertools import islice
from typing import NamedTuple

from daybook.domain.money import parse_amount
from daybook.domain.reject import APOSTROPHES, REJECTED_LINE, REJECTED_SAFE, REJECTED_SOURCE, unprotected
from daybook.domain.source import name_rejected_rows
from daybook.domain.transaction import Transaction, check_payment_method, parse_day, parse_type
from daybook.errors import SourceError
from daybook.sources.looks import look_at

MAX_RECORD_BYTES = 1 << 16
"""A longer record is rejected: the end of an open quote is looked for no farther than this."""
MAX_RECORD_LINES = 100
"""The same bound in lines. Each line may begin with a quote whose end is looked for again."""

REQUIRED = ("timestamp", "type", "payment_method", "amount")
EXPECTED_HEADER = "timestamp,type,payment_method,amount[,sleep_ms] (any order, further columns are ignored)"
_BOM = b"\xef\xbb\xbf"


class Layout(NamedTuple):
    """The number of columns and the index of each column that is read."""

    width: int
    timestamp: int
    type: int
    payment_method: int
    amount: int
    sleep_ms: int | None
    rejected: tuple[int, int] | None = None
    """Columns of the rejected row's source and line in a file of corrections; None in any other file."""
    safe: int | None = None
    """Column of a file of corrections that says whether the row's cells are protected from spreadsheets."""


class Record(NamedTuple):
    raw: bytes
    """Bytes of the record, its line end included."""
    lines: int
    """Number of lines."""
    fields: list[str] | None
    """None when the record is blank or cannot be split into fields."""
    reason: str = ""
    """Reason why the record cannot be split into fields; else empty."""

    @property
    def is_blank(self) -> bool:
        """Return whether the record is an empty line, which is not a row."""
        return self.fields is None and not self.reason


class Header(NamedTuple):
    layout: Layout
    size: int
    """Number of bytes, a byte order mark included."""
    lines: int
    """Number of lines."""
    names: tuple[str, ...]
    """Names of the columns, in lower case."""


def read_header(head: bytes, path: str, *, final: bool) -> Header | None:
    """Return the header at the beginning of a file's bytes; None while it is not complete.

    `final` says that nothing follows `head`. Raises SourceError with the file and the expected header when
    the header is wrong.
    """
    mark = len(_BOM) if head.startswith(_BOM) else 0
    record = next(records(head[mark:], final=final), None)
    if record is None:
        return None
    names = [name.strip().lower() for name in record.fields or []]
    missing = [name for name in REQUIRED if names.count(name) != 1]
    if missing:
        if look := look_at(head):
            raise wrong_file(path, f"looks like {look}")
        found = raw_text_line(record.raw)
        raise wrong_file(
            path,
            f"wrong header {found!r}: need exactly one column {', '.join(missing)}; expected {EXPECTED_HEADER}",
        )
    sleep_ms = names.index("sleep_ms") if "sleep_ms" in names else None
    rejected = (names.index(REJECTED_SOURCE), names.index(REJECTED_LINE)) if name_rejected_rows(names) else None
    columns = {name: names.index(name) for name in REQUIRED}
    safe = names.index(REJECTED_SAFE) if rejected and names.count(REJECTED_SAFE) == 1 else None
    layout = Layout(width=len(names), sleep_ms=sleep_ms, rejected=rejected, safe=safe, **columns)
    return Header(layout, mark + len(record.raw), record.lines, tuple(names))


def wrong_file(path: str, problem: str) -> SourceError:
    """Return the error for a file that is no CSV file of transactions; it names the command that tells more."""
    return SourceError(f"{path}: {problem}; `daybook inspect {shlex.quote(path)}` tells how it can be imported")


def raw_text_line(raw: bytes) -> str:
    """Return a record as text for a message, cut to 120 characters."""
    shown = raw.rstrip(b"\r\n").decode("utf-8", "backslashreplace")
    return shown if len(shown) <= 120 else f"{shown[:120]}…"  # noqa: PLR2004 - fits one line of a log


def split_lines(block: bytes) -> list[bytes]:
    """Return the lines of `block`, each with its line end; the last may have none."""
    *lines, rest = block.split(b"\n")
    lines = [line + b"\n" for line in lines]
    return [*lines, rest] if rest else lines


def records(block: bytes, *, final: bool) -> Iterator[Record]:
    """Yield the complete records of `block`, in order. Blank lines have no fields and no reason.

    A record with malformed quotes is yielded as its first line, with a reason, and reading goes on with
    the next line. An incomplete record at the end (no line end, or an open quote that later bytes may
    close) is yielded only when the block is `final`.
    """
    lines = split_lines(block)
    if lines and not final and not lines[-1].endswith(b"\n"):
        lines.pop()
    index = 0
    while index < len(lines):
        record = record_at(lines, index, final=final)
        if record is None:
            return
        yield record
        index += record.lines


def record_at(lines: list[bytes], index: int, *, final: bool) -> Record | None:
    """Return the record that begins at line `index`; None when it may continue after the last line."""
    if b'"' in lines[index]:
        return _quoted(lines, index, final=final)
    return _unquoted(lines[index])


def aligned_end(block: bytes, *, final: bool) -> int:
    """Return the offset at which the last complete record of a block ends."""
    if b'"' in block or final:
        return sum(len(record.raw) for record in records(block, final=final))
    return block.rfind(b"\n") + 1


def _unquoted(line: bytes) -> Record:
    content = line.rstrip(b"\r\n")
    if not content:
        return Record(line, 1, None)
    try:
        return Record(line, 1, content.decode().split(","))
    except UnicodeDecodeError:
        return Record(line, 1, None, "bytes are not UTF-8")


def _quoted(lines: list[bytes], index: int, *, final: bool) -> Record | None:
    """Return the record that begins at a line with a quote; None when it may continue after the last line."""
    taken: list[bytes] = []
    ran_out = False

    def feed() -> Iterator[str]:
        nonlocal ran_out
        size = 0
        for line in islice(lines, index, index + MAX_RECORD_LINES):
            size += len(line)
            if taken and size > MAX_RECORD_BYTES:
                return
            taken.append(line)
            yield line.decode("utf-8", "surrogateescape")
        ran_out = len(taken) < MAX_RECORD_LINES

    try:
        fields = next(csv.reader(feed(), strict=True))
    except csv.Error:
        if ran_out and not final and sum(map(len, taken)) <= MAX_RECORD_BYTES:
            return None
        return Record(lines[index], 1, None, "quotes are malformed")
    raw = b"".join(taken)
    try:
        raw.decode()
    except UnicodeDecodeError:
        return Record(raw, len(taken), None, "bytes are not UTF-8")
    return Record(raw, len(taken), fields)


def judge(record: Record, layout: Layout) -> Transaction | str:
    """Return the record's transaction, or the reason why it is rejected (empty for a blank record)."""
    if record.fields is None:
        return record.reason
    try:
        return parse_row(record.fields, layout)
    except ValueError as error:
        return str(error)


def parse_row(fields: list[str], layout: Layout) -> Transaction:
    """Return the transaction in a row's fields. Raises ValueError with the reason when the row breaks a rule."""
    if len(fields) != layout.width:
        few = "few" if len(fields) < layout.width else "many"
        raise ValueError(f"too {few} fields: {len(fields)} instead of {layout.width}")
    if layout.safe is not None and fields[layout.safe] == APOSTROPHES:
        fields = [unprotected(field) for field in fields]
    return Transaction(
        parse_day(fields[layout.timestamp]),
        parse_type(fields[layout.type]),
        check_payment_method(fields[layout.payment_method]),
        parse_amount(fields[layout.amount]),
    )
