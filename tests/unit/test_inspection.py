"""`daybook inspect`: what it says, and that the profile it prints makes the rows pass."""

import tomllib
import zipfile
from pathlib import Path

import pytest

from daybook.cli.inspecting import inspect_file
from daybook.settings import Settings
from daybook.sources.candidates import amount_fit, date_fit
from daybook.sources.inspection import inspect, try_profile
from daybook.sources.profile import make_profile

ROWS = 60
PLAIN = "timestamp,type,payment_method,amount\n"


def said(path: Path) -> str:
    return "\n".join(inspect_file(Settings(), path))


def passed(path: Path, text: str) -> int:
    """Return how many rows pass with the profile that the text is."""
    return try_profile(path, make_profile(tomllib.loads(text), "printed")).passed


def german(row: int) -> str:
    kind = ("Gutschrift", "Lastschrift", "DEPOSIT")[row % 3]
    return f'{row % 28 + 1:02d}.01.2026 10:{row % 60:02d};{kind};Überweisung;"1.{row:03d},50 €";a "quoted" text'


def write(path: Path, header: str, rows: list[str], encoding: str = "utf-8", line_end: str = "\n") -> Path:
    path.write_bytes((line_end.join([header, *rows]) + line_end).encode(encoding))
    return path


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "cp1252"])
def test_the_profile_for_a_german_export_makes_its_rows_pass(tmp_path: Path, encoding: str) -> None:
    header = "Buchungstag;Umsatzart;Zahlart;Betrag;Text"
    path = write(tmp_path / "m.csv", header, [german(row) for row in range(ROWS)], encoding, "\r\n")
    text = said(path)
    assert "# now: no row would pass: " in text
    assert f"# with the profile below: {ROWS} of {ROWS} rows would pass" in text
    assert passed(path, text) == ROWS
    found = tomllib.loads(text)
    assert found["date-format"] == "%d.%m.%Y %H:%M"
    assert found["type-map"] == {"Gutschrift": "deposit", "Lastschrift": "withdrawal"}
    assert ("is a guess: look whether this word is right: Überweisung" in text) == (encoding == "cp1252")


def test_ambiguous_dates_are_said_to_be_so_and_never_guessed(tmp_path: Path) -> None:
    rows = [f"{row % 12 + 1:02d}/{row % 11 + 1:02d}/2026,deposit,visa,1.50" for row in range(ROWS)]
    path = write(tmp_path / "m.csv", PLAIN.strip(), rows)
    text = said(path)
    assert "# timestamp: AMBIGUOUS: %d/%m/%Y or %m/%d/%Y fits 60 of 60 values" in text
    assert "date-format" not in tomllib.loads(text)
    for choice in ("%d/%m/%Y", "%m/%d/%Y"):
        assert passed(path, text.replace(f'# date-format = "{choice}"', f'date-format = "{choice}"')) == ROWS
    path = write(tmp_path / "clear.csv", PLAIN.strip(), [*rows, "13/02/2026,deposit,visa,1"])
    assert tomllib.loads(said(path))["date-format"] == "%d/%m/%Y"


@pytest.mark.parametrize(
    ("values", "formats"),
    [
        (["1.234", "12.345"], [(".", ""), (",", ".")]),
        (["1,234", "12,345"], [(",", ""), (".", ",")]),
        (["1.234", "12.3"], [(".", "")]),
        (["1.234,5", "12.345"], [(",", ".")]),
        (["1,234.50 $", "$12"], [(".", ",")]),
        (["1'234.50"], [(".", "'")]),
        (["1\u202f234,50"], [(",", " ")]),
        (["1", "2"], [(".", "")]),
        (["x"], []),
        ([], []),
    ],
)
def test_amounts_that_two_formats_read_differently_are_ambiguous(
    values: list[str], formats: list[tuple[str, str]]
) -> None:
    assert [(each.decimal, each.thousands) for each in amount_fit(values).formats] == formats


