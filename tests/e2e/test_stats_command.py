"""`daybook stats` for people: ranges as they write them, sums, terminals of all widths; and small commands."""

import csv
import io
import re
from pathlib import Path

import pytest

import daybook as package
from support.commands import Commands
from support.terminal import Terminal

ROWS = """timestamp,type,payment_method,amount
2025-12-31,deposit,visa,7.00
2026-01-05,deposit,visa,1234567.89
2026-01-05,deposit,paypal,0.00000001
2026-01-31,withdrawal,wire,2000000.50
"""


@pytest.fixture
def counted(daybook: Commands, tmp_path: Path) -> Commands:
    file = tmp_path / "few.csv"
    file.write_text(ROWS)
    daybook.run("import", file)
    return daybook


def cells_of(output: str) -> list[list[str]]:
    return [[cell.strip() for cell in line.strip("│").split("│")] for line in output.splitlines() if "│" in line]


def test_without_arguments_it_is_the_last_month_that_has_data(counted: Commands) -> None:
    told = counted.run("stats").output
    assert told.startswith("totals from 2026-01-01 to 2026-01-31\n")
    assert cells_of(told) == [
        ["2026-01-05", "deposits", "paypal", "0.00000001", "1"],
        ["2026-01-05", "deposits", "visa", "1234567.89", "1"],
        ["2026-01-31", "withdrawals", "wire", "2000000.50", "1"],
        ["total", "deposits", "", "1234567.89000001", "2"],
        ["total", "withdrawals", "", "2000000.50", "1"],
        ["net", "", "", "-765432.60999999", "3"],
    ]


@pytest.mark.parametrize("evicted", [False, True])
def test_one_end_is_enough_also_for_days_in_the_archive(counted: Commands, *, evicted: bool) -> None:
    counted.settings |= {"CutOffDays": 0 if evicted else 3_000_000}
    (counted.folder / "more.csv").write_text(ROWS.splitlines()[0] + "\n2026-01-06,deposit,visa,1\n")
    counted.run("import", "more.csv")
    days = {
        row[0] for row in csv.reader(io.StringIO(counted.run("stats", "--to", "2026-01", "--format", "csv").output))
    }
    assert days == {"date", "2025-12-31", "2026-01-05", "2026-01-06", "2026-01-31"}
    assert counted.run("stats", "--from", "6 January 2026").output.startswith("totals from 2026-01-06 to 2026-01-31\n")


@pytest.mark.parametrize(
    ("words", "span"),
    [
        (("--from", "2026-01", "--to", "2026-01"), "2026-01-01 to 2026-01-31"),
        (("--from", "January 2026", "--to", "jan 2026"), "2026-01-01 to 2026-01-31"),
        (("--from", "5. January 2026", "--to", "31.1.2026"), "2026-01-05 to 2026-01-31"),
        (("--from", "1/1/2026", "--to", "1/31/2026"), "2026-01-01 to 2026-01-31"),
        (("--from", "2025", "--to", "2026"), "2025-01-01 to 2026-12-31"),
    ],
)
def test_dates_as_people_write_them(counted: Commands, words: tuple[str, ...], span: str) -> None:
    assert counted.run("stats", *words).output.startswith(f"totals from {span}\n")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("1.2.2026", "which is the month? Write 2026-01-02 or 2026-02-01"),
        ("2026-02-30", "there is no such day; write a day as 2026-01-31, a month as 2026-01"),
        ("yesterday", "write a day as 2026-01-31, a month as 2026-01, a year as 2026"),
    ],
)
def test_other_dates_get_the_right_form(daybook: Commands, text: str, told: str) -> None:
    assert f"'{text}': {told}" in daybook.run("stats", "--from", text, code=2).log


def test_an_empty_range_names_the_days_that_exist(counted: Commands) -> None:
    told = counted.run("stats", "--from", "2027")
    assert told.log == (
        "daybook: no transactions from 2027-01-01 to 2027-01-01; there are some on 2025-12-31, 2026-01-05, 2026-01-31\n"
    )
    assert told.output == ""
    told = counted.run("stats", "--from", "2026-02", "--to", "2026-03", "--format", "json")
    assert told.output == '{"data":{}}\n'
    assert "there are some on 2025-12-31" in told.log


def test_nothing_at_all_is_said(daybook: Commands) -> None:
    told = daybook.run("stats")
    assert (told.output, told.log) == ("", "daybook: no transactions\n")


@pytest.mark.parametrize("width", [60, 80, 120])
def test_a_terminal_of_any_width_shows_all_digits_with_separators(counted: Commands, width: int) -> None:
    with Terminal(counted.folder, counted.settings, "stats", width=width) as terminal:
        assert terminal.code() == 0
    for number in ("1,234,567.89", "0.00000001", "-765,432.60999999", "2,000,000.50"):
        assert re.search(rf"(?<![\d,]){re.escape(number)}(?![\d])", terminal.text), terminal.text
    assert all(len(line) <= width for line in terminal.lines)


@pytest.mark.parametrize("output", ["csv", "json"])
def test_what_programs_read_has_no_separators(counted: Commands, output: str) -> None:
    with Terminal(counted.folder, counted.settings, "stats", "--format", output) as terminal:
        assert terminal.code() == 0
    assert "1234567.89" in terminal.text
    assert "total" not in terminal.text


def test_version(daybook: Commands) -> None:
    assert daybook.run("--version").output == f"daybook {package.__version__}\n"


def test_generate_says_what_it_wrote_and_draws_nothing_in_a_pipe(daybook: Commands) -> None:
    told = daybook.run("generate", "x.csv", "--rows", 2000, "--bad-rows", 0.1, "--days", 3)
    size = (daybook.folder / "x.csv").stat().st_size
    assert told.output == f"x.csv: wrote 2,000 rows from 2026-01-01 to 2026-01-03, 200 of them bad, {size:,} bytes\n"
    assert told.log == ""
    assert daybook.run("import", "x.csv", code=0).output.count("\n") == 1


@pytest.mark.parametrize("width", [60, 200])
def test_verify_shows_a_difference_on_any_terminal(counted: Commands, tmp_path: Path, width: int) -> None:
    file = tmp_path / "few.csv"
    file.write_text(ROWS.replace("7.00", "8.00"))
    with Terminal(counted.folder, counted.settings, "verify", file, width=width) as terminal:
        assert terminal.code() == 1
    assert ("  files    " in terminal.text) == (width == 60)
    assert re.search(r"1 difference|\d+ differences", terminal.text)
