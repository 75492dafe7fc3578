"""The reference reader: reads CSV records one by one. It judges every row that the fast reader is not sure of."""

import csv
import shlex
from collections.abc import Iterator
from itertools import islice
from typing import NamedTuple

import msgspec

from daybook.domain.reject import APOSTROPHES, REJECTED_LINE, REJECTED_SAFE, REJECTED_SOURCE, unprotected
from daybook.domain.source import name_rejected_rows
from daybook.domain.transaction import Transaction, check_payment_method, second_of
from daybook.errors import SourceError
from daybook.sources.looks import look_at
from daybook.sources.profile import Profile
from daybook.sources.reading_rules import reading_rules
from daybook.sources.text_form import PLAIN, TextForm, byte_order

MAX_RECORD_BYTES = 1 << 16
"""A longer record is rejected: the end of an open quote is looked for no farther than this."""
MAX_RECORD_LINES = 100
"""The same bound in lines. Each line may begin with a quote whose end is looked for again."""

REQUIRED = ("timestamp", "type", "payment_method", "amount")
EXPECTED_HEADER = "timestamp,type,payment_method,amount[,sleep_ms] (any order, further columns are ignored)"
SPACE = " "
"""The only character that is left out around a field."""


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
    form: TextForm = PLAIN
    rules: str = ""
    """What the values mean, as `Profile.rules`; empty for the plain rules."""
    currency: tuple[int, str] | None = None
    """Column of the currency, and the code that each row must have there; None when none is asked for."""

    @property
    def is_plain(self) -> bool:
        """Return whether neither the text nor the values need a profile."""
        return not self.rules and self.form.is_plain


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
    profile: str = ""
    """The profile to keep with the source, as `Profile.to_json`."""


def read_header(head: bytes, path: str, *, final: bool, profile: Profile | None = None) -> Header | None:
    """Return the header at the beginning of a file's bytes; None while it is not complete.

    `final` says that nothing follows `head`. Raises SourceError with the file and the expected header when
    the header is wrong.
    """
    profile = profile or Profile()
    try:
        encoding, mark = byte_order(profile.encoding, head)
    except ValueError as error:
        raise SourceError(f"{path}: {error}") from None
    form = TextForm(encoding, profile.delimiter)
    record = next(records(head[mark:], final=final, form=form), None)
    if record is None:
        return None
    names = [name.strip().lower() for name in record.fields or []]
    own = {name: profile.column_of(name) for name in (*REQUIRED, "sleep_ms", "currency")}
    missing = [own[name] for name in REQUIRED if names.count(own[name]) != 1]
    missing += [own[name] for name in ("sleep_ms", "currency") if name in profile.map and own[name] not in names]
    missing += [own["currency"]] if profile.currency and names.count(own["currency"]) > 1 else []
    if missing:
        if form.is_plain and (look := look_at(head)):
            raise wrong_file(path, f"looks like {look}")
        found = raw_text_line(record.raw, form.encoding)
        raise wrong_file(
            path,
            f"wrong header {found!r}: need exactly one column {', '.join(missing)}; expected {EXPECTED_HEADER}",
        )
    sleep_ms = names.index(own["sleep_ms"]) if own["sleep_ms"] in names else None
    rejected = (names.index(REJECTED_SOURCE), names.index(REJECTED_LINE)) if name_rejected_rows(names) else None
    columns = {name: names.index(own[name]) for name in REQUIRED}
    safe = names.index(REJECTED_SAFE) if rejected and names.count(REJECTED_SAFE) == 1 else None
    has_currency = bool(profile.currency) and own["currency"] in names
    layout = Layout(
        width=len(names), sleep_ms=sleep_ms, rejected=rejected, safe=safe, form=form, rules=profile.rules(),
        currency=(names.index(own["currency"]), profile.currency) if has_currency else None, **columns,
    )  # fmt: skip
    kept = profile if has_currency else msgspec.structs.replace(profile, currency="")
    return Header(layout, mark + len(record.raw), record.lines, tuple(names), kept.to_json())


def wrong_file(path: str, problem: str) -> SourceError:
    """Return the error for a file that is no CSV file of transactions; it names the command that tells more."""
    return SourceError(f"{path}: {problem}; `daybook inspect {shlex.quote(path)}` tells how it can be imported")


