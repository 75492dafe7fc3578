"""Amounts as whole numbers of units: 1 unit is 10^-8 of the currency.

Python's integers have no upper bound and do not round, so a sum of units is exact at any size.
"""

import re
from decimal import Context, Decimal, DecimalException

DECIMALS = 8
UNITS_PER_ONE = 10**8
AMOUNT_LIMIT = 10**12
AMOUNT_LIMIT_UNITS = AMOUNT_LIMIT * UNITS_PER_ONE

_PLAIN = re.compile(r"(?P<sign>-?)(?P<whole>[0-9]+)(?:\.(?P<fraction>[0-9]+))?", re.ASCII)
_SHOWN_DECIMALS = 2
_UNITS_PER_HUNDREDTH = 10**6
_WIDE = Context(prec=60)
"""Has more digits than any sum. The default context would round to 28."""
_TEXT_LIMIT = 64
_DIGITS_AND_POINT = frozenset("0123456789.")


def parse_amount(text: str) -> int:
    """Return the units of one transaction's amount.

    The amount is a plain decimal in ASCII digits with at most 8 decimals, and 0 < amount < 10^12.
    Raises ValueError with the reason when `text` breaks one of these rules.
    """
    match = _PLAIN.fullmatch(text) if len(text) <= _TEXT_LIMIT else None
    if match is None:
        raise ValueError("amount is not a plain decimal")
    if match["sign"]:
        raise ValueError("amount is not above 0")
    fraction = match["fraction"] or ""
    if len(fraction) > DECIMALS:
        raise ValueError(f"amount has more than {DECIMALS} decimals")
    units = int(match["whole"]) * UNITS_PER_ONE + int(fraction.ljust(DECIMALS, "0"))
    return _within_bounds(units)


def plain_amount(text: str) -> str:
    """Return the plain form of an amount in a file: without one leading `+`, and with a 0 before a leading point.

    Returns any other text unchanged.
    """
    bare = text[1:] if text[:1] == "+" and text[1:2] in _DIGITS_AND_POINT else text
    return f"0{bare}" if bare.startswith(".") else bare


def parse_number(text: str) -> int:
    """Return the units of a JSON number, which may have an exponent. Bounds and errors as in `parse_amount`."""
    if "e" not in text and "E" not in text:
        return parse_amount(text)
    if len(text) > _TEXT_LIMIT:
        raise ValueError("amount is not a plain decimal")
    try:
        number = Decimal(text)
    except DecimalException:
        raise ValueError("amount is not a plain decimal") from None
    if number <= 0:
        raise ValueError("amount is not above 0")
    if number >= AMOUNT_LIMIT:
        raise ValueError("amount is not below 10^12")
    if number.adjusted() < -DECIMALS:
        raise ValueError(f"amount has more than {DECIMALS} decimals")
    return units_of(number)


def _within_bounds(units: int) -> int:
    if units <= 0:
        raise ValueError("amount is not above 0")
    if units >= AMOUNT_LIMIT_UNITS:
        raise ValueError("amount is not below 10^12")
    return units


def units_of(number: Decimal) -> int:
    """Return the units of a decimal of any size. Raises ValueError when it has more than 8 decimals."""
    numerator, denominator = number.as_integer_ratio()
    units, rest = divmod(numerator * UNITS_PER_ONE, denominator)
    if rest:
        raise ValueError(f"amount has more than {DECIMALS} decimals")
    return units


def parse_total(text: str) -> int:
    """Return the units of a stored total: the inverse of `format_units`. Raises ValueError for any other text."""
    whole, _, fraction = text.partition(".")
    if whole and len(fraction) == _SHOWN_DECIMALS and (digits := whole + fraction).isdecimal() and digits.isascii():
        return int(digits) * _UNITS_PER_HUNDREDTH
    match = _PLAIN.fullmatch(text)
    if match is None or len(match["fraction"] or "") > DECIMALS:
        raise ValueError(f"not a total: {text!r}")
    units = int(match["whole"]) * UNITS_PER_ONE + int((match["fraction"] or "").ljust(DECIMALS, "0"))
    return -units if match["sign"] else units


def format_units(units: int) -> str:
    """Return units as exact decimal text with 2 to 8 decimals, as many as needed: `52763.85`, `0.00000001`."""
    sign = "-" if units < 0 else ""
    whole, fraction = divmod(abs(units), UNITS_PER_ONE)
    hundredths, rest = divmod(fraction, _UNITS_PER_HUNDREDTH)
    if not rest:
        return f"{sign}{whole}.{hundredths:02d}"
    digits = f"{fraction:0{DECIMALS}d}".rstrip("0").ljust(_SHOWN_DECIMALS, "0")
    return f"{sign}{whole}.{digits}"


def to_decimal(units: int) -> Decimal:
    """Return units as an exact decimal with 8 decimals."""
    return _WIDE.create_decimal(units).scaleb(-DECIMALS, _WIDE)


def units_of_sum(total: Decimal) -> int:
    """Return the units of a sum of valid amounts: the inverse of `to_decimal`."""
    return int(total.scaleb(DECIMALS, _WIDE))
