"""The rules that make a row a transaction. `daybook.domain.money` has those for the amount."""

import re
import unicodedata
from datetime import UTC, datetime
from enum import StrEnum
from typing import NamedTuple

MAX_METHOD_LENGTH = 64

_TIME = r"([01]\d|2[0-3])(:?[0-5]\d(:?[0-5]\d([.,]\d{1,9})?)?)?"
_ISO_8601 = re.compile(
    rf"\d{{4}}(-\d{{2}}-\d{{2}}|\d{{4}})([T ]{_TIME}(Z|[+-]([01]\d|2[0-3])(:?[0-5]\d)?)?)?", re.ASCII
)
_METHOD_PUNCTUATION = frozenset(" _-+&")


class TransactionType(StrEnum):
    DEPOSIT = "deposit"
    WITHDRAWAL = "withdrawal"

    @property
    def plural(self) -> str:
        """Return the word for keys, documents and answers: `deposits` or `withdrawals`."""
        return f"{self.value}s"


_PLAIN_TYPES = {form: kind.value for kind in TransactionType for form in (kind.value, kind.plural)}


class Transaction(NamedTuple):
    day: str
    """`YYYY-MM-DD` in UTC."""
    type: TransactionType
    payment_method: str
    units: int
    """Amount in units of 10^-8."""
    second: int = 0
    """Second of the day in UTC, without fractions. It tells rows apart in sketches and counts nowhere."""


def parse_day(timestamp: str) -> str:
    """Return the UTC day (`YYYY-MM-DD`) of an ISO 8601 timestamp. Raises what `parse_moment` raises."""
    return parse_moment(timestamp).date().isoformat()


def second_of(moment: datetime) -> int:
    """Return the second of the day, without its fraction."""
    return moment.hour * 3600 + moment.minute * 60 + moment.second


def parse_moment(timestamp: str) -> datetime:
    """Return the moment of an ISO 8601 timestamp in UTC. A timestamp without an offset is in UTC.

    Raises ValueError with the reason for any other text and for a date that does not exist.
    """
    return in_utc(parse_local(timestamp))


def parse_local(timestamp: str) -> datetime:
    """Return an ISO 8601 timestamp as it is written, with its offset if it has one. Raises as `parse_moment` does."""
    if _ISO_8601.fullmatch(timestamp) is None:
        raise ValueError("timestamp is not ISO 8601")
    try:
        return datetime.fromisoformat(timestamp)
    except ValueError as error:
        raise ValueError("timestamp is not a date that exists") from error


def in_utc(moment: datetime) -> datetime:
    """Return a moment in UTC; one without an offset is there already. Raises ValueError outside the years 1 to 9999."""
    try:
        return moment if moment.tzinfo is None else moment.astimezone(UTC)
    except OverflowError as error:
        raise ValueError("timestamp is not a date that exists") from error


def parse_type(text: str) -> TransactionType:
    """Return the type that `text` names. Raises ValueError for any other text."""
    try:
        return TransactionType(text)
    except ValueError:
        raise ValueError("type is neither deposit nor withdrawal") from None


def plain_type(text: str) -> str:
    """Return the plain form of a type in a file: in lower case and singular. Returns any other text unchanged."""
    return _PLAIN_TYPES.get(text.lower(), text)


def check_payment_method(method: str) -> str:
    """Return `method` if it has 1 to 64 characters: letters of any script, digits, space, `_`, `-`, `+`, `&`.

    Combining marks are allowed after the first character, because many scripts write letters with them.
    Raises ValueError with the reason.
    """
    if not method:
        raise ValueError("payment method is empty")
    if len(method) > MAX_METHOD_LENGTH:
        raise ValueError(f"payment method is longer than {MAX_METHOD_LENGTH} characters")
    for position, character in enumerate(method):
        category = unicodedata.category(character)
        letter = category[0] == "L" or category == "Nd" or (category[0] == "M" and position > 0)
        if not (letter or character in _METHOD_PUNCTUATION):
            raise ValueError("payment method has a character other than letters, digits, space and _-+&")
    return method
