"""Reverting and replacing as users do: by command, alone and beside a service, and over HTTP; and killed on the way."""

import os
import signal
from pathlib import Path

import pytest

from e2e.conftest import MakeService
from support import failpoints
from support.commands import Commands
from support.oracle import truth_of
from support.sample_file import generated
from support.service import wait_for_end

ROWS = 1000
KILLS = (*failpoints.REVERSAL[:-1], "redis.commit.before", "redis.commit.after", "sqlite.write.sources")


@pytest.fixture
def first(tmp_path: Path) -> Path:
    return generated(tmp_path / "first.csv", rows=ROWS, bad_rows=0.01, seed=1)


@pytest.fixture
def second(tmp_path: Path) -> Path:
    return generated(tmp_path / "second.csv", rows=ROWS, bad_rows=0.01, seed=2)


def killed(daybook: Commands, point: str, *words: object) -> None:
    """Run a command that dies at a failpoint."""
    daybook.settings["DAYBOOK_FAILPOINT"] = f"{point}:1"
    assert wait_for_end(daybook.start(*words).process) == -signal.SIGKILL
    del daybook.settings["DAYBOOK_FAILPOINT"]


def test_a_file_is_reverted_and_imported_again(daybook: Commands, first: Path, second: Path) -> None:
    daybook.run("import", first, second)
    told = daybook.run("sources", "revert", first, "--why", "exported twice", "--by", "ann").output
    assert "is reverted: 1,000 rows" in told
    assert "(by ann," in told
    assert ": exported twice)" in told
    assert daybook.stats() == truth_of(second).data
    daybook.run("verify")
    again = daybook.run("import", first)
    assert "imported: 1000 rows" in again.output
    assert "was reverted; it counts again as a new source" in again.log
    assert "already imported" in daybook.run("import", first).output
    daybook.run("sources", "revert", second, "--why", "it, too")
    assert daybook.stats() == truth_of(first).data
    daybook.run("verify")


def test_a_replacement_is_replaced_and_its_path_still_names_it(daybook: Commands, first: Path, second: Path) -> None:
    third = generated(first.parent / "third.csv", rows=ROWS, seed=3)
    daybook.run("import", first)
    daybook.run("import", "--replace", first, second)
    for _ in range(2):
        daybook.run("import", "--replace", second, third)
    assert daybook.stats() == truth_of(third).data
    assert "is reverted" in daybook.run("sources", "revert", second, "--why", "it is already").output


def test_a_path_names_the_source_that_counts_and_not_the_held_one(daybook: Commands, first: Path) -> None:
    """The same report, exported again in another order over the same file."""
    daybook.run("import", first)
    header, *rows = first.read_bytes().splitlines(keepends=True)
    first.write_bytes(header + b"".join(reversed(rows)))
    daybook.run("import", first, code=1)
    daybook.run("import", "--replace", first, first)
    assert daybook.stats() == truth_of(first).data


def test_a_name_that_no_source_has(daybook: Commands, first: Path) -> None:
    assert "neither a source nor the file of one" in daybook.run("sources", "revert", first, "--why", "?", code=1).log


@pytest.mark.parametrize("point", KILLS)
def test_a_reversal_that_is_killed_is_made_whole_by_the_next_try(
    daybook: Commands, first: Path, second: Path, point: str
) -> None:
    daybook.run("import", first, second)
    killed(daybook, point, "sources", "revert", first, "--why", "a test")
    assert daybook.stats() in (truth_of(second).data, both(daybook, first, second))
    daybook.run("sources", "revert", first, "--why", "a test")
    assert daybook.stats() == truth_of(second).data
    daybook.run("verify")


@pytest.mark.parametrize("point", [*KILLS, failpoints.REVERSAL[-1]])
def test_a_replacement_that_is_killed_is_made_whole_by_the_next_try(
    daybook: Commands, first: Path, second: Path, point: str
) -> None:
    daybook.run("import", first)
    killed(daybook, point, "import", "--replace", first, second)
    assert daybook.stats() in (truth_of(first).data, truth_of(second).data)
    daybook.run("import", "--replace", first, second)
    assert daybook.stats() == truth_of(second).data
    daybook.run("verify")


def both(daybook: Commands, first: Path, second: Path) -> object:
    """Return the totals of both files together, as one truth."""
    whole = daybook.folder / "both.csv"
    header, *rows = first.read_bytes().splitlines(keepends=True)
    whole.write_bytes(header + b"".join(rows) + b"".join(second.read_bytes().splitlines(keepends=True)[1:]))
    return truth_of(whole).data


class TestBesideAService:
    def test_a_watched_file_is_reverted_over_http(
        self, make_service: MakeService, first: Path, second: Path, tmp_path: Path
    ) -> None:
        service = make_service(CsvFilePath=tmp_path / "*.csv").start()
        for file in (first, second):
            service.wait_until_imported(file, ROWS)
        (source,) = [each["source"] for each in service.imports() if each["path"] == str(first)]
        request = {"by": "ann", "why": "exported twice"}
        answer = service.post(f"/v1/imports/{source}/revert", request)
        assert answer.status_code == 200
        assert answer.json()["state"] == "reverted"
        assert {key: answer.json()["reversal"][key] for key in request} == request
        assert answer.json()["reversal"]["rows"] == ROWS
        assert service.stats() == truth_of(second).data
        assert service.post(f"/v1/imports/{source}/revert", request).status_code == 200
        assert service.post("/v1/imports/nope/revert", request).status_code == 404
        assert service.post(f"/v1/imports/{source}/revert", request, Origin="http://evil.example").status_code == 403
        assert service.post("/v1/imports/queue/revert", request).status_code == 409
        service.kill()
        service.start()
        assert service.stats() == truth_of(second).data
        assert service.get("/v1/reconcile").json()["balanced"]

    def test_a_command_replaces_what_the_service_imported(
        self, make_service: MakeService, daybook: Commands, first: Path, second: Path
    ) -> None:
        service = make_service(CsvFilePath=first).start()
        service.wait_until_imported(first, ROWS)
        daybook.settings["DataDir"] = service.data_dir
        told = daybook.run("import", "--replace", first, second, "--why", "a better export").output
        assert "replaces source" in told
        assert service.stats() == truth_of(second).data
        states = {each["path"]: each["state"] for each in service.imports()}
        assert states == {str(first): "reverted", str(second): "done"}

    def test_a_command_goes_on_alone_when_the_service_is_killed(
        self, make_service: MakeService, daybook: Commands, first: Path, second: Path
    ) -> None:
        service = make_service(CsvFilePath=first).start()
        service.wait_until_imported(first, ROWS)
        daybook.settings["DataDir"] = service.data_dir
        os.kill(service.running.pid, signal.SIGSTOP)
        command = daybook.start("import", "--replace", first, second)
        service.wait(lambda: "waiting for the reversal" in command.log, "the command says what it waits for")
        service.kill()
        assert command.code() == 0, command.log
        assert daybook.stats() == truth_of(second).data
