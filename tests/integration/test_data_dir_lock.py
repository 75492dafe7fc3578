"""One service per data directory."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from daybook.embedded.data_dir import DataDirLock
from daybook.errors import ConfigurationError

HOLDER = """
import subprocess, sys, time
from pathlib import Path
from daybook.embedded.data_dir import DataDirLock

with DataDirLock(Path(sys.argv[1]), "daybook serve"):
    heir = subprocess.Popen(["sleep", "60"])
    print(heir.pid, flush=True)
    time.sleep(60)
"""
NOBODY = 65534


@contextmanager
def unprivileged() -> Iterator[None]:
    """Root may write anywhere, so the test of that goes on as somebody else."""
    root = os.geteuid() == 0
    if root:
        os.seteuid(NOBODY)
    try:
        yield
    finally:
        if root:
            os.seteuid(0)


def refusal_of(data_dir: Path) -> str:
    with pytest.raises(ConfigurationError) as refused, DataDirLock(data_dir, "daybook import"):
        pass
    assert "\n" not in str(refused.value)
    return str(refused.value)


def test_a_second_holder_is_refused_with_the_first_ones_name(tmp_path: Path) -> None:
    with DataDirLock(tmp_path, "daybook serve"):
        assert refusal_of(tmp_path) == (
            f"DataDir {tmp_path} is in use by daybook serve (pid {os.getpid()}): stop it or choose another DataDir"
        )
    with DataDirLock(tmp_path, "daybook import"):
        assert "in use by daybook import (pid " in refusal_of(tmp_path)


def test_a_killed_holder_gives_the_directory_back_though_its_child_lives(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", HOLDER, tmp_path], stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        heir = int(holder.stdout.readline())
        assert f"in use by daybook serve (pid {holder.pid})" in refusal_of(tmp_path)
        holder.kill()
        holder.wait()
        try:
            assert psutil.pid_exists(heir)
            with DataDirLock(tmp_path, "daybook serve"):
                pass
        finally:
            os.kill(heir, signal.SIGKILL)


def test_the_directory_is_created_for_its_owner_alone(tmp_path: Path) -> None:
    with DataDirLock(tmp_path / "new" / "data", "daybook serve"):
        assert (tmp_path / "new" / "data").stat().st_mode & 0o777 == 0o700


def test_a_lock_may_be_taken_again_after_its_release(tmp_path: Path) -> None:
    lock = DataDirLock(tmp_path, "daybook serve")
    for _ in range(2):
        with lock:
            refusal_of(tmp_path)
    lock.release()


def test_a_file_in_the_way_is_named(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("")
    assert refusal_of(tmp_path / "data") == (f"DataDir {tmp_path}/data cannot be used: there is a file of that name")
    assert refusal_of(tmp_path / "data/deeper") == (
        f"DataDir {tmp_path}/data/deeper cannot be created: Not a directory"
    )


def test_a_directory_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data/daybook.lock").mkdir()
    assert refusal_of(tmp_path / "data") == f"DataDir {tmp_path}/data cannot be written: Is a directory"
    (tmp_path / "closed").mkdir(mode=0o500)
    with unprivileged():
        assert refusal_of(tmp_path / "closed").endswith(": Permission denied")
