"""The fast columns never disagree with the reference, and nothing is ever lost or counted twice."""

import cProfile
import random

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from daybook.domain.bucket import Bucket, Cell, Sums, add_cells
from daybook.domain.position import Position
from daybook.domain.reject import Reject
from daybook.sources.batch_codec import BatchHeader, decode, encode
from daybook.sources.columns.cells import from_sums, joined
from daybook.sources.columns.sure_rows import sum_sure_rows
from daybook.sources.records import Layout, judge, parse_row, records
from daybook.sources.row_sums import Limits, RowSums, sum_rows, sum_rows_within
from support.queue_from_hell import check_json_lines

LAYOUT = Layout(width=5, timestamp=0, type=1, payment_method=2, amount=3, sleep_ms=4)
TURNED = Layout(width=5, timestamp=3, type=4, payment_method=1, amount=2, sleep_ms=0)

_NASTY = st.sampled_from(
    [
        "",
        " ",
        '"',
        '"a',
        '"a"',
        "a,b",
        "\r",
        "\x00",
        "é",
        "ü" * 40,
        "\u2028",
        "NaN",
        "1e5",
        "\ufeff",
        "-",
        ".",
    ]
)
_TIMESTAMP = st.one_of(
    st.datetimes().map(lambda moment: moment.isoformat(timespec="seconds")),
    st.sampled_from(
        [
            "2026-01-15T10:30:00",
            "2026-02-30T00:00:00",
            "2026-13-05T00:00:00",
            "2026-00-05T00:00:00",
            "2026-01-32T00:00:00",
            "2026-01-00T00:00:00",
            "2026-01-15T24:00:00",
            "2026-01-15T23:60:00",
            "2026-01-15T23:59:60",
            "2026-01-15T29:00:00",
            "2026-01-15 10:30:00",
            "2026-01-15T10:30:00Z",
            "2026-01-15T23:30:00-05:00",
            "2026-01-15",
            "0000-01-01T00:00:00",
            "2026x01-15T10:30:00",
            "2026-01-15T1:30:0000",
        ]
    ),
    _NASTY,
)
_TYPE = st.sampled_from(
    ["deposit", "withdrawal", "Deposit", "deposits", " WITHDRAWALS", "deposit ", "xxthdrawal", "withdraw", ""]
)
_METHOD = st.one_of(
    st.sampled_from(["visa", "apple_pay", "paypal", "x" * 16, "x" * 17, "x" * 64, "x" * 65, "現金", "a b", "a.b"]),
    st.sampled_from([" visa", "visa ", " 現金 ", "  ", f" {'x' * 64} "]),
    st.text("abc_-+& é", max_size=30),
    _NASTY,
)
_AMOUNT = st.one_of(
    st.decimals(0, 10**13, places=2).map(str),
    st.decimals(0, 10**11, places=8).map(lambda amount: f"{amount:f}"),
    st.integers(0, 10**13).map(str),
    st.sampled_from(
        ["0", "0.00", "1.", ".5", "1.123456789", "9999999999.99", "10000000000.00", "999999999999.99999999",
         "-1", "+1", "+.5", "++1", "+", ".", " 1.00",
         "1.2.3", "1,5", "00001.5", "1e2", "0x1", "٣", "1 ", "12345678", "123456789.1"]
    ),
    _NASTY,
)  # fmt: skip
_SURE_ROW = st.tuples(
    st.datetimes().map(lambda moment: moment.isoformat(timespec="seconds")),
    st.sampled_from(["deposit", "withdrawal"]),
    st.sampled_from(["visa", "apple_pay", "a_method_of_some_length", "現金"]),
    st.decimals("0.01", 10**9, places=2).map(str),
    st.just("5"),
)
_ROW = st.one_of(
    _SURE_ROW,
    _SURE_ROW,
    st.tuples(_TIMESTAMP, _TYPE, _METHOD, _AMOUNT, st.sampled_from(["5", "", "x", "\xff"])),
)
_LINE = st.one_of(
    _ROW.map(lambda row: ",".join(row).encode()),
    _ROW.map(lambda row: ",".join(row[:4]).encode()),
    _ROW.map(lambda row: ",".join((*row, "more")).encode()),
    _ROW.map(lambda row: ",".join(row).encode("latin-1", "replace")),
    st.binary(max_size=40),
    st.just(b""),
)
_BLOCK = st.lists(_LINE, max_size=30).flatmap(
    lambda lines: st.sampled_from([b"\n", b"\r\n"]).map(
        lambda line_end: b"".join(line.replace(b"\n", b" ") + line_end for line in lines)
    )
)


def reference(block: bytes, layout: Layout) -> tuple[Sums, list[tuple[int, str]], int]:
    """Every record through `parse_row`: sums, rejects by line, rows."""
    sums: Sums = {}
    rejects, rows, line = [], 0, 0
    for record in records(block, final=True):
        if record.fields is not None or record.reason:
            rows += 1
            try:
                if record.fields is None:
                    raise ValueError(record.reason)  # noqa: TRY301 - as the reference does
                row = parse_row(record.fields, layout)
                add_cells(sums, Bucket(row.day, row.type.plural), [(row.payment_method, Cell(row.units, 1))])
            except ValueError as error:
                rejects.append((line + 1, str(error)))
        line += record.lines
    return sums, rejects, rows


def as_tuple(found: RowSums) -> tuple[Sums, list[tuple[int, str]], int]:
    return found.cells.sums(), [(reject.line, reject.reason) for reject in found.rejects], found.rows


