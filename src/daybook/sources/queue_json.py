"""The elements of other producers: JSON, with one transaction or several, one a line."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import msgspec

from daybook.domain.bucket import Sums, add_transaction
from daybook.domain.money import parse_amount, parse_number
from daybook.domain.transaction import Transaction, check_payment_method, parse_day, parse_type
from daybook.sources.columns.cells import CellColumns, empty, from_sums, joined
from daybook.sources.columns.sure_rows import sum_sure_rows
from daybook.sources.records import Layout


class QueueTransaction(msgspec.Struct):
    """The fields that a line of JSON must have."""

    Timestamp: str
    Type: str
    PaymentMethod: str
    Amount: msgspec.Raw


class JsonSums(NamedTuple):
    """The exact sums of lines of JSON, and the rejected lines."""

    cells: CellColumns
    rejected: list[tuple[int, str]]
    """Index of each rejected line, ascending, and the reason."""


_DECODER = msgspec.json.Decoder(QueueTransaction)
_UNREADABLE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
_LAYOUT = Layout(width=4, timestamp=0, type=1, payment_method=2, amount=3, sleep_ms=None)


def lines_of(element: bytes) -> list[bytes]:
    """Return the lines of an element that are not blank."""
    if b"\n" not in element:
        return [element] if element.strip() else []
    return [line for line in element.split(b"\n") if line.strip()]


def sum_json_lines(lines: Sequence[bytes]) -> JsonSums:
    """Add up lines: the sure ones column by column, the others one by one with `parse_transaction`."""
    rows: list[str] = []
    index_of: list[int] = []
    doubtful: list[int] = []
    for index, item in enumerate(map(_decode, lines)):
        if item is None:
            doubtful.append(index)
        else:
            amount = bytes(item.Amount).decode("utf-8", "replace").strip('"')
            rows.append(f"{item.Timestamp},{item.Type},{item.PaymentMethod},{amount}\n")
            index_of.append(index)
    block = "".join(rows).encode()
    sums: Sums = {}
    sure = empty()
    if block.count(b"\n") != len(rows):
        doubtful = list(range(len(lines)))
    elif rows:
        found = sum_sure_rows(block, _LAYOUT)
        sure = found.cells
        doubtful = sorted(doubtful + [index_of[row] for row in found.doubtful])
    rejected = list(_judge(lines, doubtful, sums))
    return JsonSums(joined([sure, from_sums(sums)]) if sums else sure, rejected)


def _decode(line: bytes) -> QueueTransaction | None:
    try:
        return _DECODER.decode(line)
    except _UNREADABLE:
        return None


def _judge(lines: Sequence[bytes], doubtful: Sequence[int], sums: Sums) -> Iterator[tuple[int, str]]:
    for index in doubtful:
        judged = judge_line(lines[index])
        if isinstance(judged, Transaction):
            add_transaction(sums, judged)
        else:
            yield index, judged


def judge_line(line: bytes) -> Transaction | str:
    """Return the line's transaction, or the reason why it is rejected."""
    try:
        return parse_transaction(line)
    except (ValueError, ArithmeticError) as error:
        return str(error)


def parse_transaction(line: bytes) -> Transaction:
    """Return the transaction in a line of JSON. Raises ValueError with the reason when the line breaks a rule."""
    try:
        item = _DECODER.decode(line)
    except msgspec.ValidationError as error:
        raise ValueError(f"not a transaction: {error}") from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ValueError(f"not JSON: {error}") from error
    return Transaction(
        parse_day(item.Timestamp),
        parse_type(item.Type),
        check_payment_method(item.PaymentMethod),
        _parse_json_amount(bytes(item.Amount)),
    )


def _parse_json_amount(raw: bytes) -> int:
    if raw.startswith(b'"'):
        return parse_amount(msgspec.json.decode(raw, type=str))
    if raw[:1] in b"-0123456789":
        return parse_number(raw.decode())
    raise ValueError("amount is neither a number nor a text")
