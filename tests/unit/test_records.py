"""The CSV reference: headers, quotes, line ends, blocks."""

import gzip
import hashlib
import os
from pathlib import Path

import msgspec
import pytest

from daybook.domain.bucket import Bucket, Cell
from daybook.domain.transaction import Transaction
from daybook.errors import SourceError
from daybook.sources.pacing import paced
from daybook.sources.queue_json import judge_line, sum_json_lines
from daybook.sources.reader import MAX_LINE_BYTES, Block, BlockReader
from daybook.sources.records import Layout, parse_row, read_header, records
from daybook.sources.row_sums import sum_rows

HEADER = b"timestamp,type,payment_method,amount,sleep_ms\n"
ROW = b"2026-01-01T00:00:00,deposit,visa,1.00,5\n"


def test_headers_in_any_order_with_further_columns() -> None:
    header = read_header(b"\xef\xbb\xbfnote,Amount,type,timestamp,payment_method\r\n", "f", final=False)
    assert header is not None
    assert (header.layout.width, header.layout.amount, header.layout.sleep_ms) == (5, 1, None)
    row = parse_row(["n", "2.50", "deposit", "2026-01-01", "visa"], header.layout)
    assert (row.day, row.units) == ("2026-01-01", 250000000)


@pytest.mark.parametrize("line", [b"a,b,c\n", b"timestamp,type,payment_method\n", b"amount," + HEADER])
def test_a_wrong_header_names_the_file_and_the_expected_one(line: bytes) -> None:
    with pytest.raises(SourceError, match=r"f\.csv: wrong header .* expected timestamp,type"):
        read_header(line, "f.csv", final=False)


def test_an_incomplete_header_is_waited_for() -> None:
    assert read_header(b"timestamp,type", "f", final=False) is None


def test_quotes_commas_and_newlines_in_fields() -> None:
    found = list(records(b'a,"b,c","d""e"\n"x\ny",2\r\nplain,3\n\n', final=False))
    assert [record.fields for record in found] == [["a", "b,c", 'd"e'], ["x\ny", "2"], ["plain", "3"], None]
    assert [record.lines for record in found] == [1, 2, 1, 1]


def test_malformed_quotes_cost_one_line() -> None:
    found = list(records(b'a,"b"c\nd,e\n', final=False))
    assert [(record.fields, record.reason) for record in found] == [
        (None, "quotes are malformed"),
        (["d", "e"], ""),
    ]


def test_an_open_quote_waits_until_the_end_is_final() -> None:
    assert [record.fields for record in records(b'a,b\nc,"d\ne,f\n', final=False)] == [["a", "b"]]
    assert [record.fields for record in records(b'a,b\nc,"d\ne,f\n', final=True)] == [
        ["a", "b"],
        None,
        ["e", "f"],
    ]


@pytest.mark.parametrize("final", [False, True])
def test_a_record_has_a_hundred_lines_at_most(*, final: bool) -> None:
    (longest,) = records(b'a,"' + b"x\n" * 99 + b'x",b\n', final=final)
    assert (longest.lines, longest.fields) == (100, ["a", "x\n" * 99 + "x", "b"])
    found = list(records(b'a,"' + b"x\n" * 100 + b'x",b\n', final=final))
    assert len(found) == 101
    assert found[0].reason == "quotes are malformed"
    assert list(records(b'a,"' + b"x\n" * 99, final=False)) == []
    assert len(list(records(b'a,"' + b"x\n" * 100, final=False))) == 100


@pytest.mark.timeout(60)
def test_quotes_that_open_again_in_every_line_are_looked_for_in_bounded_time() -> None:
    line = b'x","""\n'
    found = list(records(line * 20_000, final=True))
    assert len(found) == 20_000
    assert all(record.reason == "quotes are malformed" for record in found[:-1])


def test_a_torn_last_line_waits() -> None:
    assert [record.fields for record in records(b"a,b\nc,", final=False)] == [["a", "b"]]
    assert [record.fields for record in records(b"a,b\nc,", final=True)] == [["a", "b"], ["c", ""]]


def test_bytes_that_are_not_utf8_are_no_row() -> None:
    (record,) = records(b"a,\xff\n", final=False)
    assert (record.fields, record.reason) == (None, "bytes are not UTF-8")


