"""The commands beside `serve`, as processes."""

import csv
import gzip
import io
import re
import signal
from pathlib import Path

import pytest

from e2e.conftest import MakeService
from support.commands import JANUARY, Commands
from support.oracle import merged, truth_of
from support.outside import OutsideRedis
from support.sample_file import generated
from support.service import (
    embedded_servers,
)


def test_import_without_a_service(daybook: Commands, tmp_path: Path) -> None:
    first = generated(tmp_path / "first.csv", rows=3000, bad_rows=0.01, seconds=60, seed=1)
    second = generated(tmp_path / "second.csv", rows=2000, seed=2)
    copy = tmp_path / "copy.csv.gz"
    copy.write_bytes(gzip.compress(first.read_bytes()))
    told = daybook.run("import", first, second)
    assert told.output.splitlines() == [
        f"{first}: imported: 3000 rows = 2970 applied + 30 rejected + 0 waiting",
        f"{second}: imported: 2000 rows = 2000 applied + 0 rejected + 0 waiting",
    ]
    assert embedded_servers(daybook.data_dir) == []
    told = daybook.run("import", copy)
    assert told.output == f"{copy}: already imported: 3000 rows = 2970 applied + 30 rejected + 0 waiting\n"
    assert daybook.stats() == merged([truth_of(first), truth_of(second)])


def test_import_beside_a_running_service(daybook: Commands, make_service: MakeService, tmp_path: Path) -> None:
    """It uses the service's server; a file that the service is reading is waited for."""
    paced = generated(tmp_path / "paced.csv", rows=3000, seconds=3, seed=1)
    more = generated(tmp_path / "more.csv", rows=3000, seed=2)
    service = make_service(DataDir=daybook.data_dir, CsvFilePath=paced, ReplaySpeed=1).start()
    service.wait(lambda: service.import_of(paced), "the service reads")
    told = daybook.run("import", paced)
    assert "3000 rows = 3000 applied + 0 rejected + 0 waiting" in told.output
    told = daybook.run("import", more)
    assert told.output == f"{more}: imported: 3000 rows = 3000 applied + 0 rejected + 0 waiting\n"
    assert service.stats() == daybook.stats() == merged([truth_of(paced), truth_of(more)])
    assert len(service.imports()) == 2
    assert len(embedded_servers(daybook.data_dir)) == 1
    assert service.stop() == 0


def test_import_with_redis_outside(daybook: Commands, tmp_path: Path) -> None:
    file = generated(tmp_path / "month.csv", rows=3000)
    with OutsideRedis(tmp_path / "redis") as server:
        daybook.settings |= server.start().settings
        told = daybook.run("import", file)
        assert told.output == f"{file}: imported: 3000 rows = 3000 applied + 0 rejected + 0 waiting\n"
        assert daybook.stats() == truth_of(file).data
        with server.client() as client:
            assert client.exists("agg:2026-01-15:deposits")
    assert embedded_servers(daybook.data_dir) == []


def test_an_interrupted_import_goes_on_where_it_was(daybook: Commands, tmp_path: Path) -> None:
    file = generated(tmp_path / "month.csv", rows=5000, bad_rows=0.01, seconds=50)
    read = 0
    for number, code in ((signal.SIGINT, 130), (signal.SIGTERM, 143)):
        told = daybook.interrupt(number, "import", file, "--replay-speed", 5)
        assert told.code() == code
        found = re.search(r"interrupted .*\((\d+) rows = (\d+) applied \+ (\d+) rejected \+ (\d+) waiting", told.output)
        assert found is not None
        rows, *parts = map(int, found.groups())
        assert rows == sum(parts)
        assert read < rows < 5000
        read = rows
        assert embedded_servers(daybook.data_dir) == []
    assert daybook.interrupt(signal.SIGKILL, "import", file, "--replay-speed", 5).code() == -signal.SIGKILL
    told = daybook.run("import", file)
    assert told.output == f"{file}: imported: 5000 rows = 4950 applied + 50 rejected + 0 waiting\n"
    assert daybook.stats() == truth_of(file).data


