"""Exported rejects that no spreadsheet computes, and their way back."""

import csv
import io
from decimal import Decimal
from pathlib import Path

import pytest

from e2e.conftest import MakeService
from support.commands import Commands

HEADER = "timestamp,type,payment_method,amount,=note\n"
NOTES = ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "'=1", "plain", "'plain", "a;=1"]
CELLS = [*["visa"] * len(NOTES), "+visa", "'+visa"]
CONTENT = HEADER + "".join(
    f'2026-01-05,deposit,{method},-1,"{note}"\n' for method, note in zip(CELLS, [*NOTES, "", ""], strict=True)
)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "notes.csv"
    path.write_bytes(CONTENT.encode())
    return path


def rows_of(text: str) -> list[list[str]]:
    return list(csv.reader(io.StringIO(text, newline="")))


def test_a_plain_export_is_exact(daybook: Commands, tmp_path: Path, file: Path) -> None:
    daybook.run("import", file, code=4)
    exported = tmp_path / "rejects.csv"
    daybook.run("rejects", "export", file, "-o", exported)
    header, *rows = rows_of(exported.read_bytes().decode())
    assert "rejected_safe" not in header
    assert [row[header.index("=note")] for row in rows] == [*NOTES, "", ""]


def test_a_safe_export_goes_the_way_back(
    daybook: Commands, make_service: MakeService, tmp_path: Path, file: Path
) -> None:
    daybook.run("import", file, code=4)
    exported = tmp_path / "safe.csv"
    daybook.run("rejects", "export", file, "--spreadsheet-safe", "-o", exported)
    text = exported.read_bytes().decode()
    assert not [cell for row in rows_of(text) for cell in row if cell.startswith(("=", "+", "-", "@", "\t", "\r"))]

    told = daybook.run("rejects", "import", exported, code=4)
    assert ": 12 rows = 0 applied + 12 rejected" in told.output, "as it is, it adds nothing"

    corrected = tmp_path / "corrected.csv"
    corrected.write_bytes(text.replace('"\'-1"', '"5"', 1).replace('"\'-1"', '"5"').encode())
    told = daybook.run("rejects", "import", corrected)
    assert ": 12 rows = 11 applied + 1 rejected" in told.output, "'+visa was none before the export either"
    cells = daybook.stats()["2026-01-05"]["deposits"]
    assert cells == {"visa": Decimal(50), "+visa": Decimal(5)}
    assert "no difference" in daybook.run("verify").output

    service = make_service(DataDir=daybook.data_dir).start()
    found = service.import_of(file)
    assert found is not None
    path = f"/v1/imports/{found['source']}/rejects"
    safe = rows_of(service.get(path, format="csv", spreadsheet_safe="true").content.decode())
    plain = rows_of(service.get(path, format="csv").content.decode())
    assert [row[2] for row in safe[1:]] == ["''+visa"]
    assert [row[2] for row in plain[1:]] == ["'+visa"]
    assert service.stop() == 0
