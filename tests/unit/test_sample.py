import gzip
import hashlib
from collections import Counter
from datetime import date
from itertools import accumulate, pairwise
from pathlib import Path

import numpy as np
import pytest

from daybook import sample
from daybook.domain.transaction import Transaction
from daybook.sample import CHUNK_ROWS, SampleSpec, write_sample
from daybook.sources.records import parse_row, read_header, records

SAMPLE_MONTH = Path(__file__).parents[2] / "data" / "transactions_1_month.csv"


def written(spec: SampleSpec, folder: Path, *, chunk_rows: int = CHUNK_ROWS) -> bytes:
    path = folder / "sample.csv"
    write_sample(spec, path, chunk_rows=chunk_rows)
    return path.read_bytes()


def rows_of(content: bytes) -> list[list[str]]:
    return [line.split(",") for line in content.decode().splitlines()[1:]]


def judged(content: bytes) -> tuple[list[Transaction], list[str]]:
    """What the reference reader takes, and the reasons for what it rejects."""
    header = read_header(content, "sample", final=True)
    assert header is not None
    taken, reasons = [], []
    for record in records(content[header.size :], final=True):
        if record.fields is None:
            reasons.append(record.reason)
            continue
        try:
            taken.append(parse_row(record.fields, header.layout))
        except ValueError as error:
            reasons.append(str(error))
    return taken, reasons


def late(timestamps: list[str]) -> int:
    latest = accumulate(timestamps, max)
    return sum(timestamp < so_far for timestamp, so_far in zip(timestamps, latest, strict=True))


def test_the_sample_month_in_the_repository_is_the_one_of_seed_2026(tmp_path: Path) -> None:
    assert written(SampleSpec(seed=2026), tmp_path) == SAMPLE_MONTH.read_bytes()


def test_the_sample_month_is_january_2026_with_every_bucket_out_of_order_and_a_minute_long() -> None:
    content = SAMPLE_MONTH.read_bytes()
    rows = rows_of(content)
    taken, reasons = judged(content)
    assert (len(rows), len(taken), reasons) == (5000, 5000, [])
    assert {row.day for row in taken} == {f"2026-01-{day:02d}" for day in range(1, 32)}
    assert len({(row.day, row.type, row.payment_method) for row in taken}) == 31 * 2 * 5
    assert {row.payment_method for row in taken} == {"apple_pay", "crypto", "paypal", "visa", "wire"}
    assert late([row[0] for row in rows]) >= 4950
    assert sum(int(row[4]) for row in rows) == 60_000


def test_a_spec_gives_the_same_bytes_on_every_machine(tmp_path: Path) -> None:
    spec = SampleSpec(rows=1000, methods=12, out_of_order=0.3, bad_rows=0.05, seconds=2.5, seed=-7)
    digest = hashlib.sha256(written(spec, tmp_path)).hexdigest()
    assert digest == "0a2094f559f5a92af6b409d916b7a692d68673b16ad7f1a991ec4d1bd022c425"


def test_seeds_give_different_files(tmp_path: Path) -> None:
    assert written(SampleSpec(rows=50), tmp_path) != written(SampleSpec(rows=50, seed=2), tmp_path)


def test_chunks_leave_no_trace(tmp_path: Path) -> None:
    spec = SampleSpec(rows=100, out_of_order=0.5, bad_rows=0.2)
    assert written(spec, tmp_path, chunk_rows=33) == written(spec, tmp_path)


def test_progress_counts_the_rows_written(tmp_path: Path) -> None:
    seen: list[int] = []
    write_sample(SampleSpec(rows=100), tmp_path / "sample.csv", on_rows=seen.append, chunk_rows=40)
    assert seen == [40, 80, 100]


def test_the_hash_is_plain_arithmetic_modulo_2_to_the_64() -> None:
    def by_hand(counter: int, key: int) -> int:
        low_64 = (1 << 64) - 1
        mixed = (counter * 0x6A09E667F3BCC909 + key) & low_64
        mixed = ((mixed ^ mixed >> 32) * 0xBB67AE8584CAA73B) & low_64
        mixed = ((mixed ^ mixed >> 32) * 0x3C6EF372FE94F82B) & low_64
        return mixed ^ mixed >> 32

    counters, key = [0, 1, 2, 4_999, 10**9, sample.MAX_ROWS, (1 << 64) - 1], (1 << 64) - 12345
    hashed = sample._hash(np.array(counters, dtype=np.uint64), key)
    assert hashed.tolist() == [by_hand(counter, key) for counter in counters]


@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 0.9, 1.0])
def test_the_share_out_of_order_is_kept_and_the_days_stay_even(share: float, tmp_path: Path) -> None:
    rows = rows_of(written(SampleSpec(rows=6200, out_of_order=share, seed=3), tmp_path))
    assert late([row[0] for row in rows]) == pytest.approx(6200 * share, abs=30)
    per_day = Counter(row[0][:10] for row in rows)
    assert len(per_day) == 31
    assert 130 < min(per_day.values()) <= max(per_day.values()) < 270


def test_nothing_out_of_order_is_time_order(tmp_path: Path) -> None:
    rows = rows_of(written(SampleSpec(rows=5000, out_of_order=0), tmp_path))
    assert all(earlier[0] <= later[0] for earlier, later in pairwise(rows))
    assert (rows[0][0][:10], rows[-1][0][:10]) == ("2026-01-01", "2026-01-31")


@pytest.mark.parametrize(("rows", "share"), [(1000, 0.0), (1000, 0.001), (1000, 0.1), (997, 0.5), (300, 1.0)])
def test_exactly_the_share_of_bad_rows_is_bad(rows: int, share: float, tmp_path: Path) -> None:
    taken, reasons = judged(written(SampleSpec(rows=rows, bad_rows=share), tmp_path))
    assert len(reasons) == round(rows * share)
    assert len(taken) + len(reasons) == rows


