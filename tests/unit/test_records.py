"""The CSV reference: headers, quotes, line ends, blocks."""

import gzip
import hashlib
import os
from pathlib import Path

import pytest

from daybook.errors import SourceError
from daybook.sources.pacing import paced
from daybook.sources.reader import MAX_LINE_BYTES, Block, BlockReader
from daybook.sources.records import parse_row, read_header, records

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
    with pytest.raises(SourceError, match="not the ones that were read"):
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
