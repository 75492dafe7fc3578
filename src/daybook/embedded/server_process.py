"""One running server: asks it, waits for it, ends it."""

import asyncio
import os
import signal
from contextlib import suppress
from pathlib import Path
from subprocess import Popen
from typing import NamedTuple

import psutil
from redis.exceptions import ResponseError

from daybook.errors import DaybookError, StoreUnavailableError
from daybook.stores.connection import RedisConnection

_POLL_SECONDS = 0.01
_WATCH_SECONDS = 0.1
_EXIT_SECONDS = 0.5
_SIGNAL_SECONDS = 2.0
_ENDED = (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD)


class Answer(NamedTuple):
    pid: int
    folder: Path
    loading: bool
    """True while the server reads its append-only file; it refuses commands on data until it has read it."""


class ServerProcess:
    """A child of this process, or one that an earlier service left behind (`child` is None)."""

    def __init__(self, process: psutil.Process, socket: Path, child: "Popen[bytes] | None" = None) -> None:
        self.process = process
        self.socket = socket
        self._child = child

    @property
    def exit_code(self) -> int | None:
        """Exit code of a child that ended, negative for a signal; None for other processes."""
        return self._child.returncode if self._child else None

    def is_alive(self) -> bool:
        """Return False as soon as the process has ended; no zombie child of this process is left then."""
        if self._child:
            return self._child.poll() is None
        if not self.process.is_running():
            return False
        with suppress(psutil.NoSuchProcess):
            if self.process.status() not in _ENDED:
                return True
            self._reap()
        return False

    async def wait(self) -> int | None:
        """Wait until the process has ended, for whatever reason; return its exit code, None when that is unknown."""
        while self.is_alive():  # noqa: ASYNC110 - nothing announces the end of a process that is not our child
            await asyncio.sleep(_WATCH_SECONDS)
        return self.exit_code

    async def ask(self, timeout_seconds: float) -> Answer | None:
        """Ask the server at the socket about itself; return None when no server answers there in time."""
        redis = RedisConnection.to(unix_socket=str(self.socket), timeout_seconds=timeout_seconds)
        try:
            info = await redis.command("INFO", "server", "persistence")
            folder = await redis.command("CONFIG", "GET", "dir")
        except StoreUnavailableError:
            return None
        finally:
            await redis.close()
        return Answer(int(info["process_id"]), Path(os.fsdecode(folder[1])), bool(info["loading"]))

    async def shut_down(self, timeout_seconds: float) -> None:
        """End the server by SHUTDOWN, which syncs the append-only file first; by `terminate` when that takes too long.

        `timeout_seconds` bounds the command; half a second more is left for the exit.
        """
        redis = RedisConnection.to(unix_socket=str(self.socket), timeout_seconds=timeout_seconds)
        try:
            with suppress(StoreUnavailableError, ResponseError):
                await redis.command("SHUTDOWN")
        finally:
            await redis.close()
        if not await self._gone_within(_EXIT_SECONDS):
            await self.terminate()

    async def terminate(self) -> None:
        """End the server by SIGTERM, on which it shuts down as by SHUTDOWN; 2 seconds later by SIGKILL.

        A stopped process takes SIGTERM once it is continued. Raises DaybookError when the server cannot be ended.
        """
        for numbers in ((signal.SIGTERM, signal.SIGCONT), (signal.SIGKILL,)):
            self._signal(*numbers)
            if await self._gone_within(_SIGNAL_SECONDS):
                return
        raise DaybookError(f"the embedded server (pid {self.process.pid}) cannot be ended")

    def _reap(self) -> None:
        """Remove its zombie if it became a child of this process when its parent died."""
        with suppress(ChildProcessError):
            os.waitpid(self.process.pid, os.WNOHANG)

    def _signal(self, *numbers: signal.Signals) -> None:
        try:
            for number in numbers:
                if self.is_alive():
                    self.process.send_signal(number)
        except psutil.NoSuchProcess:
            return
        except psutil.AccessDenied:
            raise DaybookError(
                f"the embedded server (pid {self.process.pid}) of another user cannot be ended"
            ) from None

    async def _gone_within(self, seconds: float) -> bool:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + seconds
        while self.is_alive():
            if loop.time() >= deadline:
                return False
            await asyncio.sleep(_POLL_SECONDS)
        return True
