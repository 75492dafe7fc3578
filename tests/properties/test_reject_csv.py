"""What is exported of rejected rows: whoever imports it as it is adds nothing."""

import csv
import io

from hypothesis import example, given
from hypothesis import strategies as st

from daybook.books.reject_csv import columns_of
from daybook.domain.reject import RejectedRow, protected, unprotected
from daybook.domain.source import Source
from daybook.sources.records import read_header
from daybook.sources.row_sums import sum_rows

HEADER = b"Timestamp,type,payment_method,amount,note\n"
SOURCE = Source("s", "/s.csv", HEADER, columns=("timestamp", "type", "payment_method", "amount", "note"))

fields = st.one_of(
    st.sampled_from(
        [b"2001-01-01", b"deposit", b"paypal", b"1.00", b"", b"gift", b"-1", b'"a"', b'"', b'""', b"caf\xe9"]
    ),
    st.binary(max_size=6),
)
lines = st.lists(fields, min_size=3, max_size=7).map(b",".join)


@given(st.lists(lines, max_size=8).map(b"\n".join), st.booleans())
@example(b"2001-01-01,deposit,paypal,1.00,caf\xe9", False)
@example(b"2001-01-01,deposit,paypal,1.00,note,more", False)
@example(b"2001-01-01,deposit,paypal,1.00," + b"x" * (1 << 16) + b'"', False)
@example(b'2001-01-01,deposit,"pay"pal,1.00,', False)
@example(b"2001-01-01,deposit,paypal,1.00,note\r2001-01-01,deposit,paypal,1.00,note", False)
@example(b'2001-01-01,deposit,paypal,1.00,"open', False)
def test_an_export_as_it_is_adds_nothing(content: bytes, spreadsheet_safe: bool) -> None:
    header = read_header(HEADER, "s", final=True)
    assert header is not None
    rejects = sum_rows(content + b"\n", header.layout, "s").rejects
    columns = columns_of(SOURCE, spreadsheet_safe=spreadsheet_safe)
    text = columns.header_line()
    text += "".join(columns.line(reject, RejectedRow("s", reject.line)) for reject in rejects)
    exported = text.encode("utf-8", "surrogatepass")
    again = read_header(exported, "export", final=True)
    assert again is not None
    assert again.layout.rejected is not None
    found = sum_rows(exported[again.size :], again.layout, "export")
    assert (found.rows, len(found.rejects)) == (len(rejects), len(rejects))
    written = list(csv.DictReader(io.StringIO(text, newline="")))
    assert [int(row["rejected_line"]) for row in written] == [reject.line for reject in rejects]
    assert [row["rejected_reason"] for row in written] == [reject.reason for reject in rejects]


@given(st.text(alphabet="'=+-@\t\r\na", max_size=6) | st.text())
def test_a_protected_cell_is_no_formula_and_comes_back(cell: str) -> None:
    safe = protected(cell)
    assert not safe.startswith(("=", "+", "-", "@", "\t", "\r", "\n"))
    assert unprotected(safe) == cell