@settings(max_examples=600)
@given(_BLOCK, st.sampled_from([LAYOUT, TURNED]))
@example(b"2026-13-05T00:00:00,deposit,visa,1.00,5\n", LAYOUT)
@example(b"2026-01-15T10:30:00,deposit,visa,9999999999.99999999,5\n" * 3, LAYOUT)
@example(b"\n", LAYOUT)
def test_fast_columns_and_reference_agree(block: bytes, layout: Layout) -> None:
    assert as_tuple(sum_rows(block, layout, "s")) == reference(block, layout)


@settings(max_examples=200)
@given(_BLOCK, st.integers(1, 6), st.integers(1, 4))
def test_parts_add_up_to_the_whole(block: bytes, buckets: int, rejects: int) -> None:
    whole = sum_rows(block, LAYOUT, "s").after_lines(7)
    parts = sum_rows_within(block, LAYOUT, "s", Limits(buckets, rejects))
    sums: Sums = {}
    rejects_found: list[Reject] = []
    line = 7
    for part in parts:
        rejects_found += part.after_lines(line).rejects
        line += part.lines
        assert len(part.rejects) <= rejects or part.rows == 1
        for bucket, cells in part.cells.sums().items():
            add_cells(sums, bucket, cells.items())
    assert sums == whole.cells.sums()
    assert rejects_found == whole.rejects
    assert (sum(part.rows for part in parts), sum(part.lines for part in parts)) == (whole.rows, whole.lines)
    assert sum(part.size for part in parts) == len(block)


def test_rejects_beyond_the_limit_are_not_judged_in_vain() -> None:
    profile = cProfile.Profile()
    parts = profile.runcall(sum_rows_within, b"a\n" * 100_000, LAYOUT, "s", Limits(10, 1000))
    assert sum(len(part.rejects) for part in parts) == 100_000
    judged = sum(entry.callcount for entry in profile.getstats() if entry.code is judge.__code__)
    assert 100_000 <= judged < 4 * 100_000


@pytest.mark.parametrize("blank", [b"\n", b"\r\n"])
def test_blank_lines_are_left_out_by_the_fast_columns(blank: bytes) -> None:
    row = b"2026-01-15T10:30:00,deposit,visa,1.00,5\n"
    fast = sum_sure_rows(blank * 3 + row + blank + b"\r\r\n" + row, LAYOUT)
    assert (fast.rows, fast.lines, fast.doubtful) == (2, 7, [5])


@given(st.lists(_SURE_ROW, min_size=1, max_size=60), st.randoms(use_true_random=False))
def test_any_order_gives_the_same_totals(rows: list[tuple[str, ...]], shuffle: random.Random) -> None:
    lines = [",".join(row).encode() + b"\n" for row in rows]
    expected = sum_rows(b"".join(lines), LAYOUT, "s")
    shuffle.shuffle(lines)
    again = sum_rows(b"".join(lines), LAYOUT, "s")
    assert (again.cells.sums(), again.rows, again.rejects) == (expected.cells.sums(), len(rows), [])


_CELL = st.integers(1, 2**26).flatmap(
    lambda transactions: st.builds(Cell, st.integers(1, transactions * (10**20 - 1)), st.just(transactions))
)
_SUMS = st.dictionaries(
    st.builds(Bucket, st.dates().map(lambda day: day.isoformat()), st.sampled_from(["deposits", "withdrawals"])),
    st.dictionaries(
        st.text(min_size=1, max_size=64),
        _CELL,
        min_size=1,
        max_size=4,
    ),
    max_size=6,
)


@given(_SUMS)
def test_batches_round_trip(sums: Sums) -> None:
    header = BatchHeader("source", 10, Position(offset=20, rows=3, digest="d"))
    batch = decode(encode(header, from_sums(sums)))
    assert msgspec.structs.replace(batch.header, methods=[]) == header
    assert joined([batch.cells]).sums() == {bucket: cells for bucket, cells in sums.items() if cells}


@settings(max_examples=500)
@given(_SUMS, st.data())
def test_a_damaged_batch_is_refused(sums: Sums, data: st.DataObject) -> None:
    element = bytearray(encode(BatchHeader("source", 10, Position(offset=20)), from_sums(sums)))
    place = data.draw(st.integers(0, len(element) - 1))
    element[place] ^= data.draw(st.integers(1, 255))
    with pytest.raises(ValueError, match="checksum"):
        decode(bytes(element[: data.draw(st.integers(place + 1, len(element)))]))


_JSON_VALUE = st.one_of(
    _TIMESTAMP, _TYPE, _METHOD, _AMOUNT, st.integers(), st.none(), st.floats(allow_nan=False), st.text()
)


@settings(max_examples=300)
@given(st.lists(st.one_of(
    st.tuples(_TIMESTAMP, _TYPE, _METHOD, st.one_of(_AMOUNT, st.integers(-5, 10**13), st.floats(0, 1e6))),
    st.tuples(*[_JSON_VALUE] * 4),
    st.binary(max_size=30),
), max_size=12))  # fmt: skip
@example(
    [
        b'{"Timestamp":"2026-01-01","Type":"deposit","PaymentMethod":"a","Amount":1},{"Timestamp":"2026-01-01"',
        b'"Type":"deposit","PaymentMethod":"a","Amount":1}',
    ]
)
@example([b'{"Timestamp":"2026-01-01","Type":"deposit","PaymentMethod":"a","Amount":1}, {"Amount":1}', b"{}"])
@example([b'{"Timestamp":"2026-01-01T10:30:00","Type":"deposit","PaymentMethod":"a","Amount":"\xff"}'] * 2)
def test_json_lines_and_their_reference_agree(items: list[object]) -> None:
    names = ("Timestamp", "Type", "PaymentMethod", "Amount")
    lines = [
        item if isinstance(item, bytes) else msgspec.json.encode(dict(zip(names, item, strict=True)))  # type: ignore[call-overload]
        for item in items
    ]
    check_json_lines(lines)
