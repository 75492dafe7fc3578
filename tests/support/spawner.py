"""Starts programs as processes, quickly. A helper process loads their libraries once and forks for each program.

Interpreter and libraries take 1.5 s of computing; after the fork a fifth of it is left. The fork runs
`python -m MODULE ARGUMENTS` as usual: a process with its own environment, signals and exit code.
The helper loads no library that starts threads, above all not polars, because a fork loses threads.
"""

import contextlib
import gc
import importlib
import json
import os
import runpy
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

_LOADED_BEFORE = (
    "daybook.api.app",
    "daybook.cli.commands",
    "daybook.embedded.valkey_server",
    "daybook.lane.dumper",
    "daybook.sources.identity",
    "daybook.stores.mongo_archive",
    "daybook.stores.sqlite_archive",
    "fastapi.openapi.models",
    "fastapi_offline",
    "httptools",
    "numpy",
    "pydantic_settings",
    "pymongo.asynchronous.mongo_client",
    "redis.asyncio",
    "rich.progress",
    "rich.traceback",
    "sqlite3",
    "structlog.dev",
    "typer.rich_utils",
    "uvicorn.lifespan.on",
    "uvicorn.protocols.http.httptools_impl",
    "uvloop",
)
_GRACE_SECONDS = 5.0


class Order(NamedTuple):
    module: str
    arguments: list[str]
    environment: dict[str, str]
    folder: str
    output: str
    log: str


class Spawned:
    """A process that the helper forked."""

    def __init__(self, spawner: "Spawner", pid: int) -> None:
        self._spawner = spawner
        self._code: int | None = None
        self.pid = pid

    def poll(self) -> int | None:
        """Return the exit code, negative for a signal; None while the process runs."""
        if self._code is None:
            self._code = self._spawner.ask({"poll": self.pid})
        return self._code


class Spawner:
    """The helper process. The end of the context ends the processes that it started."""

    def __enter__(self) -> Self:
        self._helper = subprocess.Popen(
            [sys.executable, __file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
            env=os.environ | {"OPENBLAS_NUM_THREADS": "1"},
        )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._helper.communicate()

    def start(
        self,
        module: str,
        *arguments: str,
        environment: Mapping[str, str],
        folder: Path,
        output: Path,
        log: Path,
    ) -> Spawned:
        """Start a module. Its standard output is appended to `output`, its standard error to `log`."""
        order = Order(module, list(arguments), dict(environment), str(folder), str(output), str(log))
        return Spawned(self, self.ask({"start": order}))

    def ask(self, question: dict[str, object]) -> Any:
        assert self._helper.stdin is not None
        assert self._helper.stdout is not None
        self._helper.stdin.write(json.dumps(question).encode() + b"\n")
        self._helper.stdin.flush()
        return json.loads(self._helper.stdout.readline())


def _serve() -> Order | None:
    """Answer questions until the input ends, then return None. Return the order in each fork that is to run it."""
    children: list[int] = []
    for line in sys.stdin:
        question = json.loads(line)
        answer: int | None
        if "start" in question:
            answer = os.fork()
            if answer == 0:
                return Order(*question["start"])
            children.append(answer)
        else:
            answer = _exit_code(question["poll"])
            if answer is not None:
                children.remove(question["poll"])
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()
    _end(children)
    return None


def _exit_code(pid: int) -> int | None:
    gone, status = os.waitpid(pid, os.WNOHANG)
    return os.waitstatus_to_exitcode(status) if gone else None


def _end(children: list[int]) -> None:
    for number in (signal.SIGTERM, signal.SIGKILL):
        for pid in children:
            os.kill(pid, number)
        deadline = time.monotonic() + _GRACE_SECONDS
        while children and time.monotonic() < deadline:
            children = [pid for pid in children if _exit_code(pid) is None]
            time.sleep(0.01)


def _become(order: Order) -> None:
    """Run the module as if the interpreter had just been started for it."""
    nothing = os.open(os.devnull, os.O_RDONLY)
    output, log = (os.open(name, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600) for name in order[-2:])
    for place, opened in enumerate((nothing, output, log)):
        os.dup2(opened, place)
        os.close(opened)
    os.chdir(order.folder)
    os.environ.clear()
    os.environ.update(order.environment)
    sys.argv = [order.module, *order.arguments]
    sys.path[0] = order.folder
    runpy.run_module(order.module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for name in _LOADED_BEFORE:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    assert "polars" not in sys.modules
    gc.freeze()
    if (order := _serve()) is not None:
        _become(order)
