"""The formats that the values of a column may have, found by trying a list. Where several fit, none is chosen."""

import re
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import datetime
from itertools import product
from typing import NamedTuple, TypeVar

from daybook.domain.transaction import plain_type
from daybook.sources.date_formats import EPOCH, EPOCH_MS
from daybook.sources.profile import Profile
from daybook.sources.reading_rules import reading_rules

Value = TypeVar("Value")

_DAYS = (
    "%d.%m.%Y", "%d.%m.%y", "%d/%m/%Y", "%m/%d/%Y", "%d/%m/%y", "%m/%d/%y", "%Y/%m/%d", "%d-%m-%Y", "%m-%d-%Y",
    "%Y.%m.%d", "%y.%m.%d", "%y/%m/%d", "%y-%m-%d", "%d %b %Y", "%b %d, %Y", "%d %B %Y", "%B %d, %Y", "%d-%b-%Y",
    "%d-%b-%y",
)  # fmt: skip
_TIMES = (
    "", " %H:%M", " %H:%M:%S", " %I:%M %p", " %I:%M:%S %p", ", %H:%M", ", %H:%M:%S", " %H:%M:%S.%f", "T%H:%M:%S",
)  # fmt: skip
_COMPACT = ("%Y%m%d%H%M%S", "%Y%m%d %H%M%S", "%Y-%m-%d %H.%M.%S", "%Y-%m-%d %I:%M:%S %p", "%d%m%Y", "%m%d%Y")
DATE_FORMATS = ("", *(day + time for day, time in product(_DAYS, _TIMES)), *_COMPACT, EPOCH, EPOCH_MS)
"""Tried in this order; empty for ISO 8601."""
_LIKELY_EPOCHS = {EPOCH: (6 * 10**8, 5 * 10**9), EPOCH_MS: (6 * 10**11, 5 * 10**12)}
"""Epochs of the years 1989 to 2128; other numbers are no timestamps."""
AMOUNT_FORMATS = (
    (".", ""), (",", ""), (".", ","), (",", "."), (",", " "), (".", " "), (".", "'"), (",", "'"), (".", "\u2019"),
)  # fmt: skip
"""Decimal sign and separator of thousands, tried in this order."""
PLAIN_TYPES = ("deposit", "withdrawal")
_FEW = 200
"""Values of a column that are tried with all formats; those that fit are tried with all values."""
_SIGNS = re.compile(r"^[+-]?\s*([^\d\s.,'+-][^\d.,'+-]*?)\s*[+-]?[\d.,]|\d\s*([^\d\s.,'+-][^\d.,'+-]*?)$")
_USUAL_TYPES = {
    "deposit": "gutschrift einzahlung credit cr haben einnahme eingang incoming in versement crédit ingreso abono",
    "withdrawal": "lastschrift auszahlung debit dr soll ausgabe ausgang outgoing out retrait débit cargo payout",
}
"""Words of bank exports that usually mean a type."""


class Fit(NamedTuple):
    """How well formats fit the values of a column."""

    number: int
    """Number of values that the best formats read."""
    of: int
    """Number of values."""
    formats: list[Profile]
    """The best formats, each as a profile. Several of them read some value differently."""


def date_fit(values: Sequence[str]) -> Fit:
    """Return the formats that read most of the timestamps."""
    return _best([Profile(date_format=each) for each in DATE_FORMATS], values, _moment_of)


def _moment_of(profile: Profile, text: str) -> datetime:
    if profile.date_format in _LIKELY_EPOCHS:
        low, high = _LIKELY_EPOCHS[profile.date_format]
        if not low <= float(text) <= high:
            raise ValueError("not a likely epoch")
    moment = reading_rules(profile.rules()).moment(text)
    return moment.replace(tzinfo=None)


def amount_fit(values: Sequence[str]) -> Fit:
    """Return the formats that read most of the amounts."""
    signs = Counter(found for text in values if (found := _sign(text)))
    sign = signs.most_common(1)[0][0] if signs else ""
    formats = [
        Profile(decimal=decimal, thousands=thousands, currency_sign=sign) for decimal, thousands in AMOUNT_FORMATS
    ]
    return _best(formats, values, lambda profile, text: reading_rules(profile.rules()).units(text))


def _sign(text: str) -> str:
    match = _SIGNS.search(text)
    return (match[1] or match[2] or "").strip()[:8] if match else ""


def _best(formats: Sequence[Profile], values: Sequence[str], read: Callable[[Profile, str], Value]) -> Fit:
    """Return the first of the best formats, and each further one that reads some value as something else."""

    def all_read(profile: Profile, texts: Sequence[str]) -> dict[int, Value]:
        found = {}
        for index, text in enumerate(texts):
            try:
                found[index] = read(profile, text)
            except ValueError:
                continue
        return found

    likely = [each for each in formats if all_read(each, values[:_FEW])] if len(values) > _FEW else list(formats)
    readings = [(each, all_read(each, values)) for each in likely]
    most = max((len(found) for _, found in readings), default=0)
    best: list[tuple[Profile, dict[int, Value]]] = []
    for profile, found in readings:
        if most and len(found) == most and all(found != other for _, other in best):
            best.append((profile, found))
    return Fit(most, len(values), [profile for profile, _ in best])


def type_fit(values: Sequence[str]) -> Fit:
    """Return how many values are types by themselves."""
    return Fit(sum(plain_type(text) in PLAIN_TYPES for text in values), len(values), [])


def type_words(values: Sequence[str]) -> dict[str, tuple[str, int]]:
    """Return the words that are no plain types, with the type that each usually means (else `reject`) and its number.

    The most frequent word comes first.
    """
    usual = {word: kind for kind, words in _USUAL_TYPES.items() for word in words.split()}
    counts = Counter(text for text in values if text and plain_type(text) not in PLAIN_TYPES)
    return {word: (usual.get(word.casefold(), "reject"), number) for word, number in counts.most_common()}
