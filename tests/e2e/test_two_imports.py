"""Several imports of one content at once."""

import os
import shutil
import signal
from pathlib import Path

import pytest
import redis

from e2e.conftest import MakeService
from support.commands import Commands
from support.oracle import truth_of
from support.outside import OutsideRedis
from support.sample_file import generated
from support.service import embedded_servers, until

ROWS = 20_000
HELD_BACK = 5
"""Scripts of three processes that register content; two of them want the lane, too."""
BOOKS = f"{ROWS} rows = {ROWS} applied + 0 rejected + 0 waiting\n"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Takes 5 seconds at its own pace."""
    return generated(tmp_path / "month.csv", rows=ROWS, seconds=5)


@pytest.fixture(params=["same path", "copy"])
def second(request: pytest.FixtureRequest, tmp_path: Path, file: Path) -> Path:
    return file if request.param == "same path" else Path(shutil.copy(file, tmp_path / "copy.csv"))


def test_the_second_import_waits_for_the_first(daybook: Commands, file: Path, second: Path) -> None:
    first = daybook.start("import", file, "--replay-speed", 1)
    until(lambda: daybook._rows_in_redis() > 0, "rows are counted")
    told = daybook.run("import", second)
    assert first.code() == 0
    assert first.output == f"{file}: imported: {BOOKS}"
    assert told.output == f"{second}: already imported: {BOOKS}"
    assert f"{second}: being imported by another importer from {file} (source " in told.log
    assert daybook.stats() == truth_of(file).data


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_the_second_import_goes_on_when_the_first_ends(
    daybook: Commands, file: Path, second: Path, number: signal.Signals
) -> None:
    first = daybook.interrupt(signal.SIGCONT, "import", file, "--replay-speed", 1)
    told = daybook.start("import", second)
    until(lambda: "being imported by another importer" in told.log, "the second has found the first")
    os.kill(first.process.pid, number)
    assert told.code() == 0, told.log
    assert told.output == f"{second}: imported: {BOOKS}"
    assert daybook.stats() == truth_of(file).data
    assert embedded_servers(daybook.data_dir) == []


def test_new_content_that_three_processes_register_at_once_counts_once(
    daybook: Commands, make_service: MakeService, tmp_path: Path
) -> None:
    """Redis holds all writes back until each of them has compared the file with the list of sources."""
    inbox = tmp_path / "inbox"
    inbox.mkdir()
    with OutsideRedis(tmp_path / "redis") as server:
        settings = server.start().settings | {"DataDir": daybook.data_dir}
        daybook.settings |= settings
        service = make_service(CsvFilePath=inbox, **settings).start()
        file = generated(tmp_path / "month.csv", rows=ROWS)
        with server.client() as client:
            client.execute_command("CLIENT", "PAUSE", 60_000, "WRITE")
            imports = [daybook.start("import", path) for path in (file, shutil.copy(file, tmp_path / "copy.csv"))]
            shutil.copy(file, inbox)
            until(lambda: held_back(client) >= HELD_BACK, "all three are about to register it")
            client.execute_command("CLIENT", "UNPAUSE")
        for each in imports:
            assert each.code() == 0, each.log
            assert each.output.endswith(f"imported: {BOOKS}")
        service.wait(lambda: [each["waiting"] for each in service.imports()] == [0], "all rows are applied")
        (source,) = service.imports()
        assert (source["rows"], source["applied"]) == (ROWS, ROWS)
        assert service.stats() == truth_of(file).data
        assert "Traceback" not in service.log


def held_back(client: "redis.Redis") -> int:
    """Return how many scripts Redis holds back."""
    return sum(each["cmd"] == "evalsha" for each in client.client_list())
