"""Import profiles: what a user tells of a file whose form is not the plain one."""

import re
import zoneinfo
from collections.abc import Mapping
from difflib import get_close_matches

import msgspec

from daybook.errors import SourceError
from daybook.sources.date_formats import check_date_format
from daybook.sources.text_form import PLAIN, TextForm, checked_encoding

FIELDS = ("timestamp", "type", "payment_method", "amount", "sleep_ms", "currency")
"""Fields that a profile may find in columns of other names."""
REJECT = "reject"
"""Word of a type map for types that do not count."""
_TYPES = ("deposit", "withdrawal", REJECT)
_DECIMALS = (".", ",")
_THOUSANDS = (".", ",", " ", "'", "\u2019", "_")
_MOST_SIGN_CHARACTERS = 8
_TAB = {"\\t": "\t", "tab": "\t"}


class Profile(msgspec.Struct, frozen=True, rename="kebab"):
    """How to read a file, as its user told. The defaults are the plain form.

    Its JSON is kept with the source. The keys are the names of the options of `daybook import` and those of the TOML.
    """

    map: dict[str, str] = {}
    """Field (of `FIELDS`) → name of its column."""
    delimiter: str = PLAIN.delimiter
    encoding: str = PLAIN.encoding
    date_format: str = ""
    """A format of `strptime`, `epoch` or `epoch-ms`; empty for ISO 8601."""
    time_zone: str = ""
    """Zone of timestamps without an offset; empty for UTC."""
    decimal: str = "."
    thousands: str = ""
    """Separator of thousands; empty when amounts have none."""
    currency_sign: str = ""
    """Sign or word that may stand before or after an amount."""
    type_map: dict[str, str] = {}
    """Word in case-folded form → `deposit`, `withdrawal` or `reject`."""
    currency: str = ""
    """Code that a column `currency` must have in each row; set from the setting `Currency`, never from a file."""

    def column_of(self, field: str) -> str:
        """Return the name of a field's column, in lower case."""
        return self.map.get(field, field).strip().lower()

    def rules(self) -> str:
        """Return the part that says what the values of a row mean, as JSON; empty when they are plain."""
        return msgspec.structs.replace(self.without_form(), map={}, currency="").to_json()

    def without_form(self) -> "Profile":
        """Return the profile for the same rows in a plain CSV file, as a file of corrections has them."""
        return msgspec.structs.replace(self, delimiter=PLAIN.delimiter, encoding=PLAIN.encoding)

    def to_json(self) -> str:
        """Return the profile as it is kept with a source; empty for the plain one."""
        plain = Profile()
        told = {
            name: getattr(self, field)
            for field, name in zip(self.__struct_fields__, self.__struct_encode_fields__, strict=True)
            if getattr(self, field) != getattr(plain, field)
        }
        return msgspec.json.encode(told, order="sorted").decode() if told else ""

    @staticmethod
    def from_json(text: str) -> "Profile":
        """Return the profile that `to_json` wrote; the plain one for an empty text."""
        return msgspec.json.decode(text, type=Profile) if text else Profile()

    @property
    def form(self) -> TextForm:
        return TextForm(self.encoding, self.delimiter)

    def is_like(self, other: "Profile") -> bool:
        """Return whether a user told the same; the currency is set elsewhere."""
        return msgspec.structs.replace(self, currency="") == msgspec.structs.replace(other, currency="")

    def differences(self, other: "Profile") -> str:
        """Return what differs from another profile, as text for people: `decimal ',' instead of '.'`."""
        return ", ".join(
            f"{name} {getattr(self, field)!r} instead of {getattr(other, field)!r}"
            for name, field in zip(KEYS, self.__struct_fields__, strict=False)
            if getattr(self, field) != getattr(other, field)
        )


KEYS = tuple(name for name in Profile.__struct_encode_fields__ if name != "currency")
"""What a user can tell."""


