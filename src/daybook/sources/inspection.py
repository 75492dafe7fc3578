"""Looks at the first rows of a file: which form they have, and which profile would make them pass."""

import codecs
import csv
import io
import re
from collections import Counter
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from msgspec import structs

from daybook.errors import SourceError
from daybook.sources.candidates import Fit, amount_fit, date_fit, type_fit, type_words
from daybook.sources.files import ContentFile
from daybook.sources.looks import Look, look_at
from daybook.sources.profile import Profile
from daybook.sources.records import EXPECTED_HEADER, REQUIRED, judge, raw_text_line, read_header, records
from daybook.sources.text_form import TextForm, byte_order

HEAD_BYTES = 1 << 20
MOST_ROWS = 1000
MOST_WORDS = 12
"""A column with more words for types is hardly that of the type: only these come into the profile."""
TEXTS = (Look.UTF_16, Look.UTF_32, Look.NOT_UTF_8, Look.SEMICOLONS, Look.TABS, Look.BARS)
"""Looks of files that a profile can tell how to read."""
_DELIMITERS = (",", ";", "\t", "|")
_WESTERN = "cp1252"
_NAMES = {
    "timestamp": "timestamp time date datetime created created-at booking-date transaction-date value-date "
    "posted-at buchungstag buchungsdatum buchung datum valuta wertstellung zeitpunkt fecha date-opération",
    "type": "type kind direction transaction-type art umsatzart buchungsart vorgang "
    "debit/credit credit/debit soll/haben tipo sens",
    "payment_method": "payment-method method channel provider payment-type card-type zahlart zahlungsart "
    "zahlungsmittel zahlungsweg weg moyen-de-paiement método-de-pago",
    "amount": "amount value sum total gross betrag umsatz summe montant importe",
    "currency": "currency ccy currency-code währung waehrung devise moneda",
}
"""Names under which exports have a field."""
_MOSTLY = 0.9
_FITS = {"timestamp": date_fit, "type": type_fit, "amount": amount_fit}
"""Fields that are known by their values, too."""


class Trial(NamedTuple):
    """The outcome of reading the first rows by a profile."""

    rows: int
    passed: int
    reasons: list[tuple[str, int, int, str]]
    """Reason, number of rows, and line and text of the first of them; the commonest first."""
    problem: str = ""
    """Reason why no row can be read; else empty."""


@dataclass
class Sight:
    """What the first rows of a file show."""

    look: Look | None
    encoding: str = "utf-8"
    encoding_is_sure: bool = True
    sample: str = ""
    """Some word with letters beyond ASCII, to see whether the encoding is right."""
    delimiter: str = ","
    names: list[str] = field(default_factory=list)
    rows: list[list[str]] = field(default_factory=list)
    columns: dict[str, list[str]] = field(default_factory=dict)
    """Field → the columns that may hold it; one where it is clear."""
    dates: Fit | None = None
    amounts: Fit | None = None
    words: dict[str, tuple[str, int]] = field(default_factory=dict)
    """Words for types that are no plain ones, as `type_words` returns them."""

    def values(self, field_name: str) -> list[str]:
        """Return the values of a field whose column is clear, without empty ones."""
        columns = self.columns.get(field_name, [])
        if len(columns) != 1:
            return []
        place = self.names.index(columns[0])
        return [text for row in self.rows if len(row) == len(self.names) and (text := row[place].strip(" "))]

    @property
    def profile(self) -> Profile:
        """The profile of all that is clear."""
        told = Profile(
            map={name: found[0] for name, found in self.columns.items() if _is_renamed(name, found)},
            delimiter=self.delimiter,
            encoding=self.encoding,
            type_map={word.casefold(): kind for word, (kind, _) in islice(self.words.items(), MOST_WORDS)},
        )
        if self.dates and len(self.dates.formats) == 1:
            told = structs.replace(told, date_format=self.dates.formats[0].date_format)
        if self.amounts and len(self.amounts.formats) == 1:
            amounts = self.amounts.formats[0]
            told = structs.replace(
                told, decimal=amounts.decimal, thousands=amounts.thousands, currency_sign=amounts.currency_sign
            )
        return told


def _is_renamed(name: str, columns: list[str]) -> bool:
    return len(columns) == 1 and columns[0].strip().lower() != name


