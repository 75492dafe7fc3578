"""Two imports of one content at once."""

import os
import shutil
import signal
from pathlib import Path

import pytest

from support.commands import Commands
from support.oracle import truth_of
from support.sample_file import generated
from support.service import embedded_servers, until

ROWS = 20_000
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
