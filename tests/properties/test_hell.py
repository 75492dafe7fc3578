"""Input from hell: whatever the bytes are, nothing crashes or hangs, and every row is accounted for.

`make fuzz` runs the same checks guided by coverage; what they once failed on is kept in `tests/data/hell`.
"""

import zlib
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from daybook.domain.position import Position
from daybook.sources.batch_codec import BatchHeader, decode, encode
from daybook.sources.columns.cells import from_sums
from support.csv_from_hell import OPTION_BYTES, check_csv
from support.hell import CHECKS, KEPT
from support.queue_from_hell import SOME_SUMS, check_elements, check_json, check_sealed

_CASES = sorted(path for name in CHECKS for path in (KEPT / name).iterdir())
_SLOW = settings(max_examples=150, deadline=5000, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.mark.parametrize("case", _CASES, ids=lambda case: f"{case.parent.name}-{case.name}")
def test_what_is_kept(case: Path, tmp_path: Path) -> None:
    CHECKS[case.parent.name](case.read_bytes(), tmp_path)


def test_the_checks_reach_what_they_check(tmp_path: Path) -> None:
    found = check_csv((KEPT / "csv" / "every-kind-of-row").read_bytes(), tmp_path)
    assert found is not None
    assert (len(found.sums), len(found.rejects), found.rows) == (1, 27, 35)
    assert check_json((KEPT / "json" / "every-kind").read_bytes()) == 4
    assert check_sealed((KEPT / "sealed" / "as-written").read_bytes()) is not None
    applied = check_elements((KEPT / "elements" / "every-kind").read_bytes())
    assert applied.elements == 11
    assert len(applied.rejects) == 16


_ROW = st.sampled_from(
    [
        b"2026-01-15T10:30:00,deposit,visa,1.00",
        b"2026-01-16,withdrawal,caf\xc3\xa9,0.00000001",
        b"2026-01-15T10:30:00,deposit,visa,1.00,60",
        b"1.00,n,deposit,2026-01-15T10:30:00,visa",
        b'1.00,"n, ""m""",deposit,2026-01-15T10:30:00,visa',
        b'1.00,"n\nm",deposit,2026-01-15T10:30:00,visa',
        b'1.00,"n',
        b'm",deposit,2026-01-15T10:30:00,visa',
        b"2026-01-15T10:30:00,deposit,caf\xe9,1.00",
        b"",
    ]
)
_MUCH = st.tuples(st.sampled_from([b"\x01", b"\x02", b"\x03", b"\x04"]), st.integers(100, 160)).map(
    lambda much: much[0] + bytes([much[1]])
)
_LINES = st.lists(
    st.tuples(st.one_of(_ROW, _ROW, _MUCH, st.binary(max_size=8)), st.sampled_from([b"\n", b"\n", b"\r\n", b""])).map(
        b"".join
    ),
    max_size=12,
)


@_SLOW
@given(st.binary(min_size=OPTION_BYTES, max_size=OPTION_BYTES), _LINES)
def test_any_file_is_read_as_the_reference_reads_it(tmp_path: Path, options: bytes, lines: list[bytes]) -> None:
    check_csv(options + b"".join(lines), tmp_path)


_JSON = st.builds(
    lambda *parts: b"".join(parts),
    st.sampled_from([b'{"Timestamp":"2026-01-15"', b'{"Timestamp":"2026-01-15T10:30:00"', b'{"Timestamp":1']),
    st.sampled_from([b',"Type":"deposit"', b',"Type":"withdrawal","More":[[{}]]', b',"Type":"\\ud800"']),
    st.sampled_from([b',"PaymentMethod":"visa"', b',"PaymentMethod":"a,\\n\\""', b',"PaymentMethod":"\xff"']),
    st.sampled_from([b',"Amount":1', b',"Amount":"1.5"', b',"Amount":1e-9', b',"Amount":1e999999', b',"Amount":[]']),
    st.sampled_from([b"}", b"}", b"}\n", b"} {", b""]),
)
_BATCH = st.tuples(st.sampled_from([b"\x80", b"\x81"]), st.binary(max_size=6)).map(b"".join)
_ELEMENTS = st.lists(st.one_of(_JSON, st.lists(_JSON).map(b"\n".join), _BATCH, _BATCH, st.binary(max_size=20)))


@settings(deadline=5000)
@given(_ELEMENTS)
def test_any_queue_is_applied_or_rejected_to_its_end(elements: list[bytes]) -> None:
    check_elements(b"\n\n".join(elements))


@settings(max_examples=300, deadline=5000)
@given(st.binary(max_size=200), st.binary(max_size=112))
def test_a_batch_with_any_header_and_cells_is_refused_or_adds_up(header: bytes, cells: bytes) -> None:
    check_sealed(header + b"\n\n" + cells)
    check_sealed(b"\n\n" + cells)


def test_a_batch_with_impossible_buffers_is_refused_although_its_checksum_fits() -> None:
    length, impossible = ((24 | high << 63).to_bytes(8, "little") for high in (0, 1))
    element = encode(BatchHeader("s", 0, Position(offset=5)), from_sums(SOME_SUMS))
    content = element[:-4].replace(length, impossible)
    with pytest.raises(ValueError, match="not a batch"):
        decode(content + zlib.crc32(content).to_bytes(4, "little"))
