"""Commands beside a process that owns the embedded server, and ends in the middle."""

import signal
from pathlib import Path

import pytest

from e2e.conftest import MakeService
from support.commands import Command, Commands
from support.oracle import truth_of
from support.sample_file import generated
from support.service import Service, embedded_servers, until

ROWS = 20_000
IMPORTED = f"imported: {ROWS} rows = {ROWS} applied + 0 rejected + 0 waiting\n"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Takes 8 seconds at its own pace."""
    return generated(tmp_path / "month.csv", rows=ROWS, seconds=8)


@pytest.fixture
def service(daybook: Commands, make_service: MakeService) -> Service:
    return make_service(DataDir=daybook.data_dir).start()


def start_import(daybook: Commands, service: Service, file: Path) -> Command:
    """Return the command once it has queued some of the rows."""
    command = daybook.start("import", file, "--replay-speed", 1)

    def under_way() -> bool:
        found = service.import_of(file)
        return found is not None and found["rows"] > 1000

    service.wait(under_way, "the import is under way")
    return command


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_an_import_takes_the_server_over(
    daybook: Commands, service: Service, file: Path, number: signal.Signals
) -> None:
    command = start_import(daybook, service, file)
    service.stop(number)
    assert command.code() == 0, command.log
    assert command.output == f"{file}: {IMPORTED}"
    assert "Traceback" not in command.log
    assert daybook.stats() == truth_of(file).data
    assert embedded_servers(daybook.data_dir) == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_an_import_shares_the_server_of_the_next_service(
    daybook: Commands, service: Service, file: Path, number: signal.Signals
) -> None:
    command = start_import(daybook, service, file)
    service.stop(number)
    service.start()
    assert command.code() == 0, command.log
    assert command.output == f"{file}: {IMPORTED}"
    assert service.stats() == truth_of(file).data
    assert service.stop() == 0


def test_an_import_takes_over_from_an_import(daybook: Commands, tmp_path: Path, file: Path) -> None:
    first = generated(tmp_path / "first.csv", rows=4000, seconds=3, seed=2)
    owner = daybook.start("import", first, "--replay-speed", 1)
    until(lambda: embedded_servers(daybook.data_dir), "the first import runs its server")
    command = daybook.start("import", file, "--replay-speed", 1)
    assert (owner.code(), command.code()) == (0, 0), command.log
    assert command.output == f"{file}: {IMPORTED}"
    assert daybook.run("verify").output.endswith("no difference: the stores hold exactly what the files hold\n")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
@pytest.mark.parametrize(
    "words",
    [("verify",), ("stats", "--from", "2026-01-01", "--to", "2026-01-31"), ("rejects", "export", "month.csv")],
    ids=lambda words: words[0],
)
def test_a_reading_command_ends(
    daybook: Commands, service: Service, words: tuple[str, ...], number: signal.Signals
) -> None:
    """It answers, or ends with one line."""
    file = generated(daybook.folder / "month.csv", rows=60_000, bad_rows=0.2)
    daybook.run("import", file, code=4)
    command = daybook.start(*words)
    service.stop(number)
    assert command.code() in {0, 1}
    if command.code():
        assert command.log.startswith("daybook: ")
        assert command.log.count("\n") == 1, command.log