def raw_text_line(raw: bytes, encoding: str = "utf-8") -> str:
    """Return a record as text for a message, cut to 120 characters."""
    shown = raw.decode(encoding, "backslashreplace").rstrip("\r\n")
    return shown if len(shown) <= 120 else f"{shown[:120]}…"  # noqa: PLR2004 - fits one line of a log


def split_lines(block: bytes) -> list[bytes]:
    """Return the lines of a plain `block`, each with its line end; the last may have none."""
    return PLAIN.lines(block)


def records(block: bytes, *, final: bool, form: TextForm = PLAIN) -> Iterator[Record]:
    """Yield the complete records of `block`, in order. Blank lines have no fields and no reason.

    A record with malformed quotes is yielded as its first line, with a reason, and reading goes on with
    the next line. An incomplete record at the end (no line end, or an open quote that later bytes may
    close) is yielded only when the block is `final`.
    """
    lines = form.lines(block)
    if lines and not final and not form.ends_line(lines[-1]):
        lines.pop()
    index = 0
    while index < len(lines):
        record = record_at(lines, index, final=final, form=form)
        if record is None:
            return
        yield record
        index += record.lines


def record_at(lines: list[bytes], index: int, *, final: bool, form: TextForm = PLAIN) -> Record | None:
    """Return the record that begins at line `index`; None when it may continue after the last line."""
    if form.has_quote(lines[index]):
        return _quoted(lines, index, form, final=final)
    return _unquoted(lines[index], form)


def aligned_end(block: bytes, *, final: bool, form: TextForm = PLAIN) -> int:
    """Return the offset at which the last complete record of a block ends."""
    if b'"' in block or final:
        return sum(len(record.raw) for record in records(block, final=final, form=form))
    return form.last_end(block)


def _unquoted(line: bytes, form: TextForm) -> Record:
    try:
        content = line.decode(form.encoding).rstrip("\r\n")
    except UnicodeDecodeError:
        return _undecodable(line, 1, form)
    return Record(line, 1, content.split(form.delimiter) if content else None)


def _undecodable(raw: bytes, lines: int, form: TextForm) -> Record:
    return Record(raw, lines, None, f"bytes are not {form.encoding.upper()}")


def _quoted(lines: list[bytes], index: int, form: TextForm, *, final: bool) -> Record | None:
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
            yield form.loose_text(line)
        ran_out = len(taken) < MAX_RECORD_LINES

    try:
        fields = next(csv.reader(feed(), strict=True, delimiter=form.delimiter))
    except csv.Error:
        if ran_out and not final and sum(map(len, taken)) <= MAX_RECORD_BYTES:
            return None
        return Record(lines[index], 1, None, "quotes are malformed")
    raw = b"".join(taken)
    try:
        raw.decode(form.encoding)
    except UnicodeDecodeError:
        return _undecodable(raw, len(taken), form)
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
    """Return the transaction in a row's fields. Raises ValueError with the reason when the row breaks a rule.

    Spaces around a field, upper case and plural of a type, a leading `+` and `.5` are read as what they plainly mean
    (`docs/decisions/0019-what-is-read-by-default.md`).
    """
    if len(fields) != layout.width:
        few = "few" if len(fields) < layout.width else "many"
        raise ValueError(f"too {few} fields: {len(fields)} instead of {layout.width}")
    if layout.safe is not None and fields[layout.safe] == APOSTROPHES:
        fields = [unprotected(field) for field in fields]
    timestamp, kind, method, amount = (fields[column].strip(SPACE) for column in layout[1:5])
    rules = reading_rules(layout.rules)
    if layout.currency is not None:
        _check_currency(fields[layout.currency[0]].strip(SPACE), layout.currency[1])
    moment = rules.moment(timestamp)
    return Transaction(
        moment.date().isoformat(),
        rules.type(kind),
        check_payment_method(method),
        rules.units(amount),
        second_of(moment),
    )


def _check_currency(found: str, wanted: str) -> None:
    if not found.isascii() or found.upper() != wanted:
        raise ValueError(f"currency is {found[:16] if found else 'empty'}, not {wanted}")