def make_profile(told: Mapping[str, object], where: str) -> Profile:
    """Return the profile of what was told under `KEYS`. Raises SourceError, which begins with `where`."""
    try:
        for key in told:
            _check_word(key, KEYS, "key")
        found = msgspec.convert(dict(told), Profile)
        return _checked(found)
    except msgspec.ValidationError as error:
        raise SourceError(f"{where}: {_in_words(str(error))}") from None
    except ValueError as error:
        raise SourceError(f"{where}: {error}") from None


def _in_words(problem: str) -> str:
    what, _, place = problem.partition(" - at `$.")
    return f"{place.rstrip('`')}: {what[:1].lower()}{what[1:]}" if place else what


def _check_word(word: str, known: tuple[str, ...], what: str) -> None:
    if word not in known:
        near = get_close_matches(word.lower().replace("_", "-"), known, 1) or get_close_matches(word.lower(), known, 1)
        hint = f"did you mean {near[0]}?" if near else f"known are {', '.join(known)}"
        raise ValueError(f"{what} {word!r} is not known: {hint}")


def _checked(found: Profile) -> Profile:
    """Return the profile with each value in its usual form. Raises ValueError with the reason."""
    for field, column in found.map.items():
        _check_word(field, FIELDS, "field")
        if not column.strip():
            raise ValueError(f"map: {field} has no column")
    delimiter = _TAB.get(found.delimiter, found.delimiter)
    if len(delimiter) != 1 or delimiter.isalnum() or delimiter in '"\r\n' or not delimiter.isascii():
        raise ValueError(f"delimiter {found.delimiter!r} is not one character such as ; or , or | or \\t")
    check_date_format(found.date_format)
    if found.time_zone:
        _check_zone(found.time_zone)
        if found.date_format.startswith("epoch"):
            raise ValueError(f"time-zone and date-format {found.date_format} exclude each other: an epoch is in UTC")
    _check_amounts(found)
    return msgspec.structs.replace(
        found,
        delimiter=delimiter,
        encoding=checked_encoding(found.encoding),
        currency_sign=found.currency_sign.strip(),
        type_map=_checked_types(found.type_map),
    )


def _check_amounts(found: Profile) -> None:
    if found.decimal not in _DECIMALS:
        raise ValueError(f"decimal {found.decimal!r} is neither . nor ,")
    if found.thousands and found.thousands not in _THOUSANDS:
        raise ValueError(f"thousands {found.thousands!r} is none of . , ' \u2019 _ and a space")
    if found.thousands == found.decimal:
        raise ValueError(f"decimal and thousands are both {found.decimal!r}: tell both")
    sign = found.currency_sign.strip()
    if len(sign) > _MOST_SIGN_CHARACTERS or re.search("[0-9.,+'\u2019_-]", sign):
        raise ValueError(f"currency-sign {sign!r} is no sign or code of a currency, such as € or EUR")


def _checked_types(told: Mapping[str, str]) -> dict[str, str]:
    checked: dict[str, str] = {}
    for word, meaning in told.items():
        folded, kind = word.strip().casefold(), meaning.strip().lower()
        _check_word(kind, _TYPES, f"type-map: {word}: type")
        if not folded:
            raise ValueError("type-map: a word is empty")
        if checked.setdefault(folded, kind) != kind:
            raise ValueError(f"type-map: {word} is mapped twice")
    return checked


def _check_zone(name: str) -> None:
    try:
        zoneinfo.ZoneInfo(name)
    except (ValueError, OSError, zoneinfo.ZoneInfoNotFoundError):
        known = zoneinfo.available_timezones()
        if not known:
            raise ValueError("this machine has no time zones: pip install tzdata") from None
        by_lower = {each.lower(): each for each in known} | {each.lower().split("/")[-1]: each for each in known}
        near = get_close_matches(name.lower().replace(" ", "_"), by_lower, 1)
        hint = f": did you mean {by_lower[near[0]]}?" if near else ", such as Europe/Berlin"
        raise ValueError(f"time-zone {name!r} is not known{hint}") from None