def inspect(path: Path) -> Sight:
    """Return what the first rows of a file show. Blocks. Raises SourceError when the file cannot be read."""
    head = read_head(path)
    sight = Sight(look_at(head))
    if sight.look is not None and sight.look not in TEXTS:
        return sight
    sight.encoding, sight.encoding_is_sure = _encoding(head)
    text = _text(head, sight.encoding)
    sight.sample = next((word for word in re.findall(r"\w{1,40}", text) if not word.isascii()), "")
    sight.delimiter, table = _table(text)
    sight.names = [name.strip() for name in table[0]] if table else []
    sight.rows = table[1:]
    sight.columns = _columns(sight)
    if dates := sight.values("timestamp"):
        sight.dates = date_fit(dates)
    if amounts := sight.values("amount"):
        sight.amounts = amount_fit(amounts)
    sight.words = type_words(sight.values("type"))
    return sight


def read_head(path: Path) -> bytes:
    content = ContentFile(path)
    try:
        return content.read_at(0, HEAD_BYTES)
    finally:
        content.close()


def _encoding(head: bytes) -> tuple[str, bool]:
    """Return the encoding, and whether the bytes leave no doubt."""
    for encoding in ("utf-32", "utf-16"):
        try:
            byte_order(encoding, head)
        except ValueError:
            continue
        return encoding, True
    if b"\0" in head:
        return ("utf-16-le" if head[1::2].count(0) > head[::2].count(0) else "utf-16-be"), True
    try:
        codecs.getincrementaldecoder("utf-8")().decode(head)
    except UnicodeDecodeError:
        return _WESTERN, False
    return "utf-8", True


def _text(head: bytes, encoding: str) -> str:
    encoding, mark = byte_order(encoding, head)
    return codecs.getincrementaldecoder(encoding)("replace").decode(head[mark:])


def _table(text: str) -> tuple[str, list[list[str]]]:
    """Return the delimiter that cuts most rows as long as the first one, and the rows."""

    def cut(delimiter: str) -> list[list[str]]:
        lines = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
        rows: list[list[str]] = []
        try:
            while len(rows) <= MOST_ROWS and (row := next(lines, None)) is not None:
                rows += [row] if row else []
        except csv.Error:
            pass
        return rows

    def quality(delimiter: str) -> int:
        rows = cut(delimiter)
        width = len(rows[0]) if rows else 0
        return sum(len(row) == width for row in rows) * (width > 1) * 100 + width

    best = max(_DELIMITERS, key=quality)
    return best, cut(best)


def _columns(sight: Sight) -> dict[str, list[str]]:
    """Return the columns that may hold each field: by their names, else by their values."""
    found = {}
    for name, others in _NAMES.items():
        exact = [each for each in sight.names if each.lower() == name]
        alike = [each for each in sight.names if each.casefold().replace(" ", "-").replace("_", "-") in others.split()]
        if exact or alike:
            found[name] = exact or alike
        elif name in _FITS:
            taken = [each for columns in found.values() for each in columns]
            fits = {each: _fit(sight, name, each) for each in sight.names if each not in taken}
            found[name] = [each for each, fit in fits.items() if fit.of and fit.number >= _MOSTLY * fit.of]
    return {name: columns for name, columns in found.items() if columns}


def _fit(sight: Sight, name: str, column: str) -> Fit:
    values = Sight(None, names=sight.names, rows=sight.rows, columns={name: [column]}).values(name)
    return _FITS[name](values)


def try_profile(path: Path, profile: Profile) -> Trial:
    """Return how the first rows of a file would be read by a profile. Blocks."""
    head = read_head(path)
    is_whole = len(head) < HEAD_BYTES
    try:
        header = read_header(head, str(path), final=is_whole, profile=profile)
    except SourceError as error:
        problem, _, _ = str(error).removeprefix(f"{path}: ").partition("; `daybook inspect ")
        return Trial(0, 0, [], problem)
    if header is None:
        return Trial(0, 0, [], f"has no header; expected {EXPECTED_HEADER}")
    form: TextForm = header.layout.form
    passed, rows, line = 0, 0, header.lines
    reasons: Counter[str] = Counter()
    examples: dict[str, tuple[int, str]] = {}
    for record in records(head[header.size :], final=is_whole, form=form):
        line += record.lines
        if record.is_blank:
            continue
        rows += 1
        if isinstance(judged := judge(record, header.layout), str):
            reasons[judged] += 1
            examples.setdefault(judged, (line - record.lines + 1, raw_text_line(record.raw, form.encoding)))
        else:
            passed += 1
        if rows == MOST_ROWS:
            break
    return Trial(rows, passed, [(reason, count, *examples[reason]) for reason, count in reasons.most_common(5)])


def missing_fields(sight: Sight) -> list[str]:
    """Return the fields whose column is not clear."""
    return [name for name in REQUIRED if len(sight.columns.get(name, [])) != 1]