def test_files_that_are_none(daybook: Commands, tmp_path: Path) -> None:
    wrong, damaged, empty = tmp_path / "wrong.csv", tmp_path / "damaged.csv.gz", tmp_path / "empty.csv"
    wrong.write_text("a,b,c\n1,2,3\n")
    damaged.write_bytes(b"\x1f\x8b no gzip")
    empty.touch()
    good = generated(tmp_path / "good.csv", rows=10)
    told = daybook.run("import", wrong, damaged, empty, good, code=1)
    lines = told.output.splitlines()
    assert len(lines) == 4
    for line, path, words in zip(
        lines,
        (wrong, damaged, empty, good),
        (
            "expected timestamp,type,payment_method,amount[,sleep_ms]",
            "Unknown compression method",
            "no rows",
            "imported: 10 rows = 10 applied + 0 rejected + 0 waiting",
        ),
        strict=True,
    ):
        assert line.startswith(f"{path}: ")
        assert words in line
    missing = tmp_path / "missing.csv"
    assert daybook.run("import", missing, code=1).log == f"daybook: {missing}: no such file\n"


def test_a_last_line_without_its_end(daybook: Commands, tmp_path: Path) -> None:
    file = tmp_path / "torn.csv"
    file.write_text("timestamp,type,payment_method,amount\n2026-01-05,deposit,paypal,1.00")
    told = daybook.run("import", file, code=1)
    assert f"{file}: imported: 0 rows" in told.output
    assert "the last line has no line end" in told.output
    told = daybook.run("import", "--complete", file)
    assert told.output == f"{file}: imported: 1 rows = 1 applied + 0 rejected + 0 waiting\n"


EXACT = [
    ["2026-01-05", "deposits", "paypal", "0.30", "2"],
    ["2026-01-05", "deposits", "visa", "1999999999.99999999", "1"],
    ["2026-01-07", "withdrawals", "wire", "5.00", "1"],
]


@pytest.fixture
def counted(daybook: Commands, tmp_path: Path) -> Commands:
    """With what `EXACT` shows."""
    file = tmp_path / "few.csv"
    file.write_text(
        "timestamp,type,payment_method,amount\n"
        "2026-01-05,deposit,visa,1999999999.99999999\n2026-01-05,deposit,paypal,0.10\n"
        "2026-01-05,deposit,paypal,0.20\n2026-01-07,withdrawal,wire,5\n"
    )
    daybook.run("import", file)
    return daybook


def test_stats_for_programs(counted: Commands) -> None:
    assert counted.run("stats", *JANUARY, "--format", "json").output == (
        '{"data":{"2026-01-05":{"deposits":{"paypal":0.30,"visa":1999999999.99999999},"withdrawals":{}},'
        '"2026-01-07":{"deposits":{},"withdrawals":{"wire":5.00}}}}\n'
    )
    rows = list(csv.reader(io.StringIO(counted.run("stats", *JANUARY, "--format", "csv").output)))
    assert rows == [["date", "type", "payment_method", "amount", "transactions"], *EXACT]
    told = counted.run("stats", "--from", "2026-01-02", "--to", "2026-01-01", code=1)
    assert told.log == "daybook: From parameter must be before or equal to To\n"
    counted.run("stats", "--from", "2026-02-30", "--to", "2026-03-01", code=2)


def test_the_table_of_stats_shows_every_digit(counted: Commands) -> None:
    lines = counted.run("stats", *JANUARY).output.splitlines()
    cells = [[cell.strip() for cell in line.strip("│").split("│")] for line in lines]
    assert [row for row in cells if row[0].startswith("2026")] == EXACT


def test_stats_before_anything_was_imported_is_empty(daybook: Commands) -> None:
    assert daybook.run("stats", *JANUARY, "--format", "json").output == '{"data":{}}\n'


def test_generate_is_deterministic(daybook: Commands, tmp_path: Path) -> None:
    words = ("--rows", 2000, "--days", 3, "--methods", 7, "--bad-rows", 0.1, "--seed", 42)
    first, packed, other = (tmp_path / name for name in ("1.csv", "2.csv.gz", "3.csv"))
    for path in (first, packed):
        daybook.run("generate", path, *words)
    daybook.run("generate", other, *words[:-1], 43)
    assert first.read_bytes() == gzip.decompress(packed.read_bytes()) != other.read_bytes()
    truth = truth_of(first)
    assert (truth.rows, len(truth.rejects), len(truth.data)) == (2000, 200, 3)
    nowhere = tmp_path / "no" / "folder.csv"
    assert daybook.run("generate", nowhere, code=1).log == f"daybook: {nowhere}: No such file or directory\n"


def test_help_names_all_commands(daybook: Commands) -> None:
    told = daybook.run("--help").output
    assert all(name in told for name in ("serve", "import", "stats", "generate"))
    daybook.run("unknown", code=2)