@pytest.mark.parametrize(
    ("values", "formats"),
    [
        (["2026-01-15", "2026-01-15T10:30:00Z"], [""]),
        (["01.02.2026"], ["%d.%m.%Y"]),
        (["01.02.26"], ["%d.%m.%y", "%y.%m.%d"]),
        (["1/31/2026 1:05 PM"], ["%m/%d/%Y %I:%M %p"]),
        (["1767225600"], ["epoch"]),
        (["1767225600000"], ["epoch-ms"]),
        (["01022026"], ["%d%m%Y", "%m%d%Y"]),
        (["31 Dec 2026", "1 Jan 2026"], ["%d %b %Y"]),
        (["123", "x"], []),
    ],
)
def test_formats_of_dates(values: list[str], formats: list[str]) -> None:
    assert [each.date_format for each in date_fit(values).formats] == formats


def test_rows_that_pass_need_no_profile(tmp_path: Path) -> None:
    path = write(tmp_path / "m.csv", PLAIN.strip(), ["2026-01-15, Deposit,visa,+.5"] * 3)
    text = said(path)
    assert "# now: 3 of 3 rows would pass" in text
    assert "no profile is needed" in text
    assert tomllib.loads(text) == {}


def test_the_commonest_reasons_come_with_their_first_row(tmp_path: Path) -> None:
    rows = [
        "2026-01-15,deposit,visa,1",
        "2026-01-15,deposit,visa,x",
        "\n2026-01-15,deposit,vi\x1bsa,1",
        "2026-01-15,deposit,visa,",
    ]
    text = said(write(tmp_path / "m.csv", PLAIN.strip(), rows))
    assert "# now: 1 of 4 rows would pass" in text
    assert "2 rejected: amount is not a plain decimal; the first in line 3: 2026-01-15,deposit,visa,x" in text
    assert r"1 rejected: payment method has a character" in text
    assert r"the first in line 5: 2026-01-15,deposit,vi\x1bsa,1" in text


def test_a_profile_beside_the_file_counts_for_what_would_pass_now(tmp_path: Path) -> None:
    path = write(tmp_path / "m.csv", PLAIN.strip().replace(",", ";"), ["2026-01-15;deposit;visa;1,5"])
    (tmp_path / "daybook.toml").write_text('delimiter = ";"\ndecimal = ","\n')
    assert "# now: 1 of 1 rows would pass" in said(path)


def test_columns_are_known_by_their_values_and_else_asked_for(tmp_path: Path) -> None:
    path = write(tmp_path / "m.csv", "a,b,c,d", ["2026-01-15,deposit,visa,1.50"] * 3)
    sight = inspect(path)
    assert sight.columns == {"timestamp": ["a"], "type": ["b"], "amount": ["d"]}
    text = said(path)
    assert "# payment_method: no column looks like it: its column must be told" in text
    assert passed(path, text.replace('# payment_method = "?"', 'payment_method = "c"')) == 3
    path = write(
        tmp_path / "two.csv", "Datum,Valuta,type,payment_method,amount", ["2026-01-15,2026-01-16,deposit,visa,1"]
    )
    assert "# timestamp: Datum or Valuta: its column must be told" in said(path)


def test_what_is_no_text_is_named(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "m.zip", "w") as archive:
        archive.writestr("m.csv", PLAIN)
    assert "is a zip archive" not in said(tmp_path / "m.zip")
    with zipfile.ZipFile(tmp_path / "outer.zip", "w") as archive:
        archive.write(tmp_path / "m.zip", "m.csv")
    assert "is a zip archive" in said(tmp_path / "outer.zip")
    (tmp_path / "m.json").write_text('{"Timestamp": 1}\n')
    assert "is JSON lines: push its lines to the queue" in said(tmp_path / "m.json")
    (tmp_path / "m.csv").write_text("")
    assert "holds nothing" in said(tmp_path / "m.csv")