@pytest.mark.parametrize("packed", [False, True])
def test_blocks_are_whole_records_with_the_contents_hash(tmp_path: Path, *, packed: bool) -> None:
    content = HEADER + ROW * 50 + b'2026-01-01T00:00:00,deposit,"vi\nsa",1.00,5\n' + ROW
    path = tmp_path / "f.csv"
    path.write_bytes(gzip.compress(content) if packed else content)
    found, digest = _all_blocks(path, len(HEADER), max_line_bytes=64)
    assert b"".join(block.data for block in found) == content[len(HEADER) :]
    assert all(block.data.endswith(b"\n") for block in found)
    assert digest == hashlib.sha256(content).hexdigest()
    assert len(found) > 10


def _all_blocks(path: Path, header_size: int, max_line_bytes: int = MAX_LINE_BYTES) -> tuple[list[Block], str]:
    reader = BlockReader(path, max_line_bytes=max_line_bytes)
    digest = reader.pass_header(header_size)
    found = []
    while block := reader.next_block(1):
        found.append(block)
        digest = block.digest
    reader.close()
    return found, digest


def test_an_overlong_line_is_one_record_that_is_never_held(tmp_path: Path) -> None:
    content = HEADER + ROW + b"x" * 1000 + b"\n" + ROW
    (tmp_path / "f.csv").write_bytes(content)
    found, digest = _all_blocks(tmp_path / "f.csv", len(HEADER), max_line_bytes=64)
    assert [(block.size, block.overlong) for block in found] == [(40, False), (1001, True), (40, False)]
    assert len(found[1].data) <= 1001
    assert digest == hashlib.sha256(content).hexdigest()


def test_the_end_of_an_overlong_line_is_looked_for_once(tmp_path: Path) -> None:
    path = tmp_path / "f.csv"
    path.write_bytes(HEADER + b"x" * (4 << 20))
    reader = BlockReader(path)
    reader.pass_header(len(HEADER))
    assert reader.next_block(1) is None
    with path.open("r+b") as file:
        file.seek(1 << 21)
        file.write(b"\n")
    assert reader.next_block(1) is None
    reader.forget_ahead()
    block = reader.next_block(1)
    assert block is not None
    assert (block.overlong, block.size) == (True, (1 << 21) + 1 - len(HEADER))
    reader.close()


def test_an_open_quote_before_an_overlong_line_does_not_stop_the_reading(tmp_path: Path) -> None:
    content = HEADER + b'x,"y\n' + b"z" * (2 << 20) + b"\n" + ROW
    (tmp_path / "f.csv").write_bytes(content)
    found, _ = _all_blocks(tmp_path / "f.csv", len(HEADER))
    assert [(block.size, block.overlong) for block in found] == [(5, False), ((2 << 20) + 1, True), (len(ROW), False)]


def test_a_file_that_grows_is_read_on(tmp_path: Path) -> None:
    path = tmp_path / "f.csv"
    path.write_bytes(HEADER + ROW + ROW[:20])
    reader = BlockReader(path)
    reader.pass_header(len(HEADER))
    block = reader.next_block(1)
    assert block is not None
    assert block.data == ROW
    assert reader.next_block(1) is None
    assert "no line end" in reader.unfinished()
    with path.open("ab") as file:
        file.write(ROW[20:])
    assert reader.is_continued()
    reader.forget_ahead()
    block = reader.next_block(1)
    assert block is not None
    assert block.data == ROW
    reader.close()


def test_an_open_quote_at_the_end_of_a_still_file_is_malformed(tmp_path: Path) -> None:
    path = tmp_path / "f.csv"
    path.write_bytes(HEADER + b'x,"y\n')
    reader = BlockReader(path)
    reader.pass_header(len(HEADER))
    assert reader.next_block(1) is None
    assert "still open" in reader.unfinished()
    os.utime(path, (1, 1))
    assert reader.next_block(1) is not None
    reader.close()


def test_other_bytes_before_the_checkpoint_are_noticed(tmp_path: Path) -> None:
    path = tmp_path / "f.csv"
    path.write_bytes(HEADER + ROW)
    reader = BlockReader(path)
    with pytest.raises(SourceError, match="have changed since they were read"):
        reader.skip_to(60, hashlib.sha256(b"other").hexdigest())
    reader.close()


def test_rows_are_due_after_the_pauses_before_them() -> None:
    header = read_header(HEADER, "f", final=False)
    assert header is not None
    block = b"".join(b"t,deposit,visa,1,%d\n" % pause for pause in (60, 60, 10, 200)) + b"t,deposit,visa,1,x\n"
    due = list(paced(block, header.layout, speed=1.0))
    assert b"".join(each.data for each in due) == block
    assert [round(each.pause_seconds, 3) for each in due] == [0.12, 0.21, 0.0]
    assert sum(each.pause_seconds for each in paced(block, header.layout, 10.0)) == pytest.approx(0.033)


