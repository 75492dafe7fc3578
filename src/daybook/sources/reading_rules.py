"""What the values of a row mean: by default, or as a profile tells."""

import re
from collections.abc import Callable, Mapping
from datetime import datetime
from functools import lru_cache
from typing import NamedTuple

from daybook.domain.money import parse_amount, plain_amount
from daybook.domain.transaction import TransactionType, parse_moment, parse_type, plain_type
from daybook.sources.date_formats import moment_reader
from daybook.sources.profile import REJECT, Profile

_SPACES = "[ \xa0\u202f]"
"""The spaces that programs put between thousands: plain, no-break, and narrow no-break."""


class ReadingRules(NamedTuple):
    """Functions from the text of a field, without spaces around it, to its meaning. All raise ValueError."""

    moment: Callable[[str], datetime]
    """Moment in UTC."""
    type: Callable[[str], TransactionType]
    units: Callable[[str], int]


@lru_cache(maxsize=64)
def reading_rules(rules: str) -> ReadingRules:
    """Return the rules of `Profile.rules()`; an empty text stands for the plain ones."""
    if not rules:
        return ReadingRules(parse_moment, _plain_type, _plain_units)
    profile = Profile.from_json(rules)
    return ReadingRules(
        moment_reader(profile.date_format, profile.time_zone),
        _type_reader(profile.type_map) if profile.type_map else _plain_type,
        _amount_reader(profile),
    )


def _plain_type(text: str) -> TransactionType:
    return parse_type(plain_type(text))


def _plain_units(text: str) -> int:
    return parse_amount(plain_amount(text))


def _type_reader(type_map: Mapping[str, str]) -> Callable[[str], TransactionType]:
    def read(text: str) -> TransactionType:
        meaning = type_map.get(text.casefold())
        if meaning == REJECT:
            raise ValueError(f"type {text[:64]!r} is rejected by the import profile")
        return TransactionType(meaning) if meaning else _plain_type(text)

    return read


def _amount_reader(profile: Profile) -> Callable[[str], int]:
    decimal, thousands, sign = profile.decimal, profile.thousands, profile.currency_sign
    between = _SPACES if thousands == " " else re.escape(thousands)
    groups = f"[0-9]{{1,3}}(?:{between}[0-9]{{3}})+|" if thousands else ""
    form = re.compile(rf"([+-]?)({groups}[0-9]*)(?:{re.escape(decimal)}([0-9]+))?", re.ASCII)
    parts = f"{decimal!r} before decimals" + (f" and {thousands!r} between groups of three digits" if thousands else "")

    def read(text: str) -> int:
        bare = _without_sign(text, sign) if sign else text
        match = form.fullmatch(bare)
        if match is None:
            raise ValueError(f"amount is not a plain decimal with {parts}")
        whole = re.sub("[^0-9]", "", match[2])
        return _plain_units(f"{match[1]}{whole}" + (f".{match[3]}" if match[3] else ""))

    return read


def _without_sign(text: str, sign: str) -> str:
    if text.startswith(sign):
        return text.removeprefix(sign).strip()
    return text.removesuffix(sign).strip()
