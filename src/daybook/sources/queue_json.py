"""The queue element of any other producer: JSON, one transaction or several separated by newlines."""

from collections.abc import Iterator
from typing import NamedTuple

import msgspec

from daybook.domain.money import parse_amount, parse_number
from daybook.domain.transaction import Transaction, check_payment_method, parse_day, parse_type


class QueueTransaction(msgspec.Struct):
    Timestamp: str
    Type: str
    PaymentMethod: str
    Amount: msgspec.Raw


class Judged(NamedTuple):
    raw: bytes
    transaction: Transaction | None
    reason: str


_DECODER = msgspec.json.Decoder(QueueTransaction)


def read_element(element: bytes) -> Iterator[Judged]:
    """Every line of the element, valid or with the reason why not; blank lines are no transactions."""
    for line in element.split(b"\n") if b"\n" in element else (element,):
        if not line.strip():
            continue
        try:
            yield Judged(line, parse_transaction(line), "")
        except ValueError as error:
            yield Judged(line, None, str(error))


def parse_transaction(line: bytes) -> Transaction:
    """Raises ValueError with the reason."""
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