def test_a_block_of_very_short_lines_is_cut(tmp_path: Path) -> None:
    (tmp_path / "f.csv").write_bytes(HEADER + b"\n" * 600_000)
    found, digest = _all_blocks(tmp_path / "f.csv", len(HEADER))
    assert [block.size for block in found] == [1 << 18, 1 << 18, 600_000 - (1 << 19)]
    assert digest == hashlib.sha256(HEADER + b"\n" * 600_000).hexdigest()


def row_of(timestamp: str, kind: str, method: str, amount: str) -> Transaction:
    return parse_row([timestamp, kind, method, amount], Layout(4, 0, 1, 2, 3, None))


@pytest.mark.parametrize(
    "fields",
    [
        (" 2026-01-01", "deposit", "visa", "0.5"),
        ("2026-01-01  ", " deposit ", "  visa ", " 0.5 "),
        ("2026-01-01", "Deposit", "visa", "0.5"),
        ("2026-01-01", "DEPOSITS", "visa", "0.5"),
        ("2026-01-01", "deposits", "visa", "+0.5"),
        ("2026-01-01", "deposit", "visa", ".5"),
        ("2026-01-01", "deposit", "visa", "+.50000000"),
    ],
)
def test_a_file_may_say_the_same_in_other_plain_words(fields: tuple[str, str, str, str]) -> None:
    assert row_of(*fields)[:4] == ("2026-01-01", "deposit", "visa", 50_000_000)
    assert row_of(fields[0], " WithDrawals", *fields[2:]).type == "withdrawal"


@pytest.mark.parametrize(
    "amount", ["++1", "+-1", "+", "+ 1", ".", "+.", "1.", "1 000", "1,000.00", "1.000,00", "€1", "1 EUR"]
)
def test_an_amount_that_has_to_be_told_is_rejected(amount: str) -> None:
    with pytest.raises(ValueError, match="amount"):
        row_of("2026-01-01", "deposit", "visa", amount)


@pytest.mark.parametrize(
    "timestamp", ["01.02.2026", "01/02/2026", "1767225600", "1767225600000", "2026/01/01", "2026 01 01"]
)
def test_another_order_of_dates_and_epochs_are_rejected(timestamp: str) -> None:
    with pytest.raises(ValueError, match="ISO 8601"):
        row_of(timestamp, "deposit", "visa", "1")


@pytest.mark.parametrize("kind", ["deposit.", "depositss", "de posit", "s", "", "d", "ＤＥＰＯＳＩＴ", "refund"])
def test_other_types_are_rejected(kind: str) -> None:
    with pytest.raises(ValueError, match="neither deposit nor withdrawal"):
        row_of("2026-01-01", kind, "visa", "1")


@pytest.mark.parametrize("space", ["\t", "\xa0", "\u2003"])
def test_only_spaces_are_left_out(space: str) -> None:
    for place in range(4):
        fields = ["2026-01-01", "deposit", "visa", "1"]
        fields[place] += space
        with pytest.raises(ValueError, match=r"timestamp|type|payment method|amount"):
            row_of(*fields)


def test_spaces_around_a_method_make_no_method_of_its_own() -> None:
    rows = b"2026-01-01T00:00:00,deposit,%s,1.00,0\n"
    block = b"".join(rows % method for method in (b"visa", b" visa", b"visa  ", b" ", b'" visa"'))
    found = sum_rows(block, Layout(5, 0, 1, 2, 3, 4), "s")
    assert found.cells.sums() == {Bucket("2026-01-01", "deposits"): {"visa": Cell(4 * 10**8, 4)}}
    assert [(reject.line, reject.reason) for reject in found.rejects] == [(4, "payment method is empty")]


@pytest.mark.parametrize(
    "fields",
    [
        {"Type": "Deposit"},
        {"Type": "deposits"},
        {"Type": " deposit"},
        {"Amount": "+1"},
        {"Amount": ".5"},
        {"Amount": " 1"},
        {"Timestamp": "2026-01-01 "},
    ],
)
def test_json_is_taken_by_the_letter(fields: dict[str, str]) -> None:
    item = {"Timestamp": "2026-01-01", "Type": "deposit", "PaymentMethod": "visa", "Amount": "1"}
    assert judge_line(msgspec.json.encode(item))[:4] == ("2026-01-01", "deposit", "visa", 10**8)
    assert isinstance(judge_line(msgspec.json.encode(item | fields)), str)
    assert sum_json_lines([msgspec.json.encode(item | fields)]).rejected
