"""A file that a profile tells how to read gives what its rows mean, at the places where they stand in the file."""

import csv
import gzip
import hashlib
import io
from collections import defaultdict
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import NamedTuple
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from daybook.domain.money import to_decimal
from daybook.sources.date_formats import moment_reader
from daybook.sources.profile import Profile, make_profile
from daybook.sources.reader import BlockReader
from daybook.sources.recount import recount
from daybook.sources.row_sums import Limits, overlong, sum_rows_within

COLUMNS = ["Buchung", "Art", "Zahlart", "Betrag", "Text"]
MAP = {"timestamp": "Buchung", "type": "Art", "payment_method": "ZAHLART", "amount": "Betrag"}
TYPES = {"Gutschrift": "deposit", "Lastschrift": "withdrawal", "Gebühr": "reject"}
ZONES = ("Europe/Berlin", "America/New_York", "Asia/Kolkata", "Pacific/Kiritimati")
ENCODINGS = ("utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "cp1252", "gb18030")
LONGEST, SHOWN = 3000, 1000


class Form(NamedTuple):
    """How rows are written."""

    encoding: str
    delimiter: str
    date_format: str
    zone: str
    decimal: str
    thousands: str
    sign: str
    line_end: str
    packed: bool

    def told(self) -> dict[str, object]:
        encoding = "utf-8" if self.encoding == "utf-8-sig" else self.encoding
        return {
            "map": MAP,
            "type-map": TYPES,
            "encoding": encoding,
            "delimiter": self.delimiter,
            "date-format": self.date_format,
            **({"time-zone": self.zone} if self.date_format.startswith("%") else {}),
            "decimal": self.decimal,
            "thousands": self.thousands,
            "currency-sign": self.sign,
        }


class Row(NamedTuple):
    """A row, and why it does not count."""

    moment: datetime
    word: str
    method: str
    amount: Decimal
    text: str
    fault: str


_FORM = st.builds(
    Form,
    st.sampled_from(ENCODINGS),
    st.sampled_from([",", ";", "\t", "|"]),
    st.sampled_from(["%d.%m.%Y %H:%M", "%m/%d/%Y %I:%M:%S %p", "%Y%m%d%H%M%S", "%d %b %y, %H.%M", "epoch", "epoch-ms"]),
    st.sampled_from(ZONES),
    st.just(","),
    st.sampled_from(["", ".", " ", "'"]),
    st.sampled_from(["", "€", "EUR"]),
    st.sampled_from(["\n", "\r\n"]),
    st.booleans(),
)
_WINTER = st.integers(0, 90 * 24 * 60).map(lambda late: datetime(2025, 12, 1, tzinfo=UTC) + timedelta(minutes=late))
"""Nowhere are clocks set then."""
_ROW = st.builds(
    Row,
    _WINTER,
    st.sampled_from([*TYPES, "GUTSCHRIFT", " lastschrift ", "Deposits", "transfer"]),
    st.sampled_from(["visa", "Überweisung", "a b"]),
    st.decimals("0.00000001", 10**9, places=8) | st.decimals("0.01", 10**7, places=2),
    st.sampled_from(["", "plain", 'a "quote"', "two\nlines", "x;y,z|\t", "ü" * 40, "ü" * LONGEST]),
    st.sampled_from([""] * 6 + ["amount", "timestamp", "method"]),
)


def as_written(row: Row, form: Form) -> list[str]:
    if form.date_format.startswith("epoch"):
        stamp = str(int(row.moment.timestamp()) * (1000 if form.date_format == "epoch-ms" else 1))
    else:
        stamp = row.moment.astimezone(ZoneInfo(form.zone)).strftime(form.date_format)
    whole, _, fraction = f"{row.amount:f}".partition(".")
    groups = f"{int(whole):,}".replace(",", form.thousands)
    amount = f"{groups},{fraction} {form.sign}".strip()
    faults = {
        "amount": [stamp, row.word, row.method, "1.2,3,4"],
        "timestamp": ["31-31-2026", row.word, row.method, amount],
    }
    cells = faults.get(row.fault, [stamp, row.word, "$" if row.fault == "method" else row.method, amount])
    return [*cells, row.text]


def write(path: Path, rows: list[Row], form: Form) -> tuple[bytes, list[tuple[int, str]]]:
    """Write the file; return its content, and the first line and the text of each row."""
    text, places, line = io.StringIO(newline=""), [], 1
    writer = csv.writer(text, delimiter=form.delimiter, lineterminator=form.line_end)
    for cells in (COLUMNS, *(as_written(row, form) for row in rows)):
        begin = text.tell()
        writer.writerow(cells)
        written = text.getvalue()[begin:]
        places.append((line, written.rstrip("\r\n")))
        line += written.count("\n")
    content = text.getvalue().encode(form.encoding)
    path.write_bytes(gzip.compress(content) if form.packed else content)
    return content, places[1:]


def kind_of(row: Row) -> str:
    word = row.word.strip().casefold().removesuffix("s")
    return {"gutschrift": "deposit", "lastschrift": "withdrawal", "deposit": "deposit"}.get(word, "")


@settings(max_examples=200, deadline=5000, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(_ROW, max_size=12), _FORM, st.integers(1, 3), st.integers(1, 3))
def test_any_form_is_read_as_it_is_told(
    tmp_path: Path, rows: list[Row], form: Form, buckets: int, rejects: int
) -> None:
    path = tmp_path / "m.csv"
    content, places = write(path, rows, form)
    profile = make_profile(form.told(), "test")
    assert Profile.from_json(profile.to_json()) == profile

    reader = BlockReader(path, profile=profile, max_line_bytes=LONGEST)
    header = reader.header()
    assert header is not None
    reader.pass_header(header.size)
    line, size, digest = header.lines, header.size, ""
    found: dict[tuple[str, str, str], Decimal] = defaultdict(Decimal)
    rejected: dict[int, str] = {}
    while block := reader.next_block(1):
        parts = (
            [overlong(block.data, block.size, "s", header.layout.form.encoding)]
            if block.overlong
            else sum_rows_within(block.data, header.layout, "s", Limits(buckets, rejects))
        )
        for part in parts:
            rejected |= {reject.line: reject.raw for reject in part.after_lines(line).rejects}
            line, size = line + part.lines, size + part.size
            for bucket, cells in part.cells.sums().items():
                for method, cell in cells.items():
                    found[bucket.day, bucket.type, method] += to_decimal(cell.units)
        digest = block.digest
    reader.close()
    assert size == len(content)
    assert digest in ("", hashlib.sha256(content).hexdigest())

    wanted: dict[tuple[str, str, str], Decimal] = defaultdict(Decimal)
    lines = []
    for row, (at, raw) in zip(rows, places, strict=True):
        is_long = any(
            len((piece + form.line_end).encode(form.encoding.removesuffix("-sig"))) > LONGEST
            for piece in raw.split("\n")
        )
        if row.fault or not kind_of(row) or is_long:
            lines.append((at, raw))
        else:
            wanted[row.moment.date().isoformat(), f"{kind_of(row)}s", row.method] += row.amount
    assert dict(found) == dict(wanted)
    assert {line: raw[:SHOWN] for line, raw in rejected.items()} == {line: raw[:SHOWN] for line, raw in lines}

    if "ü" * LONGEST not in "".join(raw for _, raw in places):
        again = recount(path, len(content), set(), lambda _: None, profile=profile.to_json())
        sums = {
            (bucket.day, bucket.type, method): to_decimal(cell.units)
            for bucket, cells in again.sums.items()
            for method, cell in cells.items()
        }
        assert (sums, again.invalid_lines, again.rows) == (dict(wanted), set(rejected), len(rows))


@given(
    st.sampled_from(ZONES),
    st.dates(date(2020, 1, 1), date(2030, 1, 1)),
    st.integers(0, 24 * 4 - 1),
)
def test_a_local_time_is_read_only_if_one_moment_has_it(zone: str, day: date, quarter: int) -> None:
    local = datetime.combine(day, time(quarter // 4, quarter % 4 * 15))
    moments = [
        moment
        for quarters in range(-15 * 4, 15 * 4 + 1)
        if (moment := local.replace(tzinfo=UTC) - timedelta(minutes=15 * quarters))
        .astimezone(ZoneInfo(zone))
        .replace(tzinfo=None, fold=0)
        == local
    ]
    read = moment_reader("%Y-%m-%d %H:%M", zone)
    if len(moments) == 1:
        assert read(f"{local:%Y-%m-%d %H:%M}") == moments[0]
    else:
        with pytest.raises(ValueError, match="ambiguous" if moments else "does not exist"):
            read(f"{local:%Y-%m-%d %H:%M}")


@pytest.mark.parametrize(
    ("zone", "local", "word"),
    [
        ("Europe/Berlin", "2026-10-25 02:30", "ambiguous"),
        ("Europe/Berlin", "2026-03-29 02:30", "does not exist"),
        ("America/New_York", "2026-11-01 01:59", "ambiguous"),
    ],
)
def test_the_hours_in_which_clocks_are_set(zone: str, local: str, word: str) -> None:
    with pytest.raises(ValueError, match=word):
        moment_reader("%Y-%m-%d %H:%M", zone)(local)
    with pytest.raises(ValueError, match=word):
        moment_reader("", zone)(local)
    assert moment_reader("", zone)(f"{local}+00:00").date().isoformat() == local[:10]