def test_every_kind_of_bad_row_occurs_in_turn(tmp_path: Path) -> None:
    content = written(SampleSpec(rows=14, bad_rows=1), tmp_path)
    _, reasons = judged(content)
    assert reasons == [
        "type is neither deposit nor withdrawal",
        "amount is not above 0",
        "amount is not a plain decimal",
        "amount is not a plain decimal",
        "amount is not above 0",
        "amount has more than 8 decimals",
        "amount is not below 10^12",
        "timestamp is not a date that exists",
        "payment method has a character other than letters, digits, space and _-+&",
        "payment method has a character other than letters, digits, space and _-+&",
        "payment method is longer than 64 characters",
        "too few fields: 4 instead of 5",
        "too many fields: 6 instead of 5",
        "bytes are not UTF-8",
    ]


def test_bad_rows_leave_the_other_rows_as_they_were(tmp_path: Path) -> None:
    clean = written(SampleSpec(rows=200), tmp_path).splitlines()
    spoilt = written(SampleSpec(rows=200, bad_rows=0.1), tmp_path).splitlines()
    assert sum(one != other for one, other in zip(clean, spoilt, strict=True)) == 20


@pytest.mark.parametrize(
    ("rows", "seconds", "milliseconds"),
    [(5000, 60.0, 60_000), (5000, 0.0, 0), (999, 1.2345, 1234), (1, 5.0, 5000), (3000, 1e9, 10**12)],
)
def test_sleep_ms_adds_up(rows: int, seconds: float, milliseconds: int, tmp_path: Path) -> None:
    pauses = [int(row[-1]) for row in rows_of(written(SampleSpec(rows=rows, seconds=seconds), tmp_path))]
    assert sum(pauses) == milliseconds
    assert min(pauses) >= 0


def test_sleep_ms_adds_up_over_bad_rows_too(tmp_path: Path) -> None:
    lines = written(SampleSpec(rows=500, bad_rows=0.5, seconds=3), tmp_path).splitlines()[1:]
    assert sum(int(line.rpartition(b",")[2]) for line in lines) == 3000


def test_fields_are_of_the_promised_kinds(tmp_path: Path) -> None:
    rows = rows_of(written(SampleSpec(rows=5000, methods=7), tmp_path))
    assert {row[1] for row in rows} == {"deposit", "withdrawal"}
    assert {row[2] for row in rows} >= {"visa", "method_006", "method_007"}
    assert len({row[2] for row in rows}) == 7
    assert all(5 <= float(row[3]) <= 2000 for row in rows)
    assert {len(row[3].partition(".")[2]) for row in rows} == {1, 2}


def test_a_name_that_ends_in_gz_is_written_as_gzip_of_the_same_content(tmp_path: Path) -> None:
    spec = SampleSpec(rows=100)
    packed = tmp_path / "sample.csv.gz"
    write_sample(spec, packed)
    assert gzip.decompress(packed.read_bytes()) == written(spec, tmp_path)


def test_a_longer_file_that_stood_there_is_gone(tmp_path: Path) -> None:
    long = written(SampleSpec(rows=50), tmp_path)
    assert len(written(SampleSpec(rows=5), tmp_path)) < len(long)


def test_no_rows_leave_the_header(tmp_path: Path) -> None:
    content = written(SampleSpec(rows=0, bad_rows=1), tmp_path)
    assert content == b"timestamp,type,payment_method,amount,sleep_ms\n"


@pytest.mark.parametrize(
    ("first_day", "days"), [(date(1, 1, 1), 3_652_059), (date(9999, 12, 31), 1), (date(1969, 12, 30), 4)]
)
def test_any_days_of_the_calendar_can_be_had(first_day: date, days: int, tmp_path: Path) -> None:
    taken, reasons = judged(written(SampleSpec(rows=400, first_day=first_day, days=days), tmp_path))
    assert not reasons
    found = {date.fromisoformat(row.day) for row in taken}
    assert first_day <= min(found)
    assert (max(found) - first_day).days < days


def test_the_last_rows_of_the_longest_file_are_as_sound_as_the_first() -> None:
    spec = SampleSpec(rows=sample.MAX_ROWS, out_of_order=0.5, days=3_652_059, first_day=date(1, 1, 1))
    row = np.arange(spec.rows - 1000, spec.rows, dtype=np.uint64)
    assert sample._second(spec, row, sample._knots(spec)).max() < spec.days * 86_400
    assert sample._marked(spec, "late", row, spec.late_rows).sum() == 500


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        ({"rows": -1}, "rows=-1"),
        ({"rows": sample.MAX_ROWS + 1}, "rows="),
        ({"days": 0}, "days=0: must be at least 1"),
        ({"first_day": date(9999, 12, 31), "days": 2}, "past the year 9999"),
        ({"methods": 0}, "methods=0"),
        ({"out_of_order": 1.01}, "out_of_order=1.01: must be a share between 0 and 1"),
        ({"bad_rows": -0.1}, "bad_rows=-0.1"),
        ({"bad_rows": float("nan")}, "bad_rows=nan"),
        ({"seconds": -1.0}, "seconds=-1.0"),
        ({"seconds": float("inf")}, "seconds=inf"),
    ],
)
def test_nonsense_is_named_before_the_file_is_touched(wrong: dict[str, object], reason: str, tmp_path: Path) -> None:
    spec = SampleSpec(**wrong)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=reason):
        write_sample(spec, tmp_path / "sample.csv")
    assert not list(tmp_path.iterdir())
