"""Held files, as users meet them: the command, the terminal, the service."""

import csv
import io
import json
import random
from pathlib import Path
from typing import Any

import httpx

from e2e.conftest import MakeService
from support.commands import Commands
from support.oracle import merged, truth_of
from support.sample_file import generated
from support.service import Service
from support.terminal import Terminal


def exported_again(path: Path, folder: str = "again") -> Path:
    """Write the rows of a file in another order, under its name in another folder."""
    header, *rows = path.read_text().splitlines(keepends=True)
    random.Random(folder).shuffle(rows)
    again = path.parent / folder / path.name
    again.parent.mkdir()
    again.write_text(header + "".join(rows))
    return again


def test_a_report_exported_again_is_held_until_somebody_decides(daybook: Commands, tmp_path: Path) -> None:
    first = generated(tmp_path / "m.csv", rows=3000)
    again = exported_again(first)
    daybook.run("import", first)
    told = daybook.run("import", again, code=1)
    sources = json.loads(daybook.run("sources", "--format", "json").output)
    assert [each["state"] for each in sources] == ["done", "held"]
    day, like = sources[0]["since"][:10], sources[0]["source"]
    assert told.output == (
        f"{again}: held, nothing of it counts: about 3,000 of 3,000 rows look like those of {first}, "
        f"imported on {day} (source {like}); use --replace {like} or --anyway\n"
    )
    assert daybook.run("import", again, code=1).output == told.output
    assert daybook.stats() == truth_of(first).data

    assert "is held: about 3,000 of 3,000 rows look like" in daybook.run("sources").output
    rows = list(csv.DictReader(io.StringIO(daybook.run("sources", "--format", "csv").output)))
    assert [(row["file"], row["state"], row["rows"], row["waiting"]) for row in rows] == [
        (str(first), "done", "3000", "0"),
        (str(again), "held", "0", "0"),
    ]
    shown = daybook.run("sources", "show", again).output
    facts = dict(line.split(maxsplit=1) for line in shown.splitlines())
    assert (facts["source"], facts["file"], facts["state"]) == (sources[1]["source"], str(again), "held")

    assert "is dropped" in daybook.run("sources", "drop", sources[1]["source"][:14]).output
    assert "dropped on " in daybook.run("import", again, code=1).output
    assert "is released" in daybook.run("sources", "release", again).output
    assert "is not held" in daybook.run("sources", "release", again, code=1).log
    assert f"{again}: imported: 3000 rows" in daybook.run("import", again).output
    assert daybook.stats() == merged([truth_of(first), truth_of(again)])


def test_anyway_imports_what_is_held_and_what_would_be(daybook: Commands, tmp_path: Path) -> None:
    first = generated(tmp_path / "m.csv", rows=300)
    again, third = exported_again(first), exported_again(first, "third")
    daybook.run("import", first)
    daybook.run("import", again, code=1)
    told = daybook.run("import", "--anyway", again, third)
    assert "imported: 300 rows" in told.output
    assert daybook.stats() == merged([truth_of(first), truth_of(again), truth_of(third)])


def test_a_file_of_bad_rows_is_held_and_imported_anyway(daybook: Commands, tmp_path: Path) -> None:
    path = tmp_path / "m.csv"
    path.write_text("timestamp,type,payment_method,amount\n" + "2026-01-01,deposit,visa,1;5\n" * 30)
    told = daybook.run("import", path, code=1)
    assert f"{path}: held, nothing of it counts: 30 of its first 30 rows would be rejected: amount" in told.output
    assert f"`daybook inspect {path}` shows what would mend them" in told.output
    assert told.output.endswith("; use --anyway\n")
    told = daybook.run("import", "--anyway", path, code=4)
    assert "30 rows = 0 applied + 30 rejected + 0 waiting" in told.output


def test_a_held_file_replaces_the_source_that_it_looks_like(daybook: Commands, tmp_path: Path) -> None:
    first = generated(tmp_path / "m.csv", rows=300)
    again = exported_again(first)
    daybook.run("import", first)
    daybook.run("import", again, code=1)
    daybook.run("import", "--replace", first, again)
    assert daybook.stats() == truth_of(again).data
    states = [each["state"] for each in json.loads(daybook.run("sources", "--format", "json").output)]
    assert states == ["reverted", "dropped", "done"]
    assert "already imported" in daybook.run("import", again).output


def test_on_a_terminal_the_command_asks(daybook: Commands, tmp_path: Path) -> None:
    first = generated(tmp_path / "m.csv", rows=300)
    daybook.run("import", first)
    for number, (answer, code, shown) in enumerate(
        ((b"x\nleave\n", 1, "held, nothing of it counts"), (b"i\n", 0, "imported: 300 rows"))
    ):
        again = first.parent / "again" / first.name if number else exported_again(first)
        with Terminal(daybook.folder, daybook.settings, "import", again, width=200) as terminal:
            terminal.wait_for(r"\[replace/import anyway/leave\] ")
            terminal.press(answer)
            assert terminal.code() == code
            assert shown in terminal.text
    assert daybook.stats() == merged([truth_of(first)] * 2)
    third = exported_again(first, "third")
    with Terminal(daybook.folder, daybook.settings, "import", third, width=200) as terminal:
        terminal.wait_for(r"\[replace/import anyway/leave\] ")
        terminal.press(b"r\n")
        assert terminal.code() == 0
        assert "replaces source" in terminal.text
    assert daybook.stats() == merged([truth_of(first)] * 2)


def test_a_service_holds_a_file_and_says_so(make_service: MakeService, tmp_path: Path) -> None:
    folder = tmp_path / "files"
    folder.mkdir()
    first = generated(folder / "m.csv", rows=300)
    service = make_service(CsvFilePath=f"{folder}/**/*.csv").start()
    service.wait_until_imported(first, 300)
    again, bad = exported_again(first), folder / "bad.csv"
    bad.write_text("timestamp,type,payment_method,amount\n" + "2026-01-01,deposit,visa,1;5\n" * 50)
    held = wait_until_held(service, again)
    refused = wait_until_held(service, bad)
    assert (held["state"], held["rows"], held["problem"]) == ("held", 0, "")
    assert "300 of 300 rows look like those of" in held["held"].removeprefix("about ")
    assert refused["held"].startswith("50 of its first 50 rows would be rejected: amount is not a plain decimal: 50 ")
    service.wait(
        lambda: service.get("/readyz?verbose").json()["held"] == {str(again): held["held"], str(bad): refused["held"]},
        "readiness names the held files",
    )
    assert service.get("/readyz").json()["ready"]
    assert service.stats() == truth_of(first).data

    service.stop()
    service.start()
    assert wait_until_held(service, again) == held
    assert decide(service, held, "release").json()["held"] == ""
    service.wait_until_imported(again, 300)
    assert service.stats() == merged([truth_of(first)] * 2)
    assert decide(service, refused, "drop").json() == service.import_of(bad) == refused | {"state": "dropped"}
    service.wait(lambda: service.get("/readyz?verbose").json()["held"] == {}, "no file is held")
    assert decide(service, held, "drop").status_code == 409
    assert decide(service, {"source": "nobody"}, "release").status_code == 404


def wait_until_held(service: Service, path: Path) -> dict[str, Any]:
    service.wait(lambda: (service.import_of(path) or {"held": ""})["held"] != "", f"{path} is held")
    found = service.import_of(path)
    assert found is not None
    return found


def decide(service: Service, source: dict[str, Any], what: str) -> httpx.Response:
    return service.post(f"/v1/imports/{source['source']}/{what}", None)
