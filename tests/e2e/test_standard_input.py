"""Rows from standard input: kept under DataDir, imported once, read again by verify and revert, lost by no kill."""

import gzip
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.commands import Commands
from support.oracle import truth_of
from support.sample_file import generated
from support.service import environment, until

ROWS = 3000
NAME = ("--name", "ledger-2026-01")


class Piped:
    """Starts `daybook` with a pipe as standard input; ends what still runs."""

    def __init__(self, commands: Commands) -> None:
        self._commands = commands
        self._started: list[subprocess.Popen[bytes]] = []

    def start(self, *words: str) -> "subprocess.Popen[bytes]":
        started = subprocess.Popen(
            [sys.executable, "-m", "daybook", *words],
            env=environment(self._commands.settings),
            cwd=self._commands.folder,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        self._started.append(started)
        return started

    def run(self, content: bytes, *words: str, code: int = 0) -> str:
        started = self.start(*words)
        output, log = started.communicate(content, timeout=60)
        told = (output + log).decode()
        assert started.returncode == code, told
        assert "Traceback" not in told
        return told

    def close(self) -> None:
        for started in self._started:
            if started.poll() is None:
                started.kill()
            started.communicate()


@pytest.fixture
def piped(daybook: Commands) -> Iterator[Piped]:
    running = Piped(daybook)
    yield running
    running.close()


def inbox(commands: Commands) -> list[str]:
    return sorted(path.name for path in (commands.data_dir / "inbox").iterdir())


def half_read(piped: Piped, commands: Commands, content: bytes) -> "subprocess.Popen[bytes]":
    """Start an import that has read half of its standard input."""
    started = piped.start("import", "-", *NAME)
    assert started.stdin is not None
    started.stdin.write(content[: len(content) // 2])
    started.stdin.flush()
    folder = commands.data_dir / "inbox"
    until(lambda: folder.exists() and any(folder.glob(".ledger*.part")), "standard input is read")
    return started


def test_standard_input_is_kept_and_counts_once(daybook: Commands, piped: Piped, tmp_path: Path) -> None:
    file = generated(tmp_path / "m.csv", rows=ROWS, bad_rows=0.01)
    kept = daybook.data_dir / "inbox" / "ledger-2026-01.csv"
    assert f"{kept}: imported: {ROWS} rows" in piped.run(file.read_bytes(), "import", "-", *NAME)
    assert kept.read_bytes() == file.read_bytes()
    assert (kept.stat().st_mode & 0o777, kept.parent.stat().st_mode & 0o777) == (0o600, 0o700)
    assert inbox(daybook) == ["ledger-2026-01.csv"]
    assert "already imported" in piped.run(file.read_bytes(), "import", "-", *NAME)
    assert "already imported" in piped.run(gzip.compress(file.read_bytes()), "import", "-", "--name", "other.csv")
    assert inbox(daybook) == ["ledger-2026-01.csv", "other.csv"]
    assert "already imported" in daybook.run("import", file).output
    assert daybook.stats() == truth_of(file).data
    assert "no difference" in daybook.run("verify").output
    daybook.run("sources", "revert", kept, "--why", "test")
    assert daybook.stats() == {}


def test_other_content_of_the_same_name_is_an_error(daybook: Commands, piped: Piped, tmp_path: Path) -> None:
    file = generated(tmp_path / "m.csv", rows=ROWS)
    piped.run(file.read_bytes(), "import", "-", *NAME)
    told = piped.run(file.read_bytes() + b"2026-01-15,deposit,visa,1.00\n", "import", "-", *NAME, code=1)
    assert "ledger-2026-01.csv: holds other content" in told
    assert "nothing is imported; choose another --name" in told
    assert daybook.stats() == truth_of(file).data
    assert inbox(daybook) == ["ledger-2026-01.csv"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_interrupted_while_it_is_read_nothing_is_imported(
    daybook: Commands, piped: Piped, tmp_path: Path, number: signal.Signals
) -> None:
    file = generated(tmp_path / "m.csv", rows=ROWS)
    started = half_read(piped, daybook, file.read_bytes())
    os.kill(started.pid, number)
    log = started.communicate(timeout=20)[1].decode()
    if number == signal.SIGKILL:
        assert [name.rpartition(".")[2] for name in inbox(daybook)] == ["part"]
    else:
        assert started.returncode == 128 + number
        assert "while standard input was read: nothing is imported" in log
        assert inbox(daybook) == []
    assert daybook.stats() == {}
    piped.run(file.read_bytes(), "import", "-", *NAME)
    assert inbox(daybook) == ["ledger-2026-01.csv"]
    assert daybook.stats() == truth_of(file).data


def test_a_killed_import_goes_on_from_the_kept_file(daybook: Commands, piped: Piped, tmp_path: Path) -> None:
    file = generated(tmp_path / "m.csv", rows=ROWS)
    daybook.settings["DAYBOOK_FAILPOINT"] = "redis.enqueue.after:1"
    assert "already" not in piped.run(file.read_bytes(), "import", "-", *NAME, code=-signal.SIGKILL)
    del daybook.settings["DAYBOOK_FAILPOINT"]
    daybook.run("import", daybook.data_dir / "inbox" / "ledger-2026-01.csv")
    assert daybook.stats() == truth_of(file).data


def test_a_command_that_reads_leaves_the_part_of_another_alone(daybook: Commands, piped: Piped, tmp_path: Path) -> None:
    file = generated(tmp_path / "m.csv", rows=ROWS)
    content = file.read_bytes()
    first = half_read(piped, daybook, content)
    piped.run(b"timestamp,type,payment_method,amount\n2026-02-01,deposit,visa,1.00\n", "import", "-", "--name", "b")
    output, log = first.communicate(content[len(content) // 2 :], timeout=60)
    assert first.returncode == 0, log
    assert f"imported: {ROWS} rows" in output.decode()
    assert daybook.stats() == truth_of(file).data


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (("import", "-"), 2, "standard input needs a name"),
        (("import", "-", "--name", "../evil"), 2, "standard input needs a name"),
        (("import", "-", "--name", ".hidden"), 2, "standard input needs a name"),
        (("import", "-", "--name", "a/b"), 2, "standard input needs a name"),
        (("import", "-", "--name", ""), 2, "standard input needs a name"),
        (("import", "-", "--name", "a\n"), 2, "standard input needs a name"),
        (("import", "-", "m.csv", *NAME), 2, "is imported alone"),
        (("import", "m.csv", *NAME), 2, "--name is for standard input"),
        (("import", "-", *NAME), 1, "standard input is empty: nothing is imported"),
    ],
)
def test_a_wrong_call_is_told(piped: Piped, words: tuple[str, ...], code: int, told: str) -> None:
    text = piped.run(b"", *words, code=code)
    assert told in " ".join(text.replace("│", " ").split())
