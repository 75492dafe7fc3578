"""Names of files that would command a terminal or forge a line of a log."""

import json
import os
from pathlib import Path

import pytest

from e2e.conftest import MakeService
from support.commands import Commands

NAME = "a\x1b[31m\nb[red].csv"
SHOWN = r"a\x1b[31m\nb[red].csv"
CONTENT = "timestamp,type,payment_method,amount\n2026-01-05,deposit,visa,1.00\n2026-01-05,deposit,visa,-1\n"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / NAME
    path.write_text(CONTENT)
    return path


def assert_printable(*texts: str) -> None:
    for text in texts:
        assert all(line.isprintable() for line in text.split("\n")), text


def test_commands_escape_names(daybook: Commands, tmp_path: Path, file: Path) -> None:
    shown = f"{tmp_path}/{SHOWN}"
    told = daybook.run("import", file, code=4)
    assert told.output == f"{shown}: imported: 2 rows = 1 applied + 1 rejected + 0 waiting\n"
    verified = daybook.run("verify", file)
    assert verified.output.startswith(f"{shown}: recomputed: 2 rows")
    exported = daybook.run("rejects", "export", file, "-o", tmp_path / "r\x1b[2J.csv")
    assert exported.output == f"{tmp_path}/r\\x1b[2J.csv: 1 rejected rows\n"
    again = daybook.run("rejects", "import", file, code=1)
    assert again.log.startswith(f"daybook: {shown}: has no columns")
    missing = daybook.run("import", tmp_path / "no\x1b]0;title\x07\u202e.csv", code=1)
    assert missing.log == f"daybook: {tmp_path}/no\\x1b]0;title\\x07\\u202e.csv: no such file\n"
    file.write_text(CONTENT.replace("1.00", "2.00"))
    differs = daybook.run("verify", file, code=1)
    wrong = tmp_path / "wrong\x1b[1m\r.csv"
    wrong.write_text("\x1b[31m,b\n1,2\n")
    refused = daybook.run("import", wrong, code=1)
    for each in (told, verified, exported, again, missing, differs, refused):
        assert_printable(each.output, each.log)


def test_the_progress_on_a_terminal_escapes_names(daybook: Commands, file: Path) -> None:
    daybook.settings |= {"FORCE_COLOR": 1}
    told = daybook.run("import", file, code=4)
    assert NAME not in told.log


@pytest.mark.parametrize("form", ["console", "json"])
def test_the_log_escapes_names(make_service: MakeService, tmp_path: Path, file: Path, form: str) -> None:
    wrong = tmp_path / "wrong\x1b[1m\r\n.csv"
    wrong.write_text("\x1b[31m,b\n1,2\n")
    service = make_service(CsvFilePath=tmp_path, LOG_FORMAT=form).launch()
    service.wait(service.log_path.exists, "the service runs")
    service.wait_for_log("import begins")
    service.wait_for_log("wrong header")
    assert service.stop() == 0
    log = service.log
    assert_printable(log)
    if form == "json":
        assert str(file) in [json.loads(line).get("file") for line in log.splitlines()]
    else:
        assert SHOWN in log


def test_the_api_answers_about_a_name_that_is_no_utf_8(make_service: MakeService, tmp_path: Path) -> None:
    name = os.fsdecode(b"wrong\xff.csv")
    (tmp_path / name).write_text("a,b\n1,2\n")
    service = make_service(CsvFilePath=tmp_path).start()
    service.wait_for_log("wrong header")
    problems = service.get("/v1/imports").json()["problems"]
    assert list(problems) == [f"{tmp_path}/wrong?.csv"]
    assert problems[f"{tmp_path}/wrong?.csv"].startswith(f"{tmp_path}/wrong?.csv: wrong header")
    assert service.get("/readyz").status_code == 200
