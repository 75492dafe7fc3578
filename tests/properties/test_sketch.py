"""A row has one hash, whoever judges it; a sketch tells how many rows two files share."""

import random

import numpy as np
from hypothesis import example, given, settings
from hypothesis import strategies as st

from daybook.domain.transaction import Transaction
from daybook.importing.seen_rows import SeenRows
from daybook.sources.records import Layout, judge, records
from daybook.sources.row_sums import Limits, sum_rows, sum_rows_within
from daybook.sources.sketch import ALL_ROWS, MOST_HASHES, bound_of, merged, pack, row_hash, smallest, unpack
from properties.test_row_sums import _BLOCK, LAYOUT, TURNED

ROW = "2026-01-15T10:30:00,deposit,visa,12.50,5\n"


@settings(max_examples=400)
@given(_BLOCK, st.sampled_from([LAYOUT, TURNED]))
@example(ROW.encode() * 2, LAYOUT)
@example(b"2026-01-15T23:59:59,withdrawal,apple_pay,9999999999.99999999,5\n", LAYOUT)
def test_fast_columns_and_reference_hash_alike(block: bytes, layout: Layout) -> None:
    judged = (judge(record, layout) for record in records(block, final=True))
    expected = sorted({row_hash(row) for row in judged if isinstance(row, Transaction)})
    assert sum_rows(block, layout, "s").sketch.tolist() == expected[:MOST_HASHES]


def test_a_row_hashes_alike_however_it_is_written() -> None:
    same = [
        ROW,
        "2026-01-15T10:30:00Z,deposit,visa,12.5,9\n",
        "2026-01-15T11:30:00.25+01:00,deposit,visa,00012.50000000,\n",
        '"2026-01-15 10:30",deposit,"visa",12.5,5\n',
    ]
    hashes = {sum_rows(row.encode(), LAYOUT, "s").sketch.tolist()[0] for row in same}
    assert len(hashes) == 1
    others = [ROW.replace(*change) for change in (
        ("10:30:00", "10:30:01"), ("-15", "-16"), ("deposit", "withdrawal"), ("visa", "visas"), ("12.50", "12.51"),
    )]  # fmt: skip
    more = {sum_rows(row.encode(), LAYOUT, "s").sketch.tolist()[0] for row in others}
    assert len(more | hashes) == 1 + len(others)


def test_the_hash_never_changes() -> None:
    """It is stored: another hash would find none of the rows that were imported before."""
    assert sum_rows(ROW.encode(), LAYOUT, "s").sketch.tolist() == [HASH_OF_ROW]


HASH_OF_ROW = 5009561354863120813


@given(_BLOCK, st.integers(1, 3))
def test_parts_in_any_order_have_the_sketch_of_the_whole(block: bytes, buckets: int) -> None:
    parts = sum_rows_within(block, LAYOUT, "s", Limits(buckets, 3))
    found = smallest(np.zeros(0, np.uint64))
    for part in reversed(parts):
        found = merged(found, part.sketch)
    assert found.tolist() == sum_rows(block, LAYOUT, "s").sketch.tolist()
    assert unpack(pack(found)).tolist() == found.tolist()


@given(st.integers(0, 20_000), st.integers(1, 30), st.integers(0, 2**32))
def test_a_sketch_holds_the_smallest_distinct_hashes(number: int, copies: int, seed: int) -> None:
    distinct = np.random.default_rng(seed).integers(0, 2**64, -(-number // copies), np.uint64)
    expected = sorted(set(distinct.tolist()))[:MOST_HASHES]
    found = smallest(np.repeat(distinct, copies))
    assert found.tolist() == expected
    assert bound_of(found) == (expected[-1] if len(expected) == MOST_HASHES else ALL_ROWS)


def test_the_index_finds_each_row_and_its_sources() -> None:
    chance = random.Random(1)
    hashes = np.random.default_rng(1).integers(0, 2**64, 30_000, np.uint64)
    sketches = {str(number): smallest(np.array(chance.sample(hashes.tolist(), 60), np.uint64)) for number in range(600)}
    index = SeenRows(most=20_000)
    for name, sketch in sketches.items():
        index.put(name, sketch[:40])
        index.put(name, sketch)
    assert 10_000 < len(index) <= 20_000 + (1 << 14)
    wanted = smallest(hashes[:300])
    found = {seen.source: seen for seen in index.find(wanted)}
    (bound,) = {seen.bound for seen in found.values()}
    assert bound < ALL_ROWS
    for name, sketch in sketches.items():
        common = {each for each in sketch.tolist() if each <= bound} & set(wanted.tolist())
        places = found[name].places if name in found else []
        assert {each for each in wanted[places].tolist() if each <= bound} == common
